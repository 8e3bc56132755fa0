"""Verification that a target still is what was fetched: by its fingerprint, or by reading all of it."""

import os
from contextlib import closing
from dataclasses import replace
from typing import Final

from returns.result import Result

from lading.adapters.destinations.file.target_state import conflict, is_intact, mount_conflict, status_of
from lading.adapters.formats.audit import Audit, digest_mismatch, size_mismatch
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused, system_errors, value_or_refuse
from lading.adapters.stream.safe_open import fingerprint, folder_identity, open_regular
from lading.adapters.stream.sources import DirectSource, FileSource
from lading.domain.handler import Landing, Report, Work
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, Unsupported
from lading.ports.association import Association, State
from lading.ports.image import Image

__all__ = ["report", "verify"]

_GUEST: Final = "a guest that writes to its disk changes it"


def report(work: Work) -> Report:
    """The target's state, by its recorded fingerprint."""
    recorded = work.association
    if recorded is None or recorded.fingerprint is None:
        return Report(State.UNKNOWN)
    try:
        if (elsewhere := mount_conflict(recorded)) is not None:
            return Report(State.UNKNOWN, {"why": str(elsewhere)})
        if status_of(work.target) is None:
            return Report(State.MISSING)
        return Report(State.INTACT if is_intact(recorded, fingerprint(work.target)) else State.CHANGED)
    except OSError as error:
        return Report(State.UNKNOWN, {"why": f"{work.target} cannot be examined: {error.strerror}"})


def verify(work: Work, *, inspect: bool) -> Landing:
    """Reads the target and compares it with its association. Returns it as it is now. Raises Refused."""
    if work.association is None:
        raise Refused(Unsupported("nothing is recorded of the target"))
    with system_errors(work.target, "read"):
        if (refusal := conflict(work)) is not None:
            # Where its file system is not mounted, the target has not changed.
            raise Refused(refusal if isinstance(refusal, TargetFailed) else Mismatched(str(refusal)))
        if status_of(work.target) is None:
            raise Refused(Mismatched(f"{work.target} is gone"))
        opened: Result[int, Refusal] = open_regular(work.target, follow=False).alt(TargetFailed)
        with closing(DirectSource(value_or_refuse(opened))) as source:
            return _compare(work, work.association, source, inspect=inspect)


def _image_at(recorded: Association) -> Image | None:
    """The image whose bytes are at the target. Of one that was given another form, only the format is known."""
    if recorded.shipped is None or recorded.image is None:
        return recorded.image
    return Image(recorded.image.id, disk_format=recorded.format)


def _compare(work: Work, recorded: Association, source: FileSource, *, inspect: bool) -> Landing:
    if recorded.size is not None and source.size != recorded.size:
        raise Refused(replace(size_mismatch(recorded.size, source.size), advice=_GUEST))
    audit = value_or_refuse(Audit.of(_image_at(recorded), verify=True, inspect=inspect, digest=recorded.digest))
    size = pipeline.run(source, (audit.take,), lambda done: work.observer.progress(done, source.size), buffers=4)
    digest = audit.digest
    if recorded.digest is not None and digest != recorded.digest:
        raise Refused(replace(digest_mismatch(recorded.digest, digest), advice=_GUEST))
    if not source.is_unchanged:
        raise Refused(Mismatched("it was written to while it was read"))
    file = fingerprint(source.descriptor)
    folder = folder_identity(os.path.dirname(recorded.target))
    audited = value_or_refuse(audit.verdict(size))
    return Landing(
        recorded.method, size, digest, recorded.verified, file, inspected_by=audited.inspected_by, folder=folder
    )
