"""The Dispatcher: tries handlers in the order that is a law, stops at the first that handles, and has it recorded."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
    NoHandlerAvailable,
    TargetFailure,
    TargetUnresolved,
)
from lading.domain.handler import Handler, Landing, SupportsRecovery, Work
from lading.domain.handler_calls import call_catalog, call_handler, precheck, preview_attempt, value_or_raise
from lading.domain.matcher import LocationMatcher
from lading.domain.recovery import Ledger, Outcome, Recovered, Recovery, lock_name, unresolved
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
    CatalogFailure,
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
from lading.ports.observer import SupportsWaiting

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)
_FETCH_FAILURES: Final = (
    NoHandlerAvailable, TargetUnresolved, ImageNotFound, AmbiguousImage, ImageNotActive, ImageWithoutData,
    CatalogUnavailable,
    StoreUnavailable,
)  # fmt: skip

_MOST_LOCATIONS: Final = 256
"""Of an image: whoever may set locations could keep a host busy for hours with thousands that never answer."""


def _now() -> datetime:
    return datetime.now(UTC)


@final
class Dispatcher:
    """Fetches, moves and removes images by the handlers it is given. It keeps nothing of a request: share it freely."""

    def __init__(
        self,
        handlers: Iterable[Handler],
        catalog: ImageCatalog,
        associations: AssociationStore,
        *,
        journal: Journal | None = None,
        locks: Locks | None = None,
        by_cost: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Without `journal` nothing that is cut off is found again; without `locks` the caller keeps requests apart.

        `by_cost`: the handlers' order is not a configured one, so that for each target the cheapest goes first.
        """
        self.handlers = tuple(handlers)
        self._by_name = {handler.name: handler for handler in self.handlers}
        if len(self._by_name) < len(self.handlers):
            raise ValueError(f"handlers share a name: {', '.join(handler.name for handler in self.handlers)}")
        self._matcher = LocationMatcher(self.handlers, by_cost=by_cost)
        self._catalog = catalog
        self._ledger = Ledger(associations, journal or NullJournal(), locks or NullLocks(), clock)
        self._recovery = Recovery(self._by_name, self._ledger)
        self._targets = Targets(self._by_name, self._ledger, self._recovery)

    def fetch(self, request: FetchRequest) -> Result[FetchResult, FetchFailure]:
        """Bring the image to the target by the first handler that can."""
        tried: list[AttemptResult] = []
        try:
            with closing(self.attempts(request)) as attempts:
                for attempt in attempts:
                    attempt.settle(_carry(attempt.handler, attempt.work))
                    tried.append(attempt.tried)
                    if attempt.landing is not None:
                        staged = _staged(attempt, attempt.landing, tried)
        except _FETCH_FAILURES as failure:
            return Failure(failure)
        # The attempts end in an exception or with the one that landed.
        return Success(staged)

    def attempts(self, request: FetchRequest) -> Generator[Attempt, None, None]:
        """The attempts in order, each lazily, until one is settled as handled. Closed early, what is settled stays so.

        Raises NoHandlerAvailable when none was, TargetUnresolved when an interrupted operation on the target can't be
        resolved, and the catalog's and the store's failures when it is their turn.
        """
        self._tell_wait(request)
        with self._recovery.exclusively([request.target], keep=True) as found:
            if (blocked := unresolved(found)) is not None:
                raise blocked
            kept = (each.intent for each in found if each.outcome is Outcome.KEPT)
            yield from self._driven(request, next((each for each in kept if each.target == request.target), None))

    def _tell_wait(self, request: FetchRequest) -> None:
        """Tells an observer that wants to know whom the request is about to wait for."""
        if request.target and isinstance(request.observer, SupportsWaiting):
            name = lock_name(request.target)
            reason = wait_reason(self._ledger.locks, name, f"is at work on {request.target}")
            if reason is not None:
                request.observer.waiting(reason)

    def _driven(self, request: FetchRequest, kept: Intent | None) -> Iterator[Attempt]:
        """`kept` is the intent of an earlier fetch to the target that this one may go on from."""
        tried: list[AttemptResult] = []
        ruled_out: set[str] = set()
        last: Attempt | None = None
        try:
            for attempt in self._in_order(request):
                if attempt.handler.name in ruled_out:
                    continue
                self._begin(attempt)
                last = attempt
                try:
                    yield attempt
                except GeneratorExit:
                    self._leave(attempt, kept)
                    raise
                _log.info("%s", attempt.tried)
                if attempt.refusal is None:
                    self._end(attempt, kept)
                    return
                tried.append(attempt.tried)
                kept = self._kept(attempt, kept)
                if attempt.refusal.scope is Scope.HANDLER:
                    ruled_out.add(attempt.handler.name)
                elif attempt.refusal.scope is Scope.REQUEST:
                    break
            raise NoHandlerAvailable(request.image_id, request.target, tuple(tried))
        except LadingError:
            self._give_up(last, kept)
            raise

    def _leave(self, attempt: Attempt, kept: Intent | None) -> None:
        """What was settled is settled, though nobody asks for more attempts; the rest is left to recovery."""
        try:
            if attempt.refusal is None:
                self._end(attempt, kept)
            elif not isinstance(attempt.refusal, Unsettled):
                self._give_up(attempt, self._kept(attempt, kept))
        except StoreUnavailable as failure:
            _log.warning("%s: the last attempt can't be settled yet: %s", attempt.work.target, failure)

    def _kept(self, attempt: Attempt, kept: Intent | None) -> Intent | None:
        """The intent of the fetch whose bytes are kept: this one's, if it has kept some."""
        if isinstance(attempt.refusal, Unavailable) and attempt.refusal.kept:
            return self._written(attempt.work.target)
        return kept

    def _written(self, target: str) -> Intent | None:
        return value_or_raise(self._ledger.journal.pending(target)) if target else None

    def _begin(self, attempt: Attempt) -> None:
        """Write down what is about to be tried, with the notes of what was tried before."""
        work = attempt.work
        if not work.target:
            return
        pending = self._written(work.target)
        notes = pending.notes if pending is not None and pending.verb is Verb.FETCH else {}
        image = work.image.redacted() if work.image else None
        location = work.location.redacted() if work.location else None
        name, force = attempt.handler.name, work.force
        intent = Intent(work.target, Verb.FETCH, name, self._ledger.clock(), image, location, force=force, notes=notes)
        attempt.work = value_or_raise(self._ledger.begin(work, intent))

    def _end(self, attempt: Attempt, kept: Intent | None) -> None:
        """Write down that it has come to its end; what was kept and not gone on from is of no use any more."""
        has_gone_on = attempt.landing is not None and not attempt.landing.present
        if kept is not None and not (has_gone_on and kept.handler == attempt.handler.name):
            self._recovery.drop(kept)
        if attempt.work.intent is not None:
            self._targets.settle(attempt.work.target)

    def _give_up(self, last: Attempt | None, kept: Intent | None) -> None:
        """Nothing is under way any more: what was kept stays written down, under the handler that keeps it.

        What a broken disk has left of the last attempt is seen to as after a crash.
        """
        if last is None or last.work.intent is None:
            return
        try:
            if kept is not None:
                value_or_raise(self._ledger.journal.begin(kept))
            if isinstance(self._by_name[kept.handler] if kept else last.handler, SupportsRecovery):
                self._recovery.of(last.work.target, keep=True)
            else:
                self._targets.settle(last.work.target)
        except StoreUnavailable as failure:
            _log.warning("%s: what was tried is not seen to yet: %s", last.work.target, failure)

    def plan(self, request: FetchRequest) -> tuple[Attempt, ...]:
        """All attempts in order, none of them made. Raises the catalog's and the store's failures."""
        return tuple(self._in_order(request))

    def preview(self, request: FetchRequest) -> tuple[AttemptPreview, ...]:
        """What `fetch` would try, in its order, up to a refusal that rules out the rest; nothing is done.

        The first that would do is the one that `fetch` ends with; those after it are what would be left if it failed.
        Raises the catalog's and the store's failures where `fetch` would end in them.
        """
        seen: list[AttemptPreview] = []
        ruled_out: set[str] = set()
        try:
            for attempt in self._in_order(request):
                handler, work = attempt.handler, attempt.work
                if handler.name in ruled_out:
                    continue
                outcome = preview_attempt(handler, work)
                seen.append(AttemptPreview(handler.name, work.location, cost_of(handler, work.target), outcome))
                scope = outcome.failure().scope if isinstance(outcome, Failure) else Scope.LOCATION
                if scope is Scope.HANDLER:
                    ruled_out.add(handler.name)
                elif scope is Scope.REQUEST:
                    break
        except LadingError:
            if not any(each.would for each in seen):
                raise
        return tuple(seen)

    def remove(
        self, target: str, context: Context = ANONYMOUS, *, force: bool = False, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Have the associated handler remove what it put at the target, and forget it. Gives what was recorded.

        `force` removes what is there even when it is another thing than was put there; `even_if_in_use` removes what
        another program has locked.
        """
        return self._targets.remove(target.strip(), context, force=force, even_if_in_use=even_if_in_use)

    def move(
        self, source: str, destination: str, context: Context = ANONYMOUS, *, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Have the associated handler move the source to the destination. Gives what is recorded there now.

        What another program has locked is moved within its file system; to another one only `even_if_in_use`.
        """
        return self._targets.move(source.strip(), destination.strip(), context, even_if_in_use=even_if_in_use)

    def verify(self, target: str, context: Context = ANONYMOUS) -> Result[Association, TargetFailure]:
        """Have the associated handler read what is at the target, all of it. Gives what is recorded of it now.

        HandlerRefused with a Mismatched names what changed.
        """
        return self._targets.verify(target.strip(), context)

    def forget(self, target: str) -> Result[Forgotten, TargetFailure]:
        """Forget what is recorded of the target and what was begun there, when neither can be acted on.

        No handler is called, and what is at the target stays. NotAssociated when there is nothing to forget.
        """
        return self._targets.forget(target.strip())

    def recover(self, target: str | None = None, *, keep: bool = True, give_up: bool = False) -> Iterator[Recovered]:
        """Recovers each interrupted operation, or that from or to the target: finishes it, or undoes it.

        It doesn't matter in which process it was. What the next fetch can resume is kept, if `keep`. What can't be
        resolved stays in the journal; with `give_up` it is settled. Nothing is done before it is iterated over, one
        operation a step. Raises StoreUnavailable.
        """
        return self._recovery.all(target, keep=keep, give_up=give_up)

    def _in_order(self, request: FetchRequest) -> Iterator[Attempt]:
        """The order that is a law, lazily: nothing is looked up before it is its turn."""
        association = value_or_raise(self._ledger.associations.get(request.target)) if request.target else None
        work = Work(
            request.target, None, None, request.context, association, request.force, request.observer,
            size=request.size, even_if_in_use=request.even_if_in_use,
        )  # fmt: skip

        if association is not None and _leads(association, request):
            yield from self._by_association(association, work, request)

        image = value_or_raise(self._look_up(request))
        work = replace(work, image=image)
        for handler, location in self._matcher.pairs(image.locations if image else (), request.target):
            yield Attempt(handler, replace(work, location=location), self._record)
        for handler in self._matcher.independent(request.target):
            yield Attempt(handler, work, self._record)

    def _by_association(self, association: Association, work: Work, request: FetchRequest) -> Iterator[Attempt]:
        handler = self._by_name.get(association.handler)
        if handler is None:
            _log.warning("%s", HandlerNotLoaded(association.target, association.handler, tuple(self._by_name)))
            return
        image, location = association.image, association.location
        if location is not None and location.is_redacted:
            image, location = self._restored(image, location, request)
        yield Attempt(handler, replace(work, image=image, location=location), self._record)

    def _restored(
        self, image: Image | None, location: Location, request: FetchRequest
    ) -> tuple[Image | None, Location]:
        """Credentials are never recorded, so this asks the catalog for the location that is meant; else as recorded."""
        found = self._look_up(request).value_or(None)
        usable = (each for each in found.locations if str(each) == location.url) if found else iter(())
        return next(((found, each) for each in usable), (image, location))

    def _look_up(self, request: FetchRequest) -> Result[Image | None, CatalogFailure]:
        if request.image_id is None:
            return Success(None)
        return (
            call_catalog(self._catalog.find, request.image_id, request.context)
            .bind(_fetchable)
            .bind(
                lambda image: call_catalog(self._catalog.locations, image, request.context).map(
                    lambda locations: replace(image, locations=_bounded(image, locations))
                )
            )
        )

    def _record(self, handler: Handler, work: Work, landing: Landing) -> None:
        if not work.target or landing.present:
            return
        image = work.image.redacted() if work.image else None
        location = work.location.redacted() if work.location else None
        association = Association(work.target, handler.name, image, location, self._ledger.clock())
        landed = landing.recorded_in(association)
        try:
            recorded = self._ledger.associations.put(landed)
        except BaseException:
            # It may be recorded all the same, and then it must stay. With an intent, recovery finds out.
            if work.intent is None and self._ledger.associations.get(work.target) != Success(landed):
                self._undo(handler, replace(work, association=landed))
            raise
        match recorded:
            case Failure(failure):
                self._undo(handler, replace(work, association=landed))
                raise failure

    def _undo(self, handler: Handler, work: Work) -> None:
        """Take back what could not be recorded, unless it has replaced something: then it is all there is."""
        reason = "it replaced what was there" if work.force else None
        if reason is None:
            undone = call_handler(handler, work, type(None), handler.remove, work)
            reason = undone.failure().reason if isinstance(undone, Failure) else None
        if reason is not None:
            _log.error("%s is there, but recorded nowhere: %s", work.target, reason)


def _staged(attempt: Attempt, landing: Landing, tried: list[AttemptResult]) -> FetchResult:
    work = attempt.work
    location = landing.location or work.location
    return FetchResult(work.image, work.target, attempt.handler.name, location, landing, tuple(tried))


def _bounded(image: Image, locations: Sequence[Location]) -> Sequence[Location]:
    if len(locations) > _MOST_LOCATIONS:
        _log.warning("image %s has %d locations; the first %d are tried", image.id, len(locations), _MOST_LOCATIONS)
    return locations[:_MOST_LOCATIONS]


def _leads(association: Association, request: FetchRequest) -> bool:
    """One about another image doesn't lead: the origin never looked, and could hand over that image's bytes.

    A name may be another image's by now; whoever forces means that one. Nor does one about an image without data, which
    an earlier version fetched as 0 bytes.
    """
    if association.image is not None and disks_elsewhere(association.image) is not None:
        return False
    if request.image_id is None or association.image is None:
        return True
    return request.image_id == association.image.id or (association.is_of(request.image_id) and not request.force)


def _fetchable(image: Image) -> Result[Image, CatalogFailure]:
    """The image, if it has data and that is for use."""
    if image.status != "active":
        return Failure(ImageNotActive(image.id, image.status))
    if (disks := disks_elsewhere(image)) is not None:
        return Failure(ImageWithoutData(image.id, disks))
    return Success(image)


def _carry(handler: Handler, work: Work) -> Result[Landing, Refusal]:
    if (why_not := precheck(handler, work)) is not None:
        return Failure(why_not)
    return call_handler(handler, work, Landing, handler.fetch, work)
