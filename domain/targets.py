"""What is done to targets that are recorded: each by the handler that put it there."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from returns.result import Failure, Result, Success

from lading.domain.failures import HandlerNotLoaded, HandlerRefused, NotAssociated, TargetFailure
from lading.domain.handler import Handler, Landing, SupportsRecovery, SupportsVerification, Work
from lading.domain.handler_calls import call_handler, value_or_raise
from lading.domain.recovery import Ledger, Recovery, moved, unresolved
from lading.domain.refusals import Refusal, Unavailable, Unsupported
from lading.ports.association import Association
from lading.ports.context import Context
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Verb

__all__ = ["Forgotten", "Targets"]

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")


class _Held(NamedTuple):
    """A target that is recorded, and what is needed to do something about it."""

    handler: Handler
    work: Work
    association: Association


class Forgotten(NamedTuple):
    """What lading knew of a target, and does not know any more. What is at the target stays."""

    association: Association | None
    intents: tuple[Intent, ...]
    """The interrupted operations that began or ended there."""


class Targets:
    """Removes, moves and verifies what is recorded."""

    def __init__(self, handlers: Mapping[str, Handler], ledger: Ledger, recovery: Recovery) -> None:
        self._handlers = handlers
        self._ledger = ledger
        self._associations = ledger.associations
        self._recovery = recovery

    def remove(
        self, target: str, context: Context, *, force: bool, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Have the handler remove what is at the target, and forget it."""

        def release(held: _Held) -> Result[Association, TargetFailure]:
            return (
                _answer(
                    held,
                    type(None),
                    held.handler.remove,
                    replace(held.work, force=force, even_if_in_use=even_if_in_use),
                )
                .bind(lambda _: self._associations.remove(held.association.target))
                .map(lambda _: held.association)
            )

        return self._written(Verb.REMOVE, target, context, release, force=force)

    def move(
        self, source: str, destination: str, context: Context, *, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Have the handler move the source to the destination, and record it there."""

        def relocate(held: _Held) -> Result[Association, TargetFailure]:
            work = replace(held.work, even_if_in_use=even_if_in_use)
            return _answer(held, Landing, held.handler.move, work, destination).bind(
                lambda landing: record(held, landing)
            )

        def record(held: _Held, landing: Landing) -> Result[Association, TargetFailure]:
            there = moved(held.association, destination, landing)
            return (
                self._associations.put(there)
                .alt(lambda failure: _move_back(held, destination, failure))
                .bind(lambda _: self._associations.remove(held.association.target))
                .map(lambda _: there)
            )

        def refuse(held: _Held) -> Result[Association, TargetFailure]:
            reason = "the destination is the source" if destination else "the destination is blank"
            return Failure(HandlerRefused(held.association.target, held.handler.name, Unsupported(reason)))

        if not destination or destination == source:
            return self._held(source, context).bind(refuse)
        return self._written(Verb.MOVE, source, context, relocate, destination=destination)

    def verify(self, target: str, context: Context) -> Result[Association, TargetFailure]:
        """Have the handler read all that is at the target; what is recorded now, if that is what was put there."""

        def look(held: _Held) -> Result[Association, TargetFailure]:
            if not isinstance(held.handler, SupportsVerification):
                refusal = Unsupported("this handler can't verify what it fetched")
                return Failure(HandlerRefused(held.association.target, held.handler.name, refusal))
            return _answer(held, Landing, held.handler.verify, held.work).bind(lambda landing: record(held, landing))

        def record(held: _Held, landing: Landing) -> Result[Association, TargetFailure]:
            found = landing.recorded_in(held.association)
            outcome = self._associations.put(found) if found != held.association else Success(None)
            return outcome.map(lambda _: found)

        try:
            with self._recovery.exclusively([target], keep=True):
                return self._held(target, context).bind(look)
        except StoreUnavailable as failure:
            return Failure(failure)

    def forget(self, target: str) -> Result[Forgotten, TargetFailure]:
        """Forget what is recorded of the target and what was begun there. No handler is called, nothing is touched."""
        try:
            with self._recovery.pending([target]) as intents:
                association = value_or_raise(self._associations.get(target)) if target else None
                if association is None and not intents:
                    return Failure(NotAssociated(target))
                for each in intents:
                    value_or_raise(self._ledger.journal.settle(each.target))
                value_or_raise(self._associations.remove(target))
                return Success(Forgotten(association, intents))
        except StoreUnavailable as failure:
            return Failure(failure)

    def _written(
        self,
        verb: Verb,
        target: str,
        context: Context,
        act: Callable[[_Held], Result[Association, TargetFailure]],
        *,
        destination: str | None = None,
        force: bool = False,
    ) -> Result[Association, TargetFailure]:
        """Act on a recorded target, alone, and with the intent written down until it has come to its end."""

        def write(held: _Held) -> Result[Association, TargetFailure]:
            work, name = held.work, held.handler.name
            intent = Intent(target, verb, name, self._ledger.clock(), work.image, work.location, destination, force)
            begun: Result[Work, TargetFailure] = self._ledger.begin(work, intent)
            outcome = begun.bind(lambda work: act(held._replace(work=work)))
            if not isinstance(outcome, Failure) or not _is_open(held.handler, verb, outcome.failure()):
                self.settle(target)
            return outcome

        try:
            with self._recovery.pending([target, destination or ""]) as intents:
                # Where nothing is recorded nothing is done, and so a download that can be resumed stays.
                is_recorded = bool(target) and value_or_raise(self._associations.get(target)) is not None
                found = self._recovery.recover(intents, keep=not is_recorded)
                if (blocked := unresolved(found)) is not None:
                    return Failure(blocked)
                return self._held(target, context).bind(write)
        except StoreUnavailable as failure:
            return Failure(failure)

    def settle(self, target: str) -> None:
        """Write down that it has come to its end. What can't be is done all the same, and looked after by recovery."""
        outcome = self._ledger.journal.settle(target)
        if isinstance(outcome, Failure):
            _log.warning("%s is done, which can't be written down: %s", target, outcome.failure())

    def _held(self, target: str, context: Context) -> Result[_Held, TargetFailure]:
        def hold(association: Association | None) -> Result[_Held, TargetFailure]:
            if association is None:
                return Failure(NotAssociated(target))
            handler = self._handlers.get(association.handler)
            if handler is None:
                return Failure(HandlerNotLoaded(target, association.handler, tuple(self._handlers)))
            work = Work(target, association.image, association.location, context, association)
            return Success(_Held(handler, work, association))

        recalled: Result[Association | None, TargetFailure] = (
            self._associations.get(target) if target else Success(None)
        )
        return recalled.bind(hold)


def _answer(
    held: _Held, given: type[_Done], verb: Callable[..., Result[_Done, Refusal]], *arguments: object
) -> Result[_Done, TargetFailure]:
    return call_handler(held.handler, held.work, given, verb, *arguments).alt(
        lambda refusal: HandlerRefused(held.association.target, held.handler.name, refusal)
    )


def _is_open(handler: Handler, verb: Verb, failure: TargetFailure) -> bool:
    """Whether nobody knows how it ended: it stays written down, and recovery sees to it.

    A store that broke on the way has left it half done; storage that didn't answer may have moved it all the same.
    """
    if isinstance(failure, HandlerRefused):
        return verb is Verb.MOVE and isinstance(failure.refusal, Unavailable) and isinstance(handler, SupportsRecovery)
    return isinstance(failure, StoreUnavailable)


def _move_back(held: _Held, destination: str, failure: StoreUnavailable) -> StoreUnavailable:
    source = held.association.target
    undone = call_handler(
        held.handler, held.work, Landing, held.handler.move, replace(held.work, target=destination), source
    )
    if isinstance(undone, Failure):
        _log.error("%s is at %s now, but recorded nowhere: %s", source, destination, undone.failure().reason)
    return failure
