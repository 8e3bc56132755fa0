"""The Dispatcher: tries handlers in the order that is a law, stops at the first that handles, and has it recorded."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar, final

from returns.result import Failure, Result, Success

from lading.domain.asking import ask
from lading.domain.attempts import Attempt, FetchRequest, Staged
from lading.domain.failures import (
    FetchFailure,
    HandlerNotLoaded,
    HandlerRefused,
    NoHandlerAvailable,
    NotAssociated,
    TargetFailure,
    Tried,
)
from lading.domain.handler import Handler, Landing, Work
from lading.domain.matcher import LocationMatcher
from lading.domain.refusals import Refusal, Scope, Unavailable, Unsupported
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.context import NOBODY, Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogFailure,
    CatalogUnavailable,
    ImageNotActive,
    ImageNotFound,
    LadingError,
    StoreUnavailable,
)
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")
_Nothing: Final = type(None)
_FETCH_FAILURES: Final = (
    NoHandlerAvailable, ImageNotFound, AmbiguousImage, ImageNotActive, CatalogUnavailable, StoreUnavailable,
)  # fmt: skip


class _Held(NamedTuple):
    """A target that is recorded, and what is needed to do something about it."""

    handler: Handler
    work: Work
    association: Association


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
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.handlers = tuple(handlers)
        self._by_name = {handler.name: handler for handler in self.handlers}
        if len(self._by_name) < len(self.handlers):
            raise ValueError(f"handlers share a name: {', '.join(handler.name for handler in self.handlers)}")
        self._matcher = LocationMatcher(self.handlers)
        self._catalog = catalog
        self._associations = associations
        self._clock = clock

    def fetch(self, request: FetchRequest) -> Result[Staged, FetchFailure]:
        """Bring the image to the target by the first handler that can."""
        tried: list[Tried] = []
        try:
            for attempt in self.attempts(request):
                attempt.settle(_carry(attempt.handler, attempt.work))
                tried.append(attempt.tried)
                if attempt.landing is not None:
                    staged = _staged(attempt, attempt.landing, tried)
        except _FETCH_FAILURES as failure:
            return Failure(failure)
        # The attempts end in an exception or with the one that landed.
        return Success(staged)

    def attempts(self, request: FetchRequest) -> Iterator[Attempt]:
        """The attempts in order, each lazily, until one is settled as handled.

        Raises NoHandlerAvailable when none was, and the catalog's and the store's failures when it is their turn.
        """
        tried: list[Tried] = []
        ruled_out: set[str] = set()
        for attempt in self._in_order(request):
            if attempt.handler.name in ruled_out:
                continue
            yield attempt
            _log.info("%s", attempt.tried)
            if attempt.refusal is None:
                return
            tried.append(attempt.tried)
            if attempt.refusal.scope is Scope.HANDLER:
                ruled_out.add(attempt.handler.name)
            elif attempt.refusal.scope is Scope.REQUEST:
                break
        raise NoHandlerAvailable(request.image_id, request.target, tuple(tried))

    def plan(self, request: FetchRequest) -> tuple[Attempt, ...]:
        """All attempts in order, none of them made. Raises the catalog's and the store's failures."""
        return tuple(self._in_order(request))

    def remove(
        self, target: str, context: Context = NOBODY, *, force: bool = False
    ) -> Result[Association, TargetFailure]:
        """Have the associated handler remove what it put at the target, and forget it. Gives what was recorded.

        `force` removes what is there even when it is another thing than was put there.
        """

        def release(held: _Held) -> Result[Association, TargetFailure]:
            return (
                _answer(held, _Nothing, held.handler.remove, replace(held.work, force=force))
                .bind(lambda _: self._associations.remove(held.association.target))
                .map(lambda _: held.association)
            )

        return self._held(target, context).bind(release)

    def move(self, source: str, destination: str, context: Context = NOBODY) -> Result[Association, TargetFailure]:
        """Have the associated handler move the source to the destination. Gives what is recorded there now."""
        destination = destination.strip()

        def relocate(held: _Held) -> Result[Association, TargetFailure]:
            if not destination or destination == held.association.target:
                reason = "the destination is the source" if destination else "the destination is blank"
                return Failure(HandlerRefused(held.association.target, held.handler.name, Unsupported(reason)))
            return _answer(held, Landing, held.handler.move, held.work, destination).bind(
                lambda landing: record(held, landing)
            )

        def record(held: _Held, landing: Landing) -> Result[Association, TargetFailure]:
            moved = replace(held.association, target=destination, fingerprint=landing.fingerprint)
            return (
                self._associations.put(moved)
                .alt(lambda failure: self._move_back(held, destination, failure))
                .bind(lambda _: self._associations.remove(held.association.target))
                .map(lambda _: moved)
            )

        return self._held(source, context).bind(relocate)

    def _in_order(self, request: FetchRequest) -> Iterator[Attempt]:
        """The order that is a law, lazily: nothing is looked up before it is its turn."""
        association = _value_or_raise(self._associations.get(request.target)) if request.target else None
        work = Work(request.target, None, None, request.context, association, request.force, request.observer)

        if association is not None and _leads(association, request):
            yield from self._by_association(association, work, request)

        image = _value_or_raise(self._look_up(request))
        work = replace(work, image=image)
        for handler, location in self._matcher.pairs(image.locations if image else ()):
            yield Attempt(handler, replace(work, location=location), self._record)
        for handler in self._matcher.independent:
            yield Attempt(handler, work, self._record)

    def _by_association(self, association: Association, work: Work, request: FetchRequest) -> Iterator[Attempt]:
        handler = self._by_name.get(association.handler)
        if handler is None:
            _log.warning("%s", HandlerNotLoaded(association.target, association.handler, tuple(self._by_name)))
            return
        image, location = association.image, association.location
        if location is not None and location.is_withheld:
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
            self._catalog.find(request.image_id, request.context)
            .bind(_active)
            .bind(
                lambda image: self._catalog.locations(image, request.context).map(
                    lambda locations: replace(image, locations=locations)
                )
            )
        )

    def _record(self, handler: Handler, work: Work, landing: Landing) -> None:
        if not work.target or landing.present:
            return
        image = replace(work.image, locations=()) if work.image else None
        location = work.location.withheld() if work.location else None
        association = Association(work.target, handler.name, image, location, self._clock())
        recorded: Result[None, StoreUnavailable] | None = None
        try:
            recorded = self._associations.put(landing.recorded_in(association))
        finally:
            # Also when it was interrupted: what nobody knows of must not stay.
            if not isinstance(recorded, Success):
                self._undo(handler, work)
        match recorded:
            case Failure(failure):
                raise failure

    def _undo(self, handler: Handler, work: Work) -> None:
        """Take back what could not be recorded, unless it has replaced something: then it is all there is."""
        reason = "it replaced what was there" if work.force else None
        if reason is None:
            undone = ask(handler, work, _Nothing, handler.remove, work)
            reason = undone.failure().reason if isinstance(undone, Failure) else None
        if reason is not None:
            _log.error("%s is there, but recorded nowhere: %s", work.target, reason)

    def _held(self, target: str, context: Context) -> Result[_Held, TargetFailure]:
        target = target.strip()

        def hold(association: Association | None) -> Result[_Held, TargetFailure]:
            if association is None:
                return Failure(NotAssociated(target))
            handler = self._by_name.get(association.handler)
            if handler is None:
                return Failure(HandlerNotLoaded(target, association.handler, tuple(self._by_name)))
            work = Work(target, association.image, association.location, context, association)
            return Success(_Held(handler, work, association))

        recalled: Result[Association | None, TargetFailure] = (
            self._associations.get(target) if target else Success(None)
        )
        return recalled.bind(hold)

    def _move_back(self, held: _Held, destination: str, failure: StoreUnavailable) -> StoreUnavailable:
        source = held.association.target
        undone = ask(
            held.handler, held.work, Landing, held.handler.move, replace(held.work, target=destination), source
        )
        if isinstance(undone, Failure):
            _log.error("%s is at %s now, but recorded nowhere: %s", source, destination, undone.failure().reason)
        return failure


def _staged(attempt: Attempt, landing: Landing, tried: list[Tried]) -> Staged:
    work = attempt.work
    return Staged(work.image, work.target, attempt.handler.name, work.location, landing, tuple(tried))


def _leads(association: Association, request: FetchRequest) -> bool:
    """One about another image doesn't lead: the origin never looked, and could hand over that image's bytes.

    A name may be another image's by now; whoever forces means that one.
    """
    if request.image_id is None or association.image is None:
        return True
    return request.image_id == association.image.id or (association.is_of(request.image_id) and not request.force)


def _active(image: Image) -> Result[Image, CatalogFailure]:
    return Success(image) if image.status == "active" else Failure(ImageNotActive(image.id, image.status))


def _carry(handler: Handler, work: Work) -> Result[Landing, Refusal]:
    if work.location is not None and work.location.is_withheld:
        return Failure(Unavailable("its credentials are not recorded, and the catalog has it no longer"))
    return ask(handler, work, Landing, handler.fetch, work)


def _answer(
    held: _Held, given: type[_Done], verb: Callable[..., Result[_Done, Refusal]], *arguments: object
) -> Result[_Done, TargetFailure]:
    return ask(held.handler, held.work, given, verb, *arguments).alt(
        lambda refusal: HandlerRefused(held.association.target, held.handler.name, refusal)
    )


def _value_or_raise(outcome: Result[_Done, LadingError]) -> _Done:
    """For generators, whose callers see failures as exceptions."""
    match outcome:
        case Failure(failure):
            raise failure
    return outcome.unwrap()
