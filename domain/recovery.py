"""What becomes of operations that were cut off: finished, taken back, or kept to go on from."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from returns.result import Failure, Result, Success

from lading.domain.failures import TargetUnresolved
from lading.domain.handler import Handler, Landing, PartialData, SupportsRecovery, Work
from lading.domain.handler_calls import call_handler, value_or_raise
from lading.domain.refusals import Refusal, TargetInUse, TargetOccupied
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Journal, NullJournal, Verb
from lading.ports.locks import Locks

__all__ = ["Ledger", "Outcome", "Recovered", "Recovery", "exclusively", "lock_name", "moved", "unresolved"]

_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of an operation that was cut off."""

    FINISHED = "finished"
    """It had come to its end, or was brought there, and is recorded."""
    UNDONE = "undone"
    """Nothing of it is left; everything is as it was before."""
    KEPT = "kept"
    """What had come is kept: the next fetch to that target goes on from there."""
    UNDER_WAY = "under way"
    """Somebody is at it."""
    UNRESOLVED = "unresolved"
    """It can't be told, or not now."""
    ABANDONED = "abandoned"
    """It could not be resolved, and is settled all the same: what it may have left is nobody's."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """One operation that was found unfinished."""

    intent: Intent
    outcome: Outcome
    reason: str | None = None
    """Why it is not finished, where there is something to say."""
    kept: int = 0
    """Bytes."""

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"the {self.intent.verb} of {self.intent.target} that was cut off is {self.outcome}{why}"


class Ledger(NamedTuple):
    """Where it is written down what is, and what is under way."""

    associations: AssociationStore
    journal: Journal
    locks: Locks
    clock: Callable[[], datetime]

    def begin(self, work: Work, intent: Intent) -> Result[Work, StoreUnavailable]:
        """Write down what is about to be done. The work with its intent, where one is kept."""
        kept = None if isinstance(self.journal, NullJournal) else intent
        return self.journal.begin(intent).map(lambda _: replace(work, intent=kept))


def lock_name(target: str) -> str:
    """What the lock of a target is called."""
    return f"target {target}"


@contextmanager
def exclusively(locks: Locks, targets: Iterable[str], *, wait: bool = True) -> Iterator[bool]:
    """Let nobody else be at these targets while the block runs; it is told whether that is so."""
    with ExitStack() as stack:
        # In one order for all, so that no two wait for each other.
        names = [lock_name(each) for each in sorted({*targets}) if each]
        yield all(stack.enter_context(locks.hold(name, wait=wait)) for name in names)


def moved(association: Association, destination: str, landing: Landing) -> Association:
    """What is recorded after a move."""
    return replace(
        association,
        target=destination,
        fingerprint=landing.fingerprint,
        identity=landing.identity,
        folder=landing.folder,
    )


def unresolved(found: Iterable[Recovered]) -> TargetUnresolved | None:
    """Why nothing may begin where this was found: it would destroy what is left of an interrupted operation."""
    for each in found:
        if each.outcome is Outcome.UNRESOLVED:
            return TargetUnresolved(each.intent.target, each.intent.verb, each.intent.destination, each.reason or "")
    return None


class Recovery:
    """Looks after what the journal says was begun, and nobody has heard of since."""

    def __init__(self, handlers: Mapping[str, Handler], ledger: Ledger) -> None:
        self._handlers = handlers
        self._associations, self._journal, self._locks, self._clock = ledger

    def all(self, target: str | None = None, *, keep: bool, give_up: bool = False) -> Iterator[Recovered]:
        """Recovers every interrupted operation, or the one from or to that target. Raises StoreUnavailable.

        `give_up`: what can't be resolved is settled too.
        """
        for intent in tuple(each for each in self._journal.list() if target in {None, *_ends(each)}):
            with exclusively(self._locks, _ends(intent), wait=False) as held:
                found = self._again(intent, keep=keep) if held else Recovered(intent, Outcome.UNDER_WAY)
                if give_up and found is not None and found.outcome is Outcome.UNRESOLVED:
                    found = self._abandon(found)
            if found is not None:
                yield found

    @contextmanager
    def exclusively(self, targets: Iterable[str], *, keep: bool) -> Iterator[list[Recovered]]:
        """Be alone at these targets while the block runs, with what was cut off there seen to: what became of it.

        Raises StoreUnavailable.
        """
        with self.pending(targets) as intents:
            yield self.recover(intents, keep=keep)

    def recover(self, intents: Iterable[Intent], *, keep: bool) -> list[Recovered]:
        """Recovers these operations. The caller holds the locks of both their ends. Raises StoreUnavailable."""
        # What is unresolved is the caller's to tell: it is why nothing begins.
        return [self._see_to(each, keep=keep, level=logging.INFO) for each in intents]

    @contextmanager
    def pending(self, targets: Iterable[str]) -> Iterator[tuple[Intent, ...]]:
        """Be alone at these targets while the block runs, with the intents that begin or end there, untouched.

        Raises StoreUnavailable.
        """
        names = {each for each in targets if each}
        while True:
            with exclusively(self._locks, names):
                found = (value_or_raise(self._journal.pending(each)) for each in sorted(names))
                pending = {each.target: each for each in found if each is not None}
                ends = {end for each in pending.values() for end in _ends(each)}
                if ends <= names:
                    yield tuple(pending.values())
                    return
            # A move has two ends: whoever sees to it must be alone at both, or two could do so at a time.
            names |= ends

    def of(self, target: str, *, keep: bool) -> None:
        """See to the operation on this target; by whom is alone at it. Raises StoreUnavailable."""
        if (pending := value_or_raise(self._journal.pending(target))) is not None:
            self._see_to(pending, keep=keep)

    def drop(self, intent: Intent) -> None:
        """Have what is kept of this fetch removed: it is of no use any more."""
        handler = self._handlers[intent.handler]
        if isinstance(handler, SupportsRecovery):
            _asked(handler, _work(intent, None), keep=False)

    def _again(self, intent: Intent, *, keep: bool) -> Recovered | None:
        """See to it, as it is now: whoever was at it may have come to its end meanwhile, and begun something else."""
        pending = value_or_raise(self._journal.pending(intent.target))
        if pending is None or not {*_ends(pending)} <= {*_ends(intent)}:
            return None
        return self._see_to(pending, keep=keep)

    def _abandon(self, found: Recovered) -> Recovered:
        value_or_raise(self._journal.settle(found.intent.target))
        return replace(found, outcome=Outcome.ABANDONED)

    def _see_to(self, intent: Intent, *, keep: bool, level: int = logging.WARNING) -> Recovered:
        """`level`: of the record, where it is unresolved."""
        recovered = self._recover(intent, keep=keep)
        if recovered.outcome in {Outcome.FINISHED, Outcome.UNDONE}:
            value_or_raise(self._journal.settle(intent.target))
        _log.log(level if recovered.outcome is Outcome.UNRESOLVED else logging.INFO, "%s", recovered)
        return recovered

    def _recover(self, intent: Intent, *, keep: bool) -> Recovered:
        handler = self._handlers.get(intent.handler)
        if handler is None:
            return Recovered(intent, Outcome.UNRESOLVED, f"the handler {intent.handler!r} is not loaded")
        association = value_or_raise(self._associations.get(intent.target))
        work = _work(intent, association)
        if intent.verb is Verb.FETCH:
            return self._fetched(handler, work, intent, keep=keep)
        if intent.verb is Verb.MOVE:
            return self._moved(handler, work, intent)
        return self._removed(handler, work, intent)

    def _fetched(self, handler: Handler, work: Work, intent: Intent, *, keep: bool) -> Recovered:
        if not isinstance(handler, SupportsRecovery):
            if _is_recorded(work.association, intent):
                return Recovered(intent, Outcome.FINISHED)
            if work.association is not None or work.force:
                # What was there before is not to be removed, and what is there now only the handler knows.
                reason = f"the handler {intent.handler!r} can't tell how far it came"
                return Recovered(intent, Outcome.UNRESOLVED, reason)
            return _told(intent, call_handler(handler, work, type(None), handler.remove, work), Outcome.UNDONE)
        answer = _asked(handler, work, keep=keep)
        match answer:
            case Success(Landing() as landing):
                image = intent.image.redacted() if intent.image else None
                begun = Association(intent.target, intent.handler, image, intent.location, self._clock())
                value_or_raise(self._associations.put(landing.recorded_in(begun)))
            case Success(PartialData(size)) if size:
                return Recovered(intent, Outcome.KEPT, kept=size)
            case Success(_):
                return Recovered(intent, Outcome.UNDONE)
        return _told(intent, answer, Outcome.FINISHED)

    def _moved(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        destination = intent.destination or ""
        if work.association is None:
            # Recorded at its destination, and forgotten at its source: only that it was done is not written.
            return Recovered(intent, Outcome.FINISHED)
        if isinstance(handler, SupportsRecovery):
            answer: Result[object, Refusal] = _asked(handler, work, keep=False)
        else:
            answer = call_handler(handler, work, Landing, handler.move, work, destination)
        match answer:
            case Success(Landing() as landing):
                value_or_raise(self._associations.put(moved(work.association, destination, landing)))
                value_or_raise(self._associations.remove(intent.target))
            case Success(_):
                return Recovered(intent, Outcome.UNDONE)
        return _told(intent, answer, Outcome.FINISHED)

    def _removed(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        if work.association is None:
            # It is forgotten, and so was removed: what lies there now came later, and nothing says whose it is.
            return Recovered(intent, Outcome.FINISHED)
        # Without force: what lies there now may have come after what was to be removed had gone.
        answer = call_handler(handler, work, type(None), handler.remove, replace(work, force=False))
        if isinstance(answer, Failure) and isinstance(answer.failure(), TargetInUse):
            # It is still there, untouched. Only a new request says that it may go all the same.
            return Recovered(intent, Outcome.UNDONE, answer.failure().reason)
        if isinstance(answer, Failure) and isinstance(answer.failure(), TargetOccupied):
            answer = Success(None)
        if isinstance(answer, Success):
            value_or_raise(self._associations.remove(intent.target))
        return _told(intent, answer, Outcome.FINISHED)


def _is_recorded(association: Association | None, intent: Intent) -> bool:
    """Whether the fetch had come to its end: what is recorded was recorded after it began, and by its handler."""
    return association is not None and association.handler == intent.handler and association.landed_at > intent.began_at


def _ends(intent: Intent) -> tuple[str, ...]:
    return (intent.target, intent.destination) if intent.destination else (intent.target,)


def _work(intent: Intent, association: Association | None) -> Work:
    return Work(
        intent.target, intent.image, intent.location, association=association, force=intent.force, intent=intent
    )


def _asked(handler: Handler, work: Work, *, keep: bool) -> Result[object, Refusal]:
    assert isinstance(handler, SupportsRecovery)  # noqa: S101 - the caller has seen to it
    verb = handler.recover
    return call_handler(handler, work, (Landing, PartialData), lambda: verb(work, keep=keep))


def _told(intent: Intent, answer: Result[object, Refusal], done: Outcome) -> Recovered:
    if isinstance(answer, Failure):
        return Recovered(intent, Outcome.UNRESOLVED, answer.failure().reason)
    return Recovered(intent, done)
