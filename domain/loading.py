"""Builds handlers from configured names."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lading.domain.cost import cheapest_first
from lading.domain.handler import Handler
from lading.domain.handler_calls import exception_reason
from lading.ports.failures import LadingError

__all__ = ["Loaded", "Skipped", "load_handlers"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A configured name without a handler, and the reason."""

    name: str
    reason: str
    lacks_package: bool = False
    """True when a package that the handler needs is not installed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The handlers in configured order, and the names that were skipped."""

    handlers: tuple[Handler, ...]
    skipped: tuple[Skipped, ...] = ()


def load_handlers(names: Iterable[str] | None, available: Mapping[str, Callable[[], Handler]]) -> Loaded:
    """Builds the named handlers, in order, each once; without names all available ones, the cheapest first.

    Blanks are ignored and names stripped. A duplicate, an unknown name, and a handler that cannot be imported or built
    are skipped with a warning that names them. For a handler that was not named, a missing package is no warning.
    """
    if names is None:
        loaded = _load(available, available, quietly=True)
        return replace(loaded, handlers=tuple(sorted(loaded.handlers, key=lambda each: cheapest_first(each, ""))))
    return _load(names, available, quietly=False)


def _load(names: Iterable[str], available: Mapping[str, Callable[[], Handler]], *, quietly: bool) -> Loaded:
    handlers: dict[str, Handler] = {}
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for name in filter(None, map(str.strip, names)):
        built = Skipped(name, "named twice") if name in seen else _built(name, available)
        seen.add(name)
        if not isinstance(built, Skipped) and built.name in handlers:
            built = Skipped(name, f"it goes by the name {built.name}, which is taken")
        if isinstance(built, Skipped):
            level = logging.INFO if quietly and built.lacks_package else logging.WARNING
            _log.log(level, "handler %s is skipped: %s", name, built.reason)
            skipped.append(built)
        else:
            handlers[built.name] = built
    return Loaded(tuple(handlers.values()), tuple(skipped))


def _built(name: str, available: Mapping[str, Callable[[], Handler]]) -> Handler | Skipped:
    if name not in available:
        import difflib  # noqa: PLC0415 - only an error needs it

        close = difflib.get_close_matches(name, available, 1)
        meant = f", did you mean {close[0]}?" if close else ""
        return Skipped(name, f"unknown{meant} (known: {', '.join(sorted(available)) or 'none'})")
    try:
        return available[name]()
    except Exception as error:  # noqa: BLE001 - third-party code may raise anything
        return Skipped(name, _why_not_built(name, error), lacks_package=isinstance(error, ModuleNotFoundError))


def _why_not_built(name: str, error: Exception) -> str:
    if isinstance(error, LadingError):  # such as SettingsError, which names the place
        return exception_reason(error)
    _log.debug("handler %s could not be built", name, exc_info=error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"No module named {error.name!r}"
    return f"could not be built: {exception_reason(error)}"
