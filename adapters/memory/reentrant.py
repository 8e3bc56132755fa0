"""Reentrant locks: a thread that holds a lock can acquire it again."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ReentrantLocks"]


@dataclass(slots=True)
class _Lock:
    block: ExitStack = field(default_factory=ExitStack)
    """Its end releases the lock."""
    count: int = 0
    """The number of blocks of the thread that hold it."""


class ReentrantLocks:
    """Makes the locks of an adapter reentrant: counts how often each thread holds each name."""

    def __init__(self) -> None:
        self._locks: Final[dict[tuple[int, int, str], _Lock]] = {}

    @contextmanager
    def hold(self, name: str, acquire: Callable[[ExitStack], bool]) -> Iterator[bool]:
        """Holds the lock for the duration of the block. Yields whether it was acquired.

        `acquire` returns False where the lock is not free. It puts the release on the stack before it acquires the
        lock, so that an interrupt leaves no lock behind. It is called only when the thread does not hold the lock yet.
        """
        # Each thread uses only its own keys, so the dict needs no lock. A forked child holds no locks of its parent.
        process = os.getpid()
        key = (process, threading.get_ident(), name)
        held = self._locks.get(key)
        lock = held or _Lock()
        lock.count += 1
        try:
            if held is None and acquire(lock.block):
                self._locks[key] = lock
            yield self._locks.get(key) is lock
        finally:
            lock.count -= 1
            if lock.count == 0 and os.getpid() == process:
                if self._locks.get(key) is lock:
                    del self._locks[key]
                lock.block.close()
