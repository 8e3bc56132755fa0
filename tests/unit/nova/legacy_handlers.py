"""A handler of the original API that does as it is told, and programs that use one as Nova would have."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from typing_extensions import override

from lading.adapters.nova import ImageHandler, RequestContext
from lading.adapters.nova.handlers import Turn

NOVA = RequestContext(user_id="ada", project_id="mill", auth_token="token")


class Asked(NamedTuple):
    """What a handler was asked, in the order in which the base class gives it."""

    verb: str
    arguments: tuple[object, ...]
    named: Mapping[str, object]


class ScriptedHandler(ImageHandler):
    """Says of everything that it did it, unless told otherwise."""

    schemes: Collection[str] | None = ()
    local = False

    def __init__(self, driver: object, **kwargs: object) -> None:
        super().__init__(driver, **kwargs)  # type: ignore[arg-type]  # handed on as they come, as old handlers do
        self.asked: list[Asked] = []
        self.does: Callable[[Asked], bool] = lambda _: True

    @override
    def get_schemes(self) -> Collection[str] | None:
        return self.schemes

    @override
    def is_local(self) -> bool:
        return self.local

    @override
    def _fetch_image(self, *args: object, **kwargs: object) -> object:
        return self._do(Asked("fetch", args, kwargs))

    @override
    def _remove_image(self, *args: object, **kwargs: object) -> object:
        return self._do(Asked("remove", args, kwargs))

    @override
    def _move_image(self, *args: object, **kwargs: object) -> object:
        return self._do(Asked("move", args, kwargs))

    def _do(self, asked: Asked) -> object:
        self.asked.append(asked)
        return self.does(asked)


class ScriptedPoolHandler(ScriptedHandler):
    """Takes images out of a storage pool."""

    schemes = ("pool",)


class FileWritingHandler(ScriptedHandler):
    """Really writes, removes and renames files."""

    local = True

    @override
    def _do(self, asked: Asked) -> object:
        path = Path(str(asked.arguments[3]))
        match super()._do(asked) and asked.verb:
            case "fetch":
                path.write_text("noble")
            case "remove":
                path.unlink()
            case "move":
                path.rename(str(asked.arguments[4]))
            case False:
                return False
        return True


def only_from(url: str) -> Callable[[Asked], bool]:
    """Handles what lies there, and nothing else."""

    def does(asked: Asked) -> bool:
        location = asked.arguments[-1]
        return isinstance(location, Mapping) and location["url"] == url

    return does


def never(_: Asked) -> bool:
    return False


def fetching(turns: Iterator[Turn], image_id: str | None, path: str) -> Iterator[Turn]:
    """A program's loop around `handle_image`: each handler is asked to fetch."""
    for handler, location, image_meta in turns:
        handler.fetch_image(NOVA, image_id, image_meta, path, location=location)
        yield handler, location, image_meta
