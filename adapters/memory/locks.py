"""Locks among the threads of one process."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from lading.adapters.memory.reentrant import ReentrantLocks

__all__ = ["MemoryLocks"]


class MemoryLocks:
    """Locks for the life of a process."""

    def __init__(self) -> None:
        self._holding = ReentrantLocks()
        self._taken: set[str] = set()
        self._changed = threading.Condition()

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        def acquire() -> Callable[[], None] | None:
            with self._changed:
                if wait:
                    self._changed.wait_for(lambda: name not in self._taken)
                elif name in self._taken:
                    return None
                self._taken.add(name)
            return release

        def release() -> None:
            with self._changed:
                self._taken.discard(name)
                self._changed.notify_all()

        return self._holding.hold(name, acquire)
