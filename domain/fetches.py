"""A fetch in the journal and in the store: locked, journaled attempt by attempt, recorded and settled."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

from returns.result import Failure, Success

from lading.domain.attempts import Attempt, FetchRequest
from lading.domain.failures import AttemptResult, NoHandlerAvailable
from lading.domain.handler import Handler, Landing, SupportsRecovery, Work
from lading.domain.handler_calls import call_handler, value_or_raise
from lading.domain.ledger import Ledger, lock_name
from lading.domain.recovery import Outcome, Recovery, require_resolved
from lading.domain.refusals import Unavailable, Unsettled
from lading.domain.waiting import wait_reason
from lading.ports.association import Association
from lading.ports.failures import LadingError, LockLost, StoreUnavailable
from lading.ports.journal import Intent, Verb
from lading.ports.observer import SupportsWaiting

__all__ = ["Fetches"]

_log = logging.getLogger(__name__)


class Fetches:
    """Runs the attempts of fetches: the target is locked, and the current attempt is in the journal."""

    def __init__(self, handlers: Mapping[str, Handler], ledger: Ledger, recovery: Recovery) -> None:
        self._handlers = handlers
        self._ledger = ledger
        self._recovery = recovery

    def attempts(self, request: FetchRequest, turns: Iterator[Attempt]) -> Iterator[Attempt]:
        """Yields the attempts, until the caller settles one as a success. `turns` are the attempts in order, lazily.

        Raises NoHandlerAvailable, TargetUnresolved, StoreUnavailable, and what `turns` raises.
        """
        self._report_wait(request)
        with self._recovery.exclusively([request.target]) as interrupted:
            found = self._recovery.recover(interrupted, keep=True)
            require_resolved(found)
            kept = (each.intent for each in found if each.outcome is Outcome.KEPT)
            earlier = next((each for each in kept if each.target == request.target), None)
            yield from self._journaled(request, turns, earlier)

    def record(self, handler: Handler, work: Work, landing: Landing) -> None:
        """Records what landed. What cannot be recorded is removed. Raises StoreUnavailable."""
        if not work.target or landing.present:
            return
        image = work.image.redacted() if work.image else None
        location = work.location.redacted() if work.location else None
        association = Association(work.target, handler.name, image, location, self._ledger.clock())
        landed = landing.recorded_in(association)
        try:
            self._ledger.record(landed)
        except LockLost:
            # Recovery records what replaced something, if it is still there.
            if not work.force:
                _undo(handler, replace(work, association=landed))
            raise
        except StoreUnavailable:
            _undo(handler, replace(work, association=landed))
            raise
        except BaseException:
            # It may be recorded all the same, and must stay then. Where there is an intent, recovery finds out.
            if work.intent is None and self._ledger.associations.get(work.target) != Success(landed):
                _undo(handler, replace(work, association=landed))
            raise

    def _report_wait(self, request: FetchRequest) -> None:
        """Tells the observer, if it supports that, what the request is about to wait for."""
        if request.target and isinstance(request.observer, SupportsWaiting):
            name = lock_name(request.target)
            reason = wait_reason(self._ledger.locks, name, f"is at work on {request.target}")
            if reason is not None:
                request.observer.waiting(reason)

    def _journaled(self, request: FetchRequest, turns: Iterator[Attempt], kept: Intent | None) -> Iterator[Attempt]:
        """Yields the attempts, with the current one in the journal. `kept`: an earlier fetch that can be resumed."""
        results: list[AttemptResult] = []
        last: Attempt | None = None
        try:
            for attempt in turns:
                self._begin(attempt)
                last = attempt
                try:
                    yield attempt
                except GeneratorExit:
                    self._close(attempt, kept)
                    raise
                _log.info("%s", attempt.result)
                if attempt.refusal is None:
                    self._end(attempt, kept)
                    return
                results.append(attempt.result)
                kept = self._kept(attempt, kept)
            raise NoHandlerAvailable(request.image_id, request.target, tuple(results))
        except LockLost:
            raise  # it is recovered under a new lock
        except LadingError:
            self._give_up(last, kept)
            raise

    def _begin(self, attempt: Attempt) -> None:
        """Journals the attempt, with the notes of the attempts before it."""
        work = attempt.work
        if not work.target:
            return
        pending = self._ledger.pending(work.target)
        intent = Intent(
            work.target,
            Verb.FETCH,
            attempt.handler.name,
            self._ledger.clock(),
            work.image.redacted() if work.image else None,
            work.location.redacted() if work.location else None,
            force=work.force,
            notes=pending.notes if pending is not None and pending.verb is Verb.FETCH else {},
            even_if_in_use=work.even_if_in_use,
            recorded=work.association,
            form=work.form,
        )
        attempt.work = self._ledger.begin(work, intent)

    def _end(self, attempt: Attempt, kept: Intent | None) -> None:
        """Settles the fetch after a success. Partial data that was kept and not resumed is removed."""
        has_moved_bytes = attempt.landing is not None and not attempt.landing.present
        if kept is not None and not (has_moved_bytes and kept.handler == attempt.handler.name):
            self._recovery.drop(kept)
        if attempt.work.intent is not None:
            self._ledger.end(attempt.work.target)

    def _close(self, attempt: Attempt, kept: Intent | None) -> None:
        """Settles the fetch of a caller that leaves early, if it settled the attempt; else recovery does so later."""
        try:
            if attempt.refusal is None:
                self._end(attempt, kept)
            elif not isinstance(attempt.refusal, Unsettled):
                self._give_up(attempt, self._kept(attempt, kept))
        except StoreUnavailable as failure:
            _log.warning("%s: the last attempt cannot be settled now: %s", attempt.work.target, failure)

    def _kept(self, attempt: Attempt, kept: Intent | None) -> Intent | None:
        """The intent of the fetch whose partial data is kept: this attempt's, or else an earlier one's."""
        if isinstance(attempt.refusal, Unavailable) and attempt.refusal.kept:
            return self._ledger.pending(attempt.work.target)
        return kept

    def _give_up(self, last: Attempt | None, kept: Intent | None) -> None:
        """Settles the fetch after a failure. Partial data stays in the journal, under the handler that keeps it.

        What the last attempt could not clean up is recovered as after a crash.
        """
        if last is None or last.work.intent is None:
            return
        target = last.work.target
        try:
            if kept is not None:
                value_or_raise(self._ledger.journal.begin(kept))
            if isinstance(self._handlers[kept.handler] if kept else last.handler, SupportsRecovery):
                self._recovery.recover_target(target, keep=True)
            else:
                self._ledger.end(target)
        except StoreUnavailable as failure:
            _log.warning("%s: the last attempt is not recovered yet: %s", target, failure)


def _undo(handler: Handler, work: Work) -> None:
    """Removes what could not be recorded. What replaced something stays: nothing else is left."""
    if work.force:
        _log.error("%s is there, but recorded nowhere: it replaced what was there", work.target)
        return
    undone = call_handler(handler.name, work, type(None), handler.remove, work)
    if isinstance(undone, Failure):
        _log.error("%s is there, but recorded nowhere: %s", work.target, undone.failure())
