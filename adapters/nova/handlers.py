"""The five functions of the original API, for one catalog and one store."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters import plugins
from lading.adapters.nova.convert import (
    ImageLocation,
    context_from_request,
    image_to_meta,
    location_to_plain,
    match_locations,
    recordable_image,
    recordable_location,
)
from lading.adapters.nova.handler import ImageHandler
from lading.adapters.nova.legacy import LegacyHandler, landed
from lading.adapters.nova.native import NativeImageHandler
from lading.domain.attempts import Attempt, FetchRequest
from lading.domain.dispatcher import Dispatcher
from lading.domain.failures import AttemptResult, NoHandlerAvailable
from lading.domain.handler import Handler
from lading.domain.loading import load_handlers
from lading.domain.refusals import Unsupported
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import StoreUnavailable

__all__ = ["GROUP", "ImageHandlers", "NoImageHandlerAvailable", "Turn"]

GROUP: Final = "nova.virt.image.handlers"
"""The entry-point group of handlers of the original API."""

Turn = tuple[ImageHandler, ImageLocation | None, dict[str, object] | None]
"""The handler, the location (None for a location-independent turn) and the image_meta that `handle_image` yields."""


@dataclass(eq=False)
class NoImageHandlerAvailable(NoHandlerAvailable):
    """No handler handled the image."""

    image_id: str | None = None
    target: str = ""
    attempts: tuple[AttemptResult, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    dispatcher: Dispatcher
    image_handlers: dict[str, ImageHandler]


def _now() -> datetime:
    return datetime.now(UTC)


class ImageHandlers:
    """The loaded handlers, and the original API's functions as methods.

    `available` has the factories of lading's own handlers by name; None: the installed handlers, configured by the
    settings in force (see `load_settings`). `order` has the names that are loaded by default (None: all, the cheapest
    first). Safe to share between threads. Loading again replaces the handlers for the requests that start afterwards.
    """

    def __init__(
        self,
        catalog: ImageCatalog,
        associations: AssociationStore,
        available: Mapping[str, Callable[[], Handler]] | None = None,
        order: Iterable[str] | None = (),
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._catalog = catalog
        self._associations = associations
        self._available = available
        self._order = None if order is None else tuple(order)
        self._clock = clock
        self._loaded = _Loaded(Dispatcher((), catalog, associations), {})

    @property
    def loaded(self) -> tuple[ImageHandler, ...]:
        """The loaded handlers in their order."""
        return tuple(self._loaded.image_handlers.values())

    def load_image_handlers(self, driver: object, names: Iterable[str] | None = None) -> None:
        """Load the named handlers in place of those loaded before. What is associated stays associated."""
        legacy = {name: partial(self._legacy, entry, driver) for name, entry in plugins.discover(GROUP).items()}
        names = self._order if names is None else names
        # A configuration list may have None for a blank.
        wanted = None if names is None else tuple(name for name in names if name is not None)
        handlers = load_handlers(wanted, {**self._own(), **legacy}).handlers
        dispatcher = Dispatcher(handlers, self._catalog, self._associations, by_cost=wanted is None)
        dispatcher.prepare()  # callers drive the handlers themselves
        self._loaded = _Loaded(
            dispatcher,
            {
                handler.name: handler.handler
                if isinstance(handler, LegacyHandler) and handler.name in legacy
                else self._native(handler, driver)
                for handler in handlers
            },
        )

    def handle_image(
        self,
        context: object = None,
        image_id: str | None = None,
        user_id: str | None = None,
        project_id: str | None = None,
        target_path: str | None = None,
    ) -> Iterator[Turn]:
        """Yields each handler's turn until one has handled an operation. Call the handler in the same thread.

        The catalog is called when there are both a context and an image id. Raises NoImageHandlerAvailable when no
        handler handled, and the failures of the catalog and the store when these are called.
        """
        loaded = self._loaded
        requester = context_from_request(context, user_id, project_id)
        request = FetchRequest(image_id if context else None, target_path or "", requester)
        if not loaded.image_handlers:
            raise NoImageHandlerAvailable(image_id, request.target)
        try:
            for attempt in loaded.dispatcher.attempts(request):
                if not context and _is_of_another(attempt, image_id):
                    attempt.settle(Failure(Unsupported("the target's association is with another image")))
                    continue
                handler = loaded.image_handlers[attempt.handler.name]
                with handler.open_turn(request.target, image_id) as turn:
                    yield handler, location_to_plain(attempt.location), image_to_meta(attempt.work.image)
                # The hooks have recorded the operation already. A Landing here would associate a removed target again.
                attempt.settle(Success(None) if turn.handled else Failure(Unsupported("not handled")))
        except NoHandlerAvailable as failure:
            raise NoImageHandlerAvailable(image_id, failure.target, failure.attempts) from None

    match_locations = staticmethod(match_locations)

    def _own(self) -> Mapping[str, Callable[[], Handler]]:
        """lading's own handlers: those of `available`, else the installed handlers, configured by the settings."""
        if self._available is None:
            from lading.adapters.container import embedded_handlers  # noqa: PLC0415 - slow, and not always needed

            self._available = embedded_handlers(self._catalog, self._associations)
        return self._available

    def associate(self, handler: object, path: str, location: object, image_meta: object) -> None:
        """Records that this handler (an object or its name) put the image at the path.

        Raises ValueError for a handler that is not loaded, and StoreUnavailable.
        """
        self._associate_as(self._name_of(handler), handler, path, location, image_meta)

    def disassociate(self, handler: object, path: str) -> None:
        """Removes the association of the path, whichever handler it names. Raises StoreUnavailable."""
        if isinstance(path, str) and (target := path.strip()):
            _raise_failure(self._associations.remove(target))

    def _legacy(self, entry: EntryPoint, driver: object) -> Handler:
        hook = partial(self._associate_as, entry.name)
        return LegacyHandler(
            entry.name, entry.load()(driver=driver, associate_fn=hook, disassociate_fn=self.disassociate)
        )

    def _native(self, handler: Handler, driver: object) -> ImageHandler:
        hook = partial(self._associate_as, handler.name)
        return NativeImageHandler(
            driver, handler, self._associations.get, associate_fn=hook, disassociate_fn=self.disassociate
        )

    def _name_of(self, handler: object) -> str:
        if isinstance(handler, str):
            return handler
        for name, loaded in self._loaded.image_handlers.items():
            if loaded is handler:
                return name
        known = ", ".join(self._loaded.image_handlers) or "none"
        raise ValueError(f"{handler!r} is not a loaded handler (loaded: {known})")

    def _associate_as(self, name: str, handler: object, path: object, location: object, image_meta: object) -> None:
        """Records a path for the handler of this name. Handlers may call it from their constructor."""
        if not isinstance(path, str) or not (target := path.strip()):
            return
        image, place = recordable_image(image_meta), recordable_location(location)
        association = _completed(Association(target, name, image, place, self._clock()), handler)
        if association is not None:
            _raise_failure(self._associations.put(association))


def _completed(association: Association, handler: object) -> Association | None:
    """Returns the association with the result of the transfer; None when the recorded association must stay."""
    match handler:
        case NativeImageHandler():
            return handler.completed(association)
        case ImageHandler():
            return landed(handler, association.target).recorded_in(association)
    return association


def _is_of_another(attempt: Attempt, image_id: str | None) -> bool:
    """Returns True for an attempt by an association with another image.

    Without a context, the Dispatcher does not get the image id, and so does not check this itself.
    """
    recorded, requested = attempt.work.image, (image_id or "").strip()
    return recorded is not None and bool(requested) and requested not in {recorded.id, recorded.name}


def _raise_failure(outcome: Result[None, StoreUnavailable]) -> None:
    if isinstance(outcome, Failure):
        raise outcome.failure()
