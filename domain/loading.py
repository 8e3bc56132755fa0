"""Handlers from configured names."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lading.domain.cost import cheapest_first
from lading.domain.handler import Handler, SupportsPrepare
from lading.domain.handler_calls import exception_reason
from lading.ports.association_store import AssociationStore
from lading.ports.failures import LadingError, StoreUnavailable

__all__ = ["Loaded", "Skipped", "load_handlers", "prepare_handlers"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A configured name that gave no handler, and why."""

    name: str
    reason: str
    lacks_package: bool = False
    """Whether a package that it needs is not installed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The handlers in configured order, and the names that were passed over."""

    handlers: tuple[Handler, ...]
    skipped: tuple[Skipped, ...] = ()


def load_handlers(names: Iterable[str] | None, available: Mapping[str, Callable[[], Handler]]) -> Loaded:
    """Build the named handlers, in order, each once; without names all that are available, the cheapest first.

    Blanks are ignored and names stripped. A name that is a duplicate, that nothing is available for, or whose handler
    can't be imported or built is skipped with a warning that names it. That a package isn't installed for a handler
    that nobody named is worth no warning.
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
        return Skipped(name, f"unknown; known are {', '.join(sorted(available)) or 'none'}")
    try:
        return available[name]()
    except Exception as error:  # noqa: BLE001 - whatever a third party's import or constructor raises
        return Skipped(name, _why_not_built(name, error), lacks_package=isinstance(error, ModuleNotFoundError))


def _why_not_built(name: str, error: Exception) -> str:
    if isinstance(error, LadingError):  # its settings, say: in words that name the place
        return exception_reason(error)
    _log.debug("handler %s could not be built", name, exc_info=error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"No module named {error.name!r}"
    return f"could not be built: {exception_reason(error)}"


def prepare_handlers(handlers: Sequence[Handler], associations: AssociationStore) -> Sequence[Handler]:
    """Offer each handler its own associations, once, to re-establish what a restart lost; the handlers, prepared."""
    for handler in handlers:
        if isinstance(handler, SupportsPrepare):
            try:
                handler.prepare(associations.list(handler=handler.name))
            except StoreUnavailable as failure:
                # Whoever needs the store will be told.
                _log.info("handler %s is not prepared: %s", handler.name, failure)
            except Exception as error:  # noqa: BLE001 - one handler's trouble must not keep the others from work
                _log.debug("handler %s could not be prepared", handler.name, exc_info=True)
                _log.warning("handler %s could not be prepared: %s", handler.name, exception_reason(error))
    return handlers
