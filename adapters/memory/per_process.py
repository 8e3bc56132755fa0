"""Values that a process does not share with the child that it forks."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerProcess"]

_Value = TypeVar("_Value")


class PerProcess(Generic[_Value]):
    """A value that each process makes for itself: a forked child must not use the locks that its parent held."""

    def __init__(self, make: Callable[[], _Value]) -> None:
        self._make = make
        self._values: dict[int, _Value] = {}

    def get(self) -> _Value:
        process = os.getpid()
        found = self._values.get(process)
        return found if found is not None else self._values.setdefault(process, self._make())
