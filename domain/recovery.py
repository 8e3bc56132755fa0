"""What becomes of operations that were cut off: finished, taken back, or kept to go on from."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from returns.result import Failure, Result, Success

from lading.domain.asking import ask, value_or_raise
from lading.domain.handler import Handler, Kept, Landing, Recoverable, Work
from lading.domain.refusals import Refusal, TargetOccupied
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Journal, Unwritten, Verb
from lading.ports.locks import Locks

__all__ = ["Ledger", "Outcome", "Recovered", "Recovery", "alone", "moved"]

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
        kept = None if isinstance(self.journal, Unwritten) else intent
        return self.journal.begin(intent).map(lambda _: replace(work, intent=kept))


@contextmanager
def alone(locks: Locks, targets: Iterable[str], *, wait: bool = True) -> Iterator[bool]:
    """Let nobody else be at these targets while the block runs; it is told whether that is so."""
    with ExitStack() as stack:
        # In one order for all, so that no two wait for each other.
        names = [f"target {each}" for each in sorted({*targets}) if each]
        yield all(stack.enter_context(locks.hold(name, wait=wait)) for name in names)


def moved(association: Association, destination: str, landing: Landing) -> Association:
    """What is recorded after a move."""
    return replace(association, target=destination, fingerprint=landing.fingerprint)


class Recovery:
    """Looks after what the journal says was begun, and nobody has heard of since."""

    def __init__(self, handlers: Mapping[str, Handler], ledger: Ledger) -> None:
        self._handlers = handlers
        self._associations, self._journal, self._locks, self._clock = ledger

    def all(self, *, keep: bool) -> Iterator[Recovered]:
        """Every operation that was cut off. Raises StoreUnavailable."""
        for intent in tuple(self._journal.list()):
            with alone(self._locks, _targets(intent), wait=False) as held:
                if not held:
                    yield Recovered(intent, Outcome.UNDER_WAY)
                    continue
                # Read again: whoever was at it may have come to its end meanwhile.
                found = self.of(intent.target, keep=keep)
            if found is not None:
                yield found

    def of(self, target: str, *, keep: bool) -> Recovered | None:
        """The operation on this target that was cut off, if there is one. The caller holds the target's lock.

        Raises StoreUnavailable.
        """
        pending = value_or_raise(self._journal.pending(target)) if target else None
        if pending is None:
            return None
        recovered = self._recover(pending, keep=keep)
        if recovered.outcome in {Outcome.FINISHED, Outcome.UNDONE}:
            value_or_raise(self._journal.settle(pending.target))
        _log.log(logging.WARNING if recovered.outcome is Outcome.UNRESOLVED else logging.INFO, "%s", recovered)
        return recovered

    def _recover(self, intent: Intent, *, keep: bool) -> Recovered:
        handler = self._handlers.get(intent.handler)
        if handler is None:
            return Recovered(intent, Outcome.UNRESOLVED, f"the handler {intent.handler!r} is not loaded")
        association = value_or_raise(self._associations.get(intent.target))
        work = Work(
            intent.target, intent.image, intent.location, association=association, force=intent.force, intent=intent
        )
        match intent.verb:
            case Verb.FETCH:
                return self._fetched(handler, work, intent, keep=keep)
            case Verb.MOVE:
                return self._moved(handler, work, intent)
            case Verb.REMOVE:
                return self._removed(handler, work, intent)

    def _fetched(self, handler: Handler, work: Work, intent: Intent, *, keep: bool) -> Recovered:
        if not isinstance(handler, Recoverable):
            if work.association is not None or work.force:
                # What was there before is not to be removed, and what is there now only the handler knows.
                reason = f"the handler {intent.handler!r} can't tell how far it came"
                return Recovered(intent, Outcome.UNRESOLVED, reason)
            return _told(intent, ask(handler, work, type(None), handler.remove, work), Outcome.UNDONE)
        answer = _asked(handler, work, keep=keep)
        match answer:
            case Success(Landing() as landing):
                image = replace(intent.image, locations=()) if intent.image else None
                begun = Association(intent.target, intent.handler, image, intent.location, self._clock())
                value_or_raise(self._associations.put(landing.recorded_in(begun)))
            case Success(Kept(size)) if size:
                return Recovered(intent, Outcome.KEPT, kept=size)
            case Success(_):
                return Recovered(intent, Outcome.UNDONE)
        return _told(intent, answer, Outcome.FINISHED)

    def _moved(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        destination = intent.destination or ""
        if work.association is None:
            # Recorded at its destination, and forgotten at its source: only that it was done is not written.
            return Recovered(intent, Outcome.FINISHED)
        if isinstance(handler, Recoverable):
            answer: Result[object, Refusal] = _asked(handler, work, keep=False)
        else:
            answer = ask(handler, work, Landing, handler.move, work, destination)
        match answer:
            case Success(Landing() as landing):
                value_or_raise(self._associations.put(moved(work.association, destination, landing)))
                value_or_raise(self._associations.remove(intent.target))
            case Success(_):
                return Recovered(intent, Outcome.UNDONE)
        return _told(intent, answer, Outcome.FINISHED)

    def _removed(self, handler: Handler, work: Work, intent: Intent) -> Recovered:
        # Without force: what lies there now may have come after what was to be removed had gone.
        answer = ask(handler, work, type(None), handler.remove, replace(work, force=False))
        if isinstance(answer, Failure) and isinstance(answer.failure(), TargetOccupied):
            answer = Success(None)
        if isinstance(answer, Success):
            value_or_raise(self._associations.remove(intent.target))
        return _told(intent, answer, Outcome.FINISHED)


def _targets(intent: Intent) -> tuple[str, ...]:
    return (intent.target, intent.destination) if intent.destination else (intent.target,)


def _asked(handler: Handler, work: Work, *, keep: bool) -> Result[object, Refusal]:
    assert isinstance(handler, Recoverable)  # noqa: S101 - the caller has seen to it
    verb = handler.recover
    return ask(handler, work, (Landing, Kept), lambda: verb(work, keep=keep))


def _told(intent: Intent, answer: Result[object, Refusal], done: Outcome) -> Recovered:
    if isinstance(answer, Failure):
        return Recovered(intent, Outcome.UNRESOLVED, answer.failure().reason)
    return Recovered(intent, done)
