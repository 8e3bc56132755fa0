"""Reentrant locks: a thread that holds a lock can acquire it again."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

__all__ = ["ReentrantLocks"]


@dataclass(slots=True)
class _Lock:
    release: Callable[[], None]
    count: int = 1
    """The number of blocks of the thread that hold it."""


class ReentrantLocks:
    """Makes the locks of an adapter reentrant: counts how often each thread holds each name."""

    def __init__(self) -> None:
        self._locks: Final[dict[tuple[int, int, str], _Lock]] = {}

    @contextmanager
    def hold(self, name: str, acquire: Callable[[], Callable[[], None] | None]) -> Iterator[bool]:
        """Holds the lock for the duration of the block. Yields whether it was acquired.

        `acquire` returns the function that releases the lock, or None when the lock is not free. It is called only when
        the thread does not hold the lock yet.
        """
        # Each thread uses only its own keys, so the dict needs no lock. A forked child holds no locks of its parent.
        process = os.getpid()
        key = (process, threading.get_ident(), name)
        lock = self._locks.get(key)
        if lock is not None:
            lock.count += 1
        elif (release := acquire()) is not None:
            lock = self._locks[key] = _Lock(release)
        try:
            yield lock is not None
        finally:
            if lock is not None and os.getpid() == process:
                lock.count -= 1
                if lock.count == 0:
                    del self._locks[key]
                    lock.release()
