"""Other targets on this host that hold the same image: what one fetch brought over the network serves the next."""

import logging
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from lading.adapters.destinations.file.notes import noted_landing
from lading.adapters.destinations.file.partial import part_path
from lading.adapters.stream.safe_open import fingerprint, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Work
from lading.ports.association import Fingerprint
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Image
from lading.ports.journal import Journal, Verb

__all__ = ["LocalCopies"]

_log = logging.getLogger(__name__)
_MOST: Final = 1000
"""Associations that are looked at: a guest has written to most of those that are in use."""


class LocalCopies:
    """Finds, among what was fetched, a file that still is the very image."""

    def __init__(self, associations: AssociationStore, journal: Journal) -> None:
        self._associations = associations
        self._journal = journal

    def open(self, work: Work) -> FileSource | None:
        """A file with the image's bytes; None when none is known, or the image has no digest to know it by.

        By id and digest: ids may be given again to other images (OSSN-0075).
        """
        if work.image is None or work.image.expected_digest is None:
            return None
        try:
            for target, file, is_recorded in self._known(work.image):
                opened = open_regular(target, follow=False).value_or(None) if target != work.target else None
                if opened is None:
                    continue
                if _is_still(file, fingerprint(opened), is_recorded=is_recorded):
                    _log.info("%s holds the image already", target)
                    return FileSource(opened, copied_from=target)
                os.close(opened)
        except StoreUnavailable as failure:
            _log.info("whether the host has the image already is not known: %s", failure)
        return None

    def come(self, work: Work) -> int | None:
        """Bytes of the image that have come for another target; None when none is known to be fetched."""
        try:
            fetched = [
                os.stat(part_path(intent.target)).st_size
                for intent in self._journal.list()
                if intent.verb is Verb.FETCH and intent.target != work.target
                if _is_same(intent.image, work.image) and os.path.exists(part_path(intent.target))
            ]
        except (StoreUnavailable, OSError):
            return None
        return max(fetched, default=None)

    def _known(self, image: Image) -> Iterator[tuple[str, Fingerprint, bool]]:
        """The files that held it when they were landed, with what they were then, and whether they are recorded."""
        # First what is landed and about to be recorded, then what is recorded: so that none is missed between the two.
        for intent in self._journal.list():
            landed = noted_landing(intent.notes) if intent.verb is Verb.FETCH else None
            if landed is not None and _is_same(intent.image, image):
                yield intent.target, landed[1], False
        for each in islice(self._associations.list(image_id=image.id), _MOST):
            if each.fingerprint is not None and _is_same(each.image, image):
                yield each.target, each.fingerprint, True


def _is_still(file: Fingerprint, found: Fingerprint, *, is_recorded: bool) -> bool:
    """Whether it is that file, unchanged. Before it is recorded it gets its name, which changes its ctime."""
    return file.is_unchanged(found if is_recorded else found._replace(ctime_ns=file.ctime_ns))


def _is_same(one: Image | None, other: Image | None) -> bool:
    return one is not None and other is not None and (one.id, one.expected_digest) == (other.id, other.expected_digest)
