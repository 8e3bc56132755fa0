"""Locks between the threads of one process."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from lading.adapters.memory.reentrant import ReentrantLocks

__all__ = ["MemoryLocks"]


class MemoryLocks:
    """Locks in a set; nothing survives the process."""

    def __init__(self) -> None:
        self._locks = ReentrantLocks()
        self._names: set[str] = set()
        """The names that are locked."""
        self._changed = threading.Condition()

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return self._locks.hold(name, partial(self._acquire, name, wait=wait))

    def _acquire(self, name: str, *, wait: bool) -> Callable[[], None] | None:
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: name not in self._names)
            elif name in self._names:
                return None
            self._names.add(name)
        return partial(self._release, name)

    def _release(self, name: str) -> None:
        with self._changed:
            self._names.discard(name)
            self._changed.notify_all()
