"""Open files that an interrupt may drop at any moment, and that nothing may stay locked by."""

import errno
import gc
import os
from collections.abc import Callable
from functools import partial
from io import FileIO
from typing import Final, TypeVar

__all__ = ["open_owned", "retry_collected"]

_Value = TypeVar("_Value")
_LOCKED: Final = frozenset({errno.EBUSY, errno.EAGAIN})


def open_owned(path: str, flags: int, mode: int = 0o600, *, folder: int | None = None) -> FileIO:
    """Opens a file like os.open, as an object that closes it at its end. Raises OSError.

    A descriptor that an interrupt drops would stay open, and what it locks would stay locked, until the process ends.
    The object is for its descriptor only: its own methods do not know the flags.
    """
    # One call, all of it in C: no interrupt comes between the opening and the object.
    return next(map(FileIO, map(partial(os.open, dir_fd=folder), (path,), (flags,), (mode,)), ("r+",)))


def retry_collected(lock: Callable[[], _Value]) -> _Value:
    """Calls `lock`, and where something has the lock, once more after a garbage collection. Raises OSError.

    An interrupt may have ended an operation of this process at any point. What the operation had locked is unlocked by
    the end of its object, which comes late where the object is part of a cycle.
    """
    try:
        return lock()
    except OSError as error:
        if error.errno not in _LOCKED:
            raise
    gc.collect()
    return lock()
