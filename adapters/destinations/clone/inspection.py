"""Inspection of what is cloned, and verification of clones."""

from contextlib import closing
from dataclasses import replace

from lading.adapters.destinations.rules import Rules
from lading.adapters.formats.audit import Audit, Audited
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused, unavailable, value_or_refuse
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import Source
from lading.ports.image import Image
from lading.ports.observer import Observer

__all__ = ["inspect", "read_all"]


def inspect(image: Image | None, source: Source, rules: Rules) -> str | None:
    """Inspects the source's beginning. Returns the inspector's name and version; None where nothing inspects.

    Closes the source. Raises Refused.
    """
    # The storage has reported the image's size.
    image = image and replace(image, size=None)
    with closing(source):
        audit = value_or_refuse(Audit.of(image, verify=False, inspect=rules.inspect))
        try:
            audit.inspect(source)
        except SourceBroken as broken:
            raise Refused(unavailable(broken)) from broken
        return value_or_refuse(audit.verdict(source.size or 0)).inspected_by


def read_all(image: Image | None, source: Source, observer: Observer, rules: Rules) -> Audited:
    """Reads the source and compares it with the catalog's promise; without a digest only the format is inspected.

    Closes the source. Raises Refused.
    """
    with closing(source):
        audit = value_or_refuse(Audit.of(image, verify=True, inspect=rules.inspect))
        try:
            if audit.is_hashing:
                pipeline.run(source, (audit.take,), lambda done: observer.progress(done, source.size))
            else:
                audit.inspect(source)
        except SourceBroken as broken:
            raise Refused(unavailable(broken)) from broken
        return value_or_refuse(audit.verdict(source.size or (image and image.size) or 0))
