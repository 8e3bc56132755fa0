"""The original API: five functions and a base class for handlers, proposed for Nova in 2014 (`nova.virt.imagehandler`).

Programs and handlers written for it still work; docs/nova.md lists the differences.
"""

from collections.abc import Iterable, Iterator

from lading.adapters.nova.convert import ImageLocation, RequestContext, match_locations
from lading.adapters.nova.handler import ImageHandler
from lading.adapters.nova.handlers import ImageHandlers, NoImageHandlerAvailable, Turn
from lading.adapters.nova.legacy import LegacyHandler
from lading.adapters.nova.native import NativeImageHandler

__all__ = [
    "ImageHandler",
    "ImageHandlers",
    "ImageLocation",
    "LegacyHandler",
    "NativeImageHandler",
    "NoImageHandlerAvailable",
    "RequestContext",
    "associate",
    "disassociate",
    "handle_image",
    "load_image_handlers",
    "match_locations",
    "use",
]


class _Process:
    """The state that the functions below share, in place of the original's module globals."""

    handlers: ImageHandlers | None = None


def use(handlers: ImageHandlers | None) -> None:
    """Sets the ImageHandlers that the functions below use; None: those of the settings' catalog and store."""
    _Process.handlers = handlers


def load_image_handlers(driver: object, names: Iterable[str] | None = None) -> None:
    """Loads the named handlers and replaces those loaded before. Default: the settings' handlers in their order."""
    _in_use().load_image_handlers(driver, names)


def handle_image(
    context: object = None,
    image_id: str | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
    target_path: str | None = None,
) -> Iterator[Turn]:
    """Yields each handler's turn as `(handler, location, image_meta)` until one has handled: see ImageHandlers."""
    if _Process.handlers is None:
        raise NoImageHandlerAvailable(image_id, (target_path or "").strip())
    yield from _Process.handlers.handle_image(context, image_id, user_id, project_id, target_path)


def associate(handler: object, path: str, location: object, image_meta: object) -> None:
    """Records that this handler (an object or its name) put the image at the path: see ImageHandlers."""
    _in_use().associate(handler, path, location, image_meta)


def disassociate(handler: object, path: str) -> None:
    """Removes the association of the path, whichever handler it names: see ImageHandlers."""
    _in_use().disassociate(handler, path)


def _in_use() -> ImageHandlers:
    if _Process.handlers is None:
        _Process.handlers = _from_settings()
    return _Process.handlers


def _from_settings() -> ImageHandlers:
    from lading.adapters.container import open_container  # noqa: PLC0415 - slow, and not needed after `use`

    container = open_container()
    return ImageHandlers(
        container.default_catalog(),  # references are users'
        container.associations(),
        container.available_handlers(),
        container.settings().handlers.order,
    )
