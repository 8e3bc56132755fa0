"""Notes on an intent, from which an interrupted operation is recovered."""

from collections.abc import Mapping

from returns.result import Result

from lading.adapters.stream.errors import value_or_refuse
from lading.domain.handler import Work
from lading.domain.refusals import Refusal, TargetFailed
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Journal

__all__ = ["write_notes"]


def write_notes(journal: Journal, work: Work, notes: Mapping[str, object]) -> None:
    """Writes the next step to the journal, in place of earlier notes. Without an intent nothing is written.

    Raises Refused when the journal fails: then the step must not be done.
    """
    if work.intent is not None:
        written: Result[None, Refusal] = journal.note(work.target, notes).alt(_refusal)
        value_or_refuse(written)


def _refusal(failure: StoreUnavailable) -> Refusal:
    return TargetFailed(f"the journal cannot be written: {failure}")
