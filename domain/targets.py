"""Operations on recorded targets, each by the associated handler: remove, move, verify, report, forget."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, TypeVar

from returns.result import Failure, Result, Success

from lading.domain.failures import HandlerNotLoaded, HandlerRefused, NotAssociated
from lading.domain.handler import (
    Handler,
    Landing,
    Report,
    SupportsRecovery,
    SupportsReport,
    SupportsVerification,
    Work,
)
from lading.domain.handler_calls import call_handler
from lading.domain.ledger import Ledger
from lading.domain.recovery import Outcome, Recovery, moved, require_resolved
from lading.domain.refusals import Mismatched, Refusal, Unavailable, Unsupported
from lading.ports.association import Association, Check, State
from lading.ports.context import Context
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.journal import Intent, Verb
from lading.ports.observer import Observer
from lading.ports.redaction import redacted_values

__all__ = ["Forgotten", "Targets"]

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")


class Forgotten(NamedTuple):
    """The records of a target that were removed. What is at the target stays."""

    association: Association | None
    intents: tuple[Intent, ...]
    """The interrupted operations from or to the target."""


class _Recorded(NamedTuple):
    """A recorded target: its association, its handler, and the work to do."""

    association: Association
    handler: Handler
    work: Work


class Targets:
    """Removes, moves, verifies, reports and forgets recorded targets. Raises the members of TargetFailure."""

    def __init__(
        self, handlers: Mapping[str, Handler], ledger: Ledger, recovery: Recovery, files: SupportsReport | None
    ) -> None:
        self._handlers = handlers
        self._ledger = ledger
        self._recovery = recovery
        self._files = files

    def remove(
        self, target: str, context: Context, *, force: bool, even_if_in_use: bool, wipe: bool = False
    ) -> Association:
        """Removes what is at the target, and its association. An incomplete target needs no association."""
        with self._begun(Verb.REMOVE, target, context, force=force, even_if_in_use=even_if_in_use) as recorded:
            removing = recorded._replace(work=replace(recorded.work, wipe=wipe))
            _call(removing, type(None), recorded.handler.remove, removing.work)
            self._ledger.forget(target)
            return recorded.association

    def move(self, source: str, destination: str, context: Context, *, even_if_in_use: bool) -> Association:
        """Moves the source to the destination, and its association."""
        if not destination or destination == source:
            handler = self._recorded(source, context).handler
            reason = "the destination is the source" if destination else "the destination is blank"
            raise HandlerRefused(source, handler.name, Unsupported(reason))
        with self._begun(
            Verb.MOVE, source, context, destination=destination, even_if_in_use=even_if_in_use
        ) as recorded:
            landing = _call(recorded, Landing, recorded.handler.move, recorded.work, destination)
            association = moved(recorded.association, destination, landing)
            try:
                self._ledger.record(association)
            except LockLost:
                raise  # it is recovered under a new lock
            except StoreUnavailable:
                _move_back(recorded, destination)
                raise
            self._ledger.forget(source)
            return association

    def verify(self, target: str, context: Context, observer: Observer) -> Association:
        """Reads all that is at the target and compares it with the association. Returns the association as of now."""
        with self._recovery.exclusively([target]) as interrupted:
            self._recovery.recover(interrupted, keep=True)
            association, handler, work = self._recorded(target, context)
            work = replace(work, observer=observer)
            if not isinstance(handler, SupportsVerification):
                raise HandlerRefused(target, association.handler, Unsupported("this handler cannot verify targets"))
            answer = call_handler(association.handler, work, Landing, handler.verify, work)
            if isinstance(answer, Failure):
                refusal = answer.failure()
                state = self._changed_state(work, association) if isinstance(refusal, Mismatched) else None
                if state is not None:
                    self._record_change(association, state)
                raise HandlerRefused(target, association.handler, refusal, state)
            verified = self._verified(association, answer.unwrap())
            if verified != association:
                self._ledger.record(verified)
            return verified

    def report(self, target: str, context: Context) -> Report:
        """Reports the state of the target without reading its data. An incomplete target needs no association."""
        association, pending = self._ledger.association(target), self._ledger.pending(target)
        fetch = pending if pending is not None and pending.verb is Verb.FETCH else None
        if association is not None:
            return self._report(replace(_work(association, context), intent=fetch), association)
        if fetch is not None:
            begun = _begun_record(fetch)
            report = self._report(replace(_work(begun, context), association=None, intent=fetch), begun)
            if report.state is State.INCOMPLETE:
                return report
        raise NotAssociated(target)

    def forget(self, target: str) -> Forgotten:
        """Removes the association of the target and the intents from or to it. No handler is called."""
        with self._recovery.exclusively([target]) as intents:
            association = self._ledger.association(target)
            if association is None and not intents:
                raise NotAssociated(target)
            for each in intents:
                self._ledger.settle(each.target)
            self._ledger.forget(target)
            return Forgotten(association, intents)

    def proven(self, association: Association, context: Context) -> Association | None:
        """The association as of now, if the target still is what was put there; else None. Records nothing."""
        handler = self._handlers.get(association.handler)
        if not isinstance(handler, SupportsVerification):
            return None
        work = _work(association, context)
        landing = call_handler(association.handler, work, Landing, handler.verify, work).value_or(None)
        if landing is None or (landing.digest is None and not _is_untouched(association, landing)):
            return None
        return self._verified(association, landing)

    @contextmanager
    def _begun(
        self,
        verb: Verb,
        target: str,
        context: Context,
        *,
        destination: str | None = None,
        force: bool = False,
        even_if_in_use: bool = False,
    ) -> Iterator[_Recorded]:
        """Locks a recorded target and journals the operation for the duration of the block.

        After a success, and after a refusal, the operation is settled. It stays in the journal where its end is
        unknown: recovery finds it.
        """
        with self._recovery.exclusively([target, destination or ""]) as interrupted:
            # Without an association nothing is done, and partial data of a download stays.
            is_recorded = self._ledger.association(target) is not None
            found = self._recovery.recover(interrupted, keep=not is_recorded)
            require_resolved(found)
            if verb is Verb.REMOVE and any(each.outcome is Outcome.INCOMPLETE for each in found):
                # The interrupted fetch stays in the journal until the removal has succeeded.
                yield self._incomplete(found[0].intent, context)
                self._ledger.end(target)
                return
            recorded = self._recorded(target, context)
            work, handler = recorded.work, recorded.handler
            intent = Intent(
                target, verb, handler.name, self._ledger.clock(), work.image, work.location, destination, force,
                even_if_in_use=even_if_in_use, recorded=recorded.association,
            )  # fmt: skip
            work = self._ledger.begin(replace(work, force=force, even_if_in_use=even_if_in_use), intent)
            try:
                yield recorded._replace(work=work)
            except HandlerRefused as refused:
                if not _may_have_moved(verb, handler, refused.refusal):
                    self._ledger.end(target)
                raise
            self._ledger.end(target)

    def _associated(self, target: str) -> Association:
        association = self._ledger.association(target)
        if association is None:
            raise NotAssociated(target)
        return association

    def _recorded(self, target: str, context: Context) -> _Recorded:
        association = self._associated(target)
        handler = self._handlers.get(association.handler)
        if handler is None:
            raise HandlerNotLoaded(target, association.handler, tuple(self._handlers))
        return _Recorded(association, handler, _work(association, context))

    def _incomplete(self, intent: Intent, context: Context) -> _Recorded:
        """The target of an interrupted fetch that has left it incomplete: its record is gone."""
        association = _begun_record(intent)
        work = replace(_work(association, context), association=None)
        return _Recorded(association, self._handlers[intent.handler], work)

    def _report(self, work: Work, association: Association) -> Report:
        """The report of the associated handler, or else, of a file of this host, that of `files`."""
        reason = None
        for each in (self._handlers.get(association.handler), self._files if association.fingerprint else None):
            if isinstance(each, SupportsReport):
                answer = call_handler(association.handler, work, Report, each.report, work)
                if isinstance(answer, Success):
                    report: Report = answer.unwrap()
                    return replace(report, details=redacted_values(report.details))
                reason = str(answer.failure())
        return Report(State.UNKNOWN, {"why": reason} if reason else {})

    def _verified(self, association: Association, landing: Landing) -> Association:
        """The association after a verification. Without a digest nothing proves that the target is intact."""
        check = Check(State.INTACT, self._ledger.clock()) if landing.digest else None
        return replace(landing.recorded_in(association), checked=check)

    def _record_change(self, association: Association, state: State) -> None:
        """Records that the target is changed or missing. A failure is a warning: the caller learns the state anyway."""
        try:
            self._ledger.record(replace(association, checked=Check(state, self._ledger.clock())))
        except StoreUnavailable as failure:
            _log.warning("%s is %s, but that cannot be recorded: %s", association.target, state, failure)

    def _changed_state(self, work: Work, association: Association) -> State:
        """The state of a target that a verification found changed."""
        return State.MISSING if self._report(work, association).state is State.MISSING else State.CHANGED


def _begun_record(intent: Intent) -> Association:
    """What the fetch would have recorded, as far as it is known at its beginning."""
    return Association(intent.target, intent.handler, intent.image, intent.location, intent.began_at)


def _may_have_moved(verb: Verb, handler: Handler, refusal: Refusal) -> bool:
    """Tells whether the target may have moved all the same: the storage did not answer. Recovery finds out."""
    return verb is Verb.MOVE and isinstance(refusal, Unavailable) and isinstance(handler, SupportsRecovery)


def _work(association: Association, context: Context) -> Work:
    return Work(association.target, association.image, association.location, context, association)


def _call(
    recorded: _Recorded, expected: type[_Value], verb: Callable[..., Result[_Value, Refusal]], *arguments: object
) -> _Value:
    answer = call_handler(recorded.handler.name, recorded.work, expected, verb, *arguments)
    if isinstance(answer, Failure):
        raise HandlerRefused(recorded.association.target, recorded.handler.name, answer.failure())
    return answer.unwrap()


def _move_back(recorded: _Recorded, destination: str) -> None:
    """Moves a target back whose move could not be recorded. A failure is an error in the log."""
    source, handler = recorded.association.target, recorded.handler
    work = replace(recorded.work, target=destination)
    undone = call_handler(handler.name, work, Landing, handler.move, work, source)
    if isinstance(undone, Failure):
        _log.error("%s is at %s now, but recorded nowhere: %s", source, destination, undone.failure())


def _is_untouched(association: Association, landing: Landing) -> bool:
    """Tells whether the file at the target is the recorded one, with the same bytes. Only files can be told apart."""
    if association.fingerprint is None or landing.fingerprint is None:
        return association.fingerprint is landing.fingerprint
    return association.fingerprint.is_unchanged(landing.fingerprint)
