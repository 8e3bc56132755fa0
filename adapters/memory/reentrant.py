"""Reentrant locks: a thread that holds a lock can acquire it again."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["Hold", "ReentrantLocks"]


class Hold(Protocol):
    """A thread's hold of a lock, from its first wish for it."""

    def acquire(self, *, wait: bool) -> bool:
        """Acquires the lock. Returns False when it is not free, and the thread does not wait."""
        ...

    def release(self) -> None:
        """Gives up all that `acquire` has got so far. Where an interrupt ended it, it can be called again."""
        ...


@dataclass(slots=True)
class _Lock:
    hold: Hold
    count: int = 0
    """The number of blocks of the thread that hold it."""


class ReentrantLocks:
    """Makes the locks of an adapter reentrant: counts how often each thread holds each name."""

    def __init__(self) -> None:
        self._locks: Final[dict[tuple[int, int, str], _Lock]] = {}

    @contextmanager
    def hold(self, name: str, new: Callable[[], Hold], *, wait: bool) -> Iterator[bool]:
        """Holds the lock for the duration of the block. Yields whether it was acquired.

        Where the thread does not hold the lock yet, `new` makes its hold. An interrupt leaves no lock behind.
        """
        # Each thread uses only its own keys, so the dict needs no lock. A forked child holds no locks of its parent.
        key = (os.getpid(), threading.get_ident(), name)
        lock = self._locks.get(key) or _Lock(new())
        lock.count += 1
        try:
            if lock.count == 1:
                if lock.hold.acquire(wait=wait):
                    self._locks[key] = lock
                else:
                    lock.hold.release()
            yield self._locks.get(key) is lock
        finally:
            lock.count -= 1
            try:
                self._leave(key, lock)
            except BaseException:
                self._leave(key, lock)  # an interrupt may have ended it anywhere
                raise

    def _leave(self, key: tuple[int, int, str], lock: _Lock) -> None:
        process, _, _ = key
        if lock.count == 0 and os.getpid() == process:
            if self._locks.get(key) is lock:
                del self._locks[key]
            lock.hold.release()
