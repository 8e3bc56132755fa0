"""Notes on an intent, from which an interrupted operation is recovered."""

from collections.abc import Mapping

from returns.result import Failure

from lading.adapters.stream.errors import Refused
from lading.domain.handler import Work
from lading.domain.refusals import TargetFailed
from lading.ports.failures import LockLost
from lading.ports.journal import Journal

__all__ = ["write_notes"]


def write_notes(journal: Journal, work: Work, notes: Mapping[str, object]) -> None:
    """Writes the next step to the journal, in place of earlier notes. Without an intent nothing is written.

    Raises Refused when the journal fails, and LockLost: then the step must not be done.
    """
    if work.intent is None:
        return
    written = journal.note(work.target, notes)
    if isinstance(written, Failure):
        failure = written.failure()
        if isinstance(failure, LockLost):
            raise failure
        raise Refused(TargetFailed(f"the journal cannot be written: {failure}"))
