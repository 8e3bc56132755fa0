"""The original API: five functions and a base class for handlers, proposed for Nova in 2014 (`nova.virt.imagehandler`).

Programs and handlers written for it keep working; docs/nova.md says what differs.
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
    """What the functions below share, as the original's module globals did."""

    handlers: ImageHandlers | None = None


def use(handlers: ImageHandlers | None) -> None:
    """Have the functions below work on these; None goes back to the settings' catalog and store."""
    _Process.handlers = handlers


def load_image_handlers(driver: object, names: Iterable[str] | None = None) -> None:
    """Load the named handlers, by default the settings' in their order, in place of those loaded before."""
    _in_use().load_image_handlers(driver, names)


def handle_image(
    context: object = None,
    image_id: str | None = None,
    user_id: str | None = None,
    project_id: str | None = None,
    target_path: str | None = None,
) -> Iterator[Turn]:
    """Each handler's turn as `(handler, location, image_meta)`, until one has handled: see ImageHandlers."""
    if _Process.handlers is None:
        raise NoImageHandlerAvailable(image_id, (target_path or "").strip())
    yield from _Process.handlers.handle_image(context, image_id, user_id, project_id, target_path)


def associate(handler: object, path: str, location: object, image_meta: object) -> None:
    """Record that this handler, or the one of this name, put the image at the path: see ImageHandlers."""
    _in_use().associate(handler, path, location, image_meta)


def disassociate(handler: object, path: str) -> None:
    """Forget what is recorded for the path, whoever put it there: see ImageHandlers."""
    _in_use().disassociate(handler, path)


def _in_use() -> ImageHandlers:
    if _Process.handlers is None:
        _Process.handlers = _from_settings()
    return _Process.handlers


def _from_settings() -> ImageHandlers:
    from lading.adapters.container import open_container  # noqa: PLC0415 - slow, and of no use to who brings their own

    container = open_container()
    return ImageHandlers(
        container.catalog(),
        container.associations(),
        container.available_handlers(),
        container.settings().handlers.order,
    )
