"""Whether what was landed is still that: all of it read again."""

import os
from contextlib import closing

from returns.result import Failure, Result

from lading.adapters.destinations.file.target_state import conflict, status_of
from lading.adapters.formats.audit import Audit
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import answering
from lading.adapters.stream.safe_open import fingerprint, folder_identity, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, Unsupported
from lading.ports.association import Association

__all__ = ["verify"]


def verify(work: Work, *, inspect: bool) -> Result[Landing, Refusal]:
    """What is at the target now, if it is what was put there; else what changed."""
    recorded = work.association
    if recorded is None:
        return Failure(Unsupported("nothing says what was put there"))

    def look() -> Result[Landing, Refusal]:
        if (why_not := conflict(work)) is not None:
            # Beneath a mount point where nothing is mounted, nothing has changed.
            return Failure(why_not if isinstance(why_not, TargetFailed) else Mismatched(why_not.reason))
        if status_of(work.target) is None:
            return Failure(Mismatched(f"{work.target} is gone"))
        opened: Result[int, Refusal] = open_regular(work.target, follow=False).alt(TargetFailed)
        return opened.map(FileSource).bind(read)

    def read(source: FileSource) -> Result[Landing, Refusal]:
        with closing(source):
            return _read(work, recorded, source, inspect=inspect)

    return answering(work.target, "read", look)


def _read(work: Work, recorded: Association, source: FileSource, *, inspect: bool) -> Result[Landing, Refusal]:
    if recorded.size is not None and source.size != recorded.size:
        return Failure(Mismatched(f"it has {source.size} bytes, and had {recorded.size}"))

    def compare(audit: Audit) -> Result[Landing, Refusal]:
        size = pipeline.run(source, (audit.take,), lambda done: work.observer.progress(done, source.size))
        digest = audit.digest
        if recorded.digest is not None and digest != recorded.digest:
            return Failure(Mismatched(f"its digest is {digest}, and was {recorded.digest}"))
        if not source.is_unchanged:
            return Failure(Mismatched("it was written to while it was read"))
        file = fingerprint(source.descriptor)
        folder = folder_identity(os.path.dirname(recorded.target))
        return audit.verdict(size).map(
            lambda audited: Landing(
                recorded.method, size, digest, recorded.verified, file, inspected_by=audited.inspected_by, folder=folder
            )
        )

    return Audit.of(recorded.image, verify=True, inspect=inspect, digest=recorded.digest).bind(compare)
