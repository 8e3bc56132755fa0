"""Recovers interrupted operations: finishes them, undoes them, or keeps partial data to be resumed."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from returns.result import Failure, Result, Success

from lading.domain.failures import TargetUnresolved
from lading.domain.handler import Handler, Landing, PartialData, SupportsRecovery, Work
from lading.domain.handler_calls import call_handler
from lading.domain.ledger import Ledger
from lading.domain.refusals import Refusal, TargetInUse, TargetOccupied
from lading.ports.association import Association
from lading.ports.journal import Intent, Verb

__all__ = ["Outcome", "Recovered", "Recovery", "moved", "require_resolved"]

_log = logging.getLogger(__name__)
_CHANGED: Final = "the record of the target has changed since: another host has worked on it"


class Outcome(StrEnum):
    """The outcome of a recovery."""

    FINISHED = "finished"
    """The operation is complete and recorded."""
    UNDONE = "undone"
    """Nothing of the operation is left; everything is as it was before."""
    KEPT = "kept"
    """Partial data is kept; the next fetch to the target resumes it."""
    INCOMPLETE = "incomplete"
    """The target holds a part of the image, until a fetch, a removal or `forget` ends that."""
    UNDER_WAY = "under way"
    """Another process or thread works on the operation."""
    UNRESOLVED = "unresolved"
    """The handler cannot tell now how far the operation got."""
    ABANDONED = "abandoned"
    """The operation could not be ended in order, and is settled all the same. It may have left something behind."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """An interrupted operation, and the outcome of its recovery."""

    intent: Intent
    outcome: Outcome
    reason: str | None = None
    """The reason why the operation is not finished; None where there is nothing to say."""
    kept: int = 0
    """Bytes of partial data that are kept, or were resumed."""

    @property
    def is_open(self) -> bool:
        """True when the operation stays in the journal, and nothing works on it."""
        return self.outcome in {Outcome.KEPT, Outcome.INCOMPLETE, Outcome.UNRESOLVED}

    @property
    def can_resume(self) -> bool:
        """True when a fetch can resume what is there."""
        return self.kept > 0 and self.outcome in {Outcome.KEPT, Outcome.INCOMPLETE}

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"the interrupted {self.intent.verb} of {self.intent.target} is {self.outcome}{why}"


def moved(association: Association, destination: str, landing: Landing) -> Association:
    """The association after a move."""
    return replace(
        association,
        target=destination,
        fingerprint=landing.fingerprint,
        identity=landing.identity,
        folder=landing.folder,
    )


def require_resolved(found: Iterable[Recovered]) -> None:
    """Raises TargetUnresolved for the first unresolved operation: a new one would destroy what it left."""
    for each in found:
        if each.outcome is Outcome.UNRESOLVED:
            intent = each.intent
            raise TargetUnresolved(intent.target, intent.verb, intent.destination, each.reason or "")


class Recovery:
    """Recovers the operations in the journal that were interrupted. All methods raise StoreUnavailable."""

    def __init__(self, handlers: Mapping[str, Handler], ledger: Ledger) -> None:
        self._handlers = handlers
        self._ledger = ledger

    def interrupted(self, target: str | None = None) -> tuple[Intent, ...]:
        """The intents in the journal, or those from or to the target. Some may be in progress."""
        return tuple(each for each in self._ledger.journal.list() if target in {None, *_ends(each)})

    @contextmanager
    def exclusively(self, targets: Iterable[str]) -> Iterator[tuple[Intent, ...]]:
        """Locks the targets for the duration of the block. Yields the interrupted operations from or to them.

        A move has two ends: the other end of an interrupted move is locked too.
        """
        names = {each for each in targets if each}
        while True:
            with self._ledger.exclusively(names):
                found = [self._ledger.pending(each) for each in sorted(names)]
                pending = {each.target: each for each in found if each is not None}
                ends = {end for each in pending.values() for end in _ends(each)}
                if ends <= names:
                    yield tuple(pending.values())
                    return
            names |= ends

    def recover(self, intents: Iterable[Intent], *, keep: bool) -> list[Recovered]:
        """Recovers these operations. The caller holds the locks of both their ends."""
        # The caller reports what is unresolved: it is the reason why nothing begins.
        return [self._recover(each, keep=keep, level=logging.INFO) for each in intents]

    def recover_target(self, target: str, *, keep: bool) -> None:
        """Recovers the operation on this target. The caller holds its lock."""
        if (pending := self._ledger.pending(target)) is not None:
            self._recover(pending, keep=keep)

    def recover_unlocked(
        self, intent: Intent, *, keep: bool, give_up: bool = False, level: int = logging.WARNING
    ) -> Recovered | None:
        """Recovers the operation, unless its targets are locked. None: it has ended in the meantime.

        `give_up`: an unresolved operation is settled too. `level` is the log level of an unresolved one.
        """
        with self._ledger.exclusively(_ends(intent), wait=False) as is_locked:
            if not is_locked:
                return Recovered(intent, Outcome.UNDER_WAY)
            pending = self._ledger.pending(intent.target)
            if pending is None or not {*_ends(pending)} <= {*_ends(intent)}:
                return None
            recovered = self._recover(pending, keep=keep, level=level)
            if give_up and recovered.outcome in {Outcome.INCOMPLETE, Outcome.UNRESOLVED}:
                self._ledger.settle(pending.target)
                return replace(recovered, outcome=Outcome.ABANDONED)
            return recovered

    def drop(self, intent: Intent) -> None:
        """Removes the partial data of this fetch. A failure is ignored."""
        handler = self._handlers[intent.handler]
        if isinstance(handler, SupportsRecovery):
            _call_recover(handler, _work(intent, None), intent, keep=False)

    def _recover(self, intent: Intent, *, keep: bool, level: int = logging.WARNING) -> Recovered:
        recovered = self._outcome(intent, keep=keep)
        if recovered.outcome in {Outcome.FINISHED, Outcome.UNDONE}:
            self._ledger.settle(intent.target)
        _log.log(level if recovered.outcome is Outcome.UNRESOLVED else logging.INFO, "%s", recovered)
        return recovered

    def _outcome(self, intent: Intent, *, keep: bool) -> Recovered:
        handler = self._handlers.get(intent.handler)
        if handler is None:
            return Recovered(intent, Outcome.UNRESOLVED, f"the handler {intent.handler!r} is not loaded")
        work = _work(intent, self._ledger.association(intent.target))
        if intent.verb is Verb.MOVE:
            return self._recover_move(handler, work, intent)
        if intent.verb is Verb.REMOVE:
            return self._recover_removal(handler, work, intent)
        if isinstance(handler, SupportsRecovery):
            return self._recover_fetch(handler, work, intent, keep=keep)
        return _undo_fetch(handler, work, intent)

    def _recover_fetch(self, handler: SupportsRecovery, work: Work, intent: Intent, *, keep: bool) -> Recovered:
        # A fetch that replaces what was there is not resumed where that is another record by now.
        is_changed = (
            intent.force and work.association is not None and not work.association.is_same_record(intent.recorded)
        )
        match answer := _call_recover(handler, work, intent, keep=keep and not is_changed):
            case Success(Landing() as landing):
                image = intent.image.redacted() if intent.image else None
                begun = Association(intent.target, intent.handler, image, intent.location, self._ledger.clock())
                landed = landing.recorded_in(begun)
                if not _is_known(landed, work.association):
                    self._ledger.record(landed)
            case Success(PartialData(size, incomplete=True)):
                if work.association is not None and work.association.is_same_record(intent.recorded):
                    self._ledger.forget(intent.target)  # what it describes is lost
                return Recovered(intent, Outcome.INCOMPLETE, kept=size)
            case Success(PartialData(size)) if size:
                return Recovered(intent, Outcome.KEPT, kept=size)
            case Success(_):
                return Recovered(intent, Outcome.UNDONE, _CHANGED if is_changed else None)
        return _recovered(intent, answer, Outcome.FINISHED)

    def _recover_move(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        destination = intent.destination or ""
        moving = intent.recorded or work.association
        if moving is None or (work.association is None and self._ledger.association(destination) is not None):
            # It is recorded at its destination and forgotten at its source: only the journal was not settled.
            return Recovered(intent, Outcome.FINISHED)
        is_changed = not moving.is_same_record(work.association)
        if is_changed and not isinstance(handler, SupportsRecovery):
            return Recovered(intent, Outcome.UNDONE, _CHANGED)
        work = replace(work, association=moving)
        answer: Result[Landing | PartialData, Refusal]
        if isinstance(handler, SupportsRecovery):
            answer = _call_recover(handler, work, intent, keep=False)
        else:
            answer = call_handler(intent.handler, work, Landing, handler.move, work, destination)
        match answer:
            case Success(Landing() as landing):
                self._ledger.record(moved(moving, destination, landing))
                if not is_changed:
                    self._ledger.forget(intent.target)
            case Success(_):
                return Recovered(intent, Outcome.UNDONE)
        return _recovered(intent, answer, Outcome.FINISHED)

    def _recover_removal(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        if work.association is None:
            # It was removed and forgotten. What is at the target now came later, and its owner is unknown.
            return Recovered(intent, Outcome.FINISHED)
        if intent.recorded is not None and not intent.recorded.is_same_record(work.association):
            return Recovered(intent, Outcome.UNDONE, _CHANGED)
        # Nothing is forced: what is at the target now may have come after the removal.
        work = replace(work, force=False, even_if_in_use=False)
        match answer := call_handler(intent.handler, work, type(None), handler.remove, work):
            case Failure(TargetInUse() as in_use):
                # It is still there, untouched. Only a new request allows its removal.
                return Recovered(intent, Outcome.UNDONE, str(in_use))
            case Success(_) | Failure(TargetOccupied()):
                self._ledger.forget(intent.target)
                return Recovered(intent, Outcome.FINISHED)
        return _recovered(intent, answer, Outcome.FINISHED)


def _undo_fetch(handler: Handler, work: Work, intent: Intent) -> Recovered:
    """Undoes a fetch of a handler that does not support recovery."""
    if _is_recorded(work.association, intent):
        return Recovered(intent, Outcome.FINISHED)
    if work.association is not None or work.force:
        # What was at the target before must stay, and only the handler knows what is there now.
        reason = f"the handler {intent.handler!r} cannot tell how far it got"
        return Recovered(intent, Outcome.UNRESOLVED, reason)
    return _recovered(intent, call_handler(intent.handler, work, type(None), handler.remove, work), Outcome.UNDONE)


def _is_recorded(association: Association | None, intent: Intent) -> bool:
    """Tells whether the fetch is complete: its handler recorded the target after the fetch began."""
    return association is not None and association.handler == intent.handler and association.landed_at > intent.began_at


def _is_known(landed: Association, recorded: Association | None) -> bool:
    """Tells whether the fetch was recorded before its end. Then that record stays, with its time."""
    return recorded is not None and recorded.is_same_record(
        replace(landed, landed_at=recorded.landed_at, folder=recorded.folder)
    )


def _ends(intent: Intent) -> tuple[str, ...]:
    return (intent.target, intent.destination) if intent.destination else (intent.target,)


def _work(intent: Intent, association: Association | None) -> Work:
    return Work(
        intent.target, intent.image, intent.location, association=association, force=intent.force, intent=intent,
        even_if_in_use=intent.even_if_in_use, form=intent.form,
    )  # fmt: skip


def _call_recover(
    handler: SupportsRecovery, work: Work, intent: Intent, *, keep: bool
) -> Result[Landing | PartialData, Refusal]:
    return call_handler(intent.handler, work, (Landing, PartialData), handler.recover, work, keep=keep)


def _recovered(intent: Intent, answer: Result[object, Refusal], done: Outcome) -> Recovered:
    if isinstance(answer, Failure):
        return Recovered(intent, Outcome.UNRESOLVED, str(answer.failure()))
    return Recovered(intent, done)
