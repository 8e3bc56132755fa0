"""Stores, locks and handlers that break at a chosen call."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from returns.result import Failure

from lading import StoreUnavailable

_Kind = TypeVar("_Kind")

BROKEN = StoreUnavailable("the disk is full")


class Through:
    """Hands everything on to what it stands for, by way of something that sees each call of a verb."""

    def __init__(self, real: object, by_way: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._real = real
        self._by_way = by_way

    def __getattr__(self, verb: str) -> Any:  # noqa: ANN401 - whatever the other has
        real = getattr(self._real, verb)
        if not callable(real):
            return real

        @wraps(real)
        def call(*given: object, **named: object) -> Any:  # noqa: ANN401 - whatever the other answers
            return self._by_way(verb, lambda: real(*given, **named))

        return call


def through(real: _Kind, by_way: Callable[[str, Callable[[], Any]], Any]) -> _Kind:
    """What answers as the other does, but for what is done on the way."""
    return cast("_Kind", Through(real, by_way))


def breaking(real: _Kind, verb: str, nth: int = 1) -> _Kind:
    """A store whose nth call of this verb fails, and no other."""
    calls = 0

    def by_way(called: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - see above
        nonlocal calls
        calls += called == verb
        return Failure(BROKEN) if called == verb and calls == nth else act()

    return through(real, by_way)


def told(real: _Kind, events: list[str]) -> _Kind:
    """One that writes down which verbs were called."""

    def by_way(called: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - see above
        events.append(called)
        return act()

    return through(real, by_way)
