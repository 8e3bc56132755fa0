"""The Dispatcher: tries handlers in the order that is a law, stops at the first success, and records it."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, final

from returns.result import Failure, Result, Success

from lading.domain.attempts import Attempt, AttemptPreview, FetchRequest, FetchResult
from lading.domain.cost import cost_of
from lading.domain.failures import (
    AttemptResult,
    FetchFailure,
    HandlerNotLoaded,
    HandlerRefused,
    NoHandlerAvailable,
    NotAssociated,
    TargetFailure,
    TargetUnresolved,
)
from lading.domain.handler import Handler, Landing, Report, SupportsRecovery, SupportsReport, Work
from lading.domain.handler_calls import call_catalog, call_handler, precheck, preview_attempt, value_or_raise
from lading.domain.ledger import Ledger, lock_name
from lading.domain.matcher import LocationMatcher
from lading.domain.preparation import Preparation
from lading.domain.recovery import Outcome, Recovered, Recovery, require_resolved
from lading.domain.refusals import Refusal, Scope, Unavailable, Unsettled
from lading.domain.targets import Forgotten, Targets
from lading.domain.volume_backed import disks_elsewhere
from lading.domain.waiting import wait_reason
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogUnavailable,
    ImageNotActive,
    ImageNotFound,
    ImageWithoutData,
    LadingError,
    StoreUnavailable,
)
from lading.ports.image import Image
from lading.ports.journal import Intent, Journal, NullJournal, Verb
from lading.ports.location import Location
from lading.ports.locks import Locks, NullLocks
from lading.ports.observer import NullObserver, Observer, SupportsWaiting

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)
_CATALOG_FAILURES: Final = ImageNotFound, AmbiguousImage, ImageNotActive, ImageWithoutData, CatalogUnavailable
_FETCH_FAILURES: Final = NoHandlerAvailable, TargetUnresolved, StoreUnavailable, *_CATALOG_FAILURES
_TARGET_FAILURES: Final = NotAssociated, HandlerNotLoaded, HandlerRefused, TargetUnresolved, StoreUnavailable

_MOST_LOCATIONS: Final = 256
"""The locations of an image that are tried. Thousands that never answer could keep a host busy for hours."""


def _now() -> datetime:
    return datetime.now(UTC)


@final
class Dispatcher:
    """Fetches, moves, removes and verifies images by its handlers. It keeps no state of a request; share it freely.

    The first operation that may call a handler prepares all handlers; `plan`, `preview`, `report` and `forget` do not.
    """

    def __init__(  # noqa: PLR0913 - the parts that it is made of, most of them optional
        self,
        handlers: Iterable[Handler],
        catalog: ImageCatalog,
        associations: AssociationStore,
        *,
        journal: Journal | None = None,
        locks: Locks | None = None,
        files: SupportsReport | None = None,
        by_cost: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Without `journal` interrupted operations are not recovered; without `locks` the caller separates requests.

        `files` reports on files of this host whose handler is not loaded or does not report on them. `by_cost`: the
        cheapest handler for each target goes first, and the order of `handlers` decides between equals.
        """
        self.handlers = tuple(handlers)
        self._by_name = {handler.name: handler for handler in self.handlers}
        if len(self._by_name) < len(self.handlers):
            raise ValueError(f"handlers share a name: {', '.join(handler.name for handler in self.handlers)}")
        self._matcher = LocationMatcher(self.handlers, by_cost=by_cost)
        self._catalog = catalog
        self._ledger = Ledger(associations, journal or NullJournal(), locks or NullLocks(), clock)
        self._preparation = Preparation(self.handlers, associations)
        self._recovery = Recovery(self._by_name, self._ledger)
        self._targets = Targets(self._by_name, self._ledger, self._recovery, files)

    def prepare(self) -> None:
        """Lets each handler re-establish what a restart of the host lost, once. A failure is a warning.

        A program that wants this done at its start calls it then.
        """
        self._preparation.prepare()

    # Fetching.

    def fetch(self, request: FetchRequest) -> Result[FetchResult, FetchFailure]:
        """Fetches the image to the target by the first handler that can."""
        results: list[AttemptResult] = []
        try:
            with closing(self.attempts(request)) as attempts:
                for attempt in attempts:
                    attempt.settle(_call_fetch(attempt.handler, attempt.work))
                    results.append(attempt.result)
                    if attempt.landing is not None:
                        fetched = _fetch_result(attempt, attempt.landing, results)
        except _FETCH_FAILURES as failure:
            return Failure(failure)
        # The attempts end with an exception, or with the one that landed.
        return Success(fetched)

    def fetch_or_raise(self, request: FetchRequest) -> FetchResult:
        """Fetches the image to the target by the first handler that can. Raises the members of FetchFailure."""
        return value_or_raise(self.fetch(request))

    def attempts(self, request: FetchRequest) -> Generator[Attempt, None, None]:
        """Yields the attempts of a fetch in order, until the caller settles one as a success.

        Each is made lazily. Closed early, settled attempts stay settled. Raises NoHandlerAvailable when none succeeded,
        TargetUnresolved when an interrupted operation on the target cannot be resolved, and the failures of the
        catalog and the store in their turn.
        """
        self.prepare()
        self._report_wait(request)
        with self._recovery.exclusively([request.target]) as interrupted:
            found = self._recovery.recover(interrupted, keep=True)
            require_resolved(found)
            kept = (each.intent for each in found if each.outcome is Outcome.KEPT)
            yield from self._journaled(request, next((each for each in kept if each.target == request.target), None))

    def plan(self, request: FetchRequest) -> tuple[Attempt, ...]:
        """The attempts of a fetch in order; none is made. Raises the failures of the catalog and the store."""
        return tuple(self._in_order(request))

    def preview(self, request: FetchRequest) -> tuple[AttemptPreview, ...]:
        """The attempts of a fetch in order, each with its expected outcome, up to a refusal that ends the request.

        The first that would succeed is the one that `fetch` ends with; those after it are the alternatives. Moves no
        byte. As for `fetch`, an interrupted operation on the target is recovered first, unless the target is locked.
        Raises TargetUnresolved and the failures of the catalog and the store where `fetch` would fail with them.
        """
        self._require_resolved(request.target)
        previews: list[AttemptPreview] = []
        try:
            for attempt in self._turns(request):
                handler, work = attempt.handler, attempt.work
                outcome = preview_attempt(handler, work)
                if isinstance(outcome, Failure):
                    attempt.settle(outcome)
                previews.append(AttemptPreview(handler.name, work.location, cost_of(handler, work.target), outcome))
        except LadingError:
            if not any(each.would for each in previews):
                raise
        return tuple(previews)

    # Recorded targets.

    def remove(
        self, target: str, context: Context = ANONYMOUS, *, force: bool = False, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Removes what is at the target, by the associated handler. Returns the association that is removed too.

        `force` removes what is there even when it is not what was put there; `even_if_in_use` removes what another
        program has locked.
        """
        self.prepare()
        try:
            return Success(self._targets.remove(target.strip(), context, force=force, even_if_in_use=even_if_in_use))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def move(
        self, source: str, destination: str, context: Context = ANONYMOUS, *, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Moves the source to the destination, by the associated handler. Returns the association of the destination.

        What another program has locked is moved within its file system; to another one only with `even_if_in_use`.
        """
        self.prepare()
        try:
            source, destination = source.strip(), destination.strip()
            return Success(self._targets.move(source, destination, context, even_if_in_use=even_if_in_use))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def verify(self, target: str, context: Context = ANONYMOUS) -> Result[Association, TargetFailure]:
        """Reads all that is at the target and compares it with the association. Returns the association as of now.

        A changed or missing target is a HandlerRefused with that `state`, and a Mismatched that names the difference.
        """
        self.prepare()
        try:
            return Success(self._targets.verify(target.strip(), context))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def report(self, target: str, context: Context = ANONYMOUS) -> Result[Report, TargetFailure]:
        """Reports the state of a recorded target without reading its data. Changes nothing.

        The associated handler reports, or else, on a file of this host, `files`. UNKNOWN where neither can.
        """
        try:
            return Success(self._targets.report(target.strip(), context))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def forget(self, target: str) -> Result[Forgotten, TargetFailure]:
        """Removes the association of the target, and the intents from or to it. For when neither is of use any more.

        No handler is called, and what is at the target stays. NotAssociated when there is nothing to remove.
        """
        try:
            return Success(self._targets.forget(target.strip()))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def proven(self, association: Association, context: Context = ANONYMOUS) -> Association | None:
        """The association as of now, if the target still is what was put there; else None.

        For records of doubtful origin: the store is neither read nor written, and no handler is prepared.
        """
        return self._targets.proven(association, context)

    # Interrupted operations.

    def recover(self, target: str | None = None, *, keep: bool = True, give_up: bool = False) -> Iterator[Recovered]:
        """Recovers each interrupted operation, or those from or to the target: finishes it, or undoes it.

        It may have been started by any process. With `keep`, partial data that the next fetch can resume is kept. An
        unresolved operation stays in the journal; `give_up` settles it. Nothing is done before the first step; each
        step recovers one operation. Raises StoreUnavailable.
        """
        for intent in self._recovery.interrupted(target):
            self.prepare()
            if (found := self._recovery.recover_unlocked(intent, keep=keep, give_up=give_up)) is not None:
                yield found

    def resume(self, kept: Recovered, observer: Observer | None = None, context: Context = ANONYMOUS) -> Recovered:
        """Resumes an interrupted fetch whose partial data was kept. After a failure the partial data is removed.

        Returns the new outcome, with the bytes that were resumed or the reason of the failure. Raises StoreUnavailable.
        """
        intent = kept.intent
        request = FetchRequest(
            intent.image.id if intent.image else None, intent.target, context, intent.force,
            observer or NullObserver(), even_if_in_use=intent.even_if_in_use,
        )  # fmt: skip
        fetched = self.fetch(request)
        if isinstance(fetched, Failure):
            dropped = next(self.recover(intent.target, keep=False), None)
            return Recovered(intent, dropped.outcome if dropped else Outcome.UNDONE, str(fetched.failure()))
        return Recovered(intent, Outcome.FINISHED, kept=fetched.unwrap().landing.resumed)

    # The order that is a law.

    def _in_order(self, request: FetchRequest) -> Iterator[Attempt]:
        """Yields all attempts in order, lazily: nothing is looked up before its turn."""
        association = self._ledger.association(request.target)
        work = Work(
            request.target, None, None, request.context, association, request.force, request.observer,
            size=request.size, even_if_in_use=request.even_if_in_use,
        )  # fmt: skip
        if association is not None and _leads(association, request):
            yield from self._by_association(association, work, request)
        image = self._image(request)
        work = replace(work, image=image)
        for handler, location in self._matcher.pairs(image.locations if image else (), request.target):
            yield Attempt(handler, replace(work, location=location), self._record)
        for handler in self._matcher.independent(request.target):
            yield Attempt(handler, work, self._record)

    def _turns(self, request: FetchRequest) -> Iterator[Attempt]:
        """Yields the attempts in order, without those that an earlier refusal rules out."""
        ruled_out: set[str] = set()
        for attempt in self._in_order(request):
            if attempt.handler.name in ruled_out:
                continue
            yield attempt
            scope = attempt.refusal.scope if attempt.refusal else None
            if scope is Scope.REQUEST:
                return
            if scope is Scope.HANDLER:
                ruled_out.add(attempt.handler.name)

    def _by_association(self, association: Association, work: Work, request: FetchRequest) -> Iterator[Attempt]:
        handler = self._by_name.get(association.handler)
        if handler is None:
            _log.warning("%s", HandlerNotLoaded(association.target, association.handler, tuple(self._by_name)))
            return
        image, location = association.image, association.location
        if location is not None and location.is_redacted:
            image, location = self._with_credentials(image, location, request)
        yield Attempt(handler, replace(work, image=image, location=location), self._record)

    def _with_credentials(
        self, image: Image | None, location: Location, request: FetchRequest
    ) -> tuple[Image | None, Location]:
        """The recorded location with its credentials, which only the catalog has; as recorded where it has none."""
        try:
            found = self._image(request)
        except _CATALOG_FAILURES:
            return image, location
        usable = (each for each in found.locations if str(each) == location.url) if found else iter(())
        return next(((found, each) for each in usable), (image, location))

    def _image(self, request: FetchRequest) -> Image | None:
        """The image with its locations, as the catalog has it; None where the request names none.

        Raises the members of CatalogFailure, also for an image without usable data.
        """
        if request.image_id is None:
            return None
        image = value_or_raise(call_catalog(self._catalog.find, request.image_id, request.context))
        if image.status != "active":
            raise ImageNotActive(image.id, image.status)
        if (disks := disks_elsewhere(image)) is not None:
            raise ImageWithoutData(image.id, disks)
        locations = value_or_raise(call_catalog(self._catalog.locations, image, request.context))
        if len(locations) > _MOST_LOCATIONS:
            _log.warning("image %s has %d locations; the first %d are tried", image.id, len(locations), _MOST_LOCATIONS)
        return replace(image, locations=locations[:_MOST_LOCATIONS])

    # The journal of a fetch.

    def _report_wait(self, request: FetchRequest) -> None:
        """Tells the observer, if it supports that, what the request is about to wait for."""
        if request.target and isinstance(request.observer, SupportsWaiting):
            name = lock_name(request.target)
            reason = wait_reason(self._ledger.locks, name, f"is at work on {request.target}")
            if reason is not None:
                request.observer.waiting(reason)

    def _require_resolved(self, target: str) -> None:
        """Raises TargetUnresolved where a fetch would. Recovers the target's operations, unless it is locked."""
        for intent in self._recovery.interrupted(target) if target else ():
            self.prepare()
            found = self._recovery.recover_unlocked(intent, keep=True, level=logging.INFO)
            require_resolved([found] if found else [])

    def _journaled(self, request: FetchRequest, kept: Intent | None) -> Iterator[Attempt]:
        """Yields the attempts, with the current one in the journal. `kept`: an earlier fetch that can be resumed."""
        results: list[AttemptResult] = []
        last: Attempt | None = None
        try:
            for attempt in self._turns(request):
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
            if isinstance(self._by_name[kept.handler] if kept else last.handler, SupportsRecovery):
                self._recovery.recover_target(target, keep=True)
            else:
                self._ledger.end(target)
        except StoreUnavailable as failure:
            _log.warning("%s: the last attempt is not recovered yet: %s", target, failure)

    # The record of a fetch.

    def _record(self, handler: Handler, work: Work, landing: Landing) -> None:
        """Records what landed. What cannot be recorded is removed. Raises StoreUnavailable."""
        if not work.target or landing.present:
            return
        image = work.image.redacted() if work.image else None
        location = work.location.redacted() if work.location else None
        association = Association(work.target, handler.name, image, location, self._ledger.clock())
        landed = landing.recorded_in(association)
        try:
            self._ledger.record(landed)
        except StoreUnavailable:
            _undo(handler, replace(work, association=landed))
            raise
        except BaseException:
            # It may be recorded all the same, and must stay then. Where there is an intent, recovery finds out.
            if work.intent is None and self._ledger.associations.get(work.target) != Success(landed):
                _undo(handler, replace(work, association=landed))
            raise


def _call_fetch(handler: Handler, work: Work) -> Result[Landing, Refusal]:
    if (refusal := precheck(handler, work)) is not None:
        return Failure(refusal)
    return call_handler(handler.name, work, Landing, handler.fetch, work)


def _fetch_result(attempt: Attempt, landing: Landing, results: list[AttemptResult]) -> FetchResult:
    work = attempt.work
    location = landing.location or work.location
    return FetchResult(work.image, work.target, attempt.handler.name, location, landing, tuple(results))


def _undo(handler: Handler, work: Work) -> None:
    """Removes what could not be recorded. What replaced something stays: nothing else is left."""
    if work.force:
        _log.error("%s is there, but recorded nowhere: it replaced what was there", work.target)
        return
    undone = call_handler(handler.name, work, type(None), handler.remove, work)
    if isinstance(undone, Failure):
        _log.error("%s is there, but recorded nowhere: %s", work.target, undone.failure().reason)


def _leads(association: Association, request: FetchRequest) -> bool:
    """Tells whether the associated handler goes first. It does not for another image: its bytes would be wrong.

    A name may belong to another image by now; a forced request means that one. A record of an image without data, which
    an earlier version fetched as 0 bytes, does not lead either.
    """
    if association.image is not None and disks_elsewhere(association.image) is not None:
        return False
    if request.image_id is None or association.image is None:
        return True
    return request.image_id == association.image.id or (association.is_of(request.image_id) and not request.force)
