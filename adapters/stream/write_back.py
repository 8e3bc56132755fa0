"""Early write-back: the kernel writes a file to its disk while more bytes come, so that the flush at the end is short.

sync_file_range(2) only begins to write. posix_fadvise(POSIX_FADV_DONTNEED) is as fast, but marks the pages as the first
to be reclaimed, and a guest may boot from them next; and it waits for every CPU of the host (mm/fadvise.c).
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

__all__ = ["WriteBack"]

_STEP: Final = 8 << 20
"""Bytes between two calls."""
_WRITE: Final = 2
"""SYNC_FILE_RANGE_WRITE in linux/fs.h."""
_Begin = Callable[[int, int, int, int], int]


class WriteBack:
    """Begins the write-back of one file's bytes as they are written, in order. It promises nothing: fsync(2) does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = 0
        """The offset before which write-back has begun."""
        self._begin = _sync_file_range()

    def wrote(self, end: int) -> None:
        """Takes the offset before which all bytes are written. Raises OSError where the disk fails."""
        if self._begin is None or end - self._begun < _STEP:
            return
        if self._begin(self._descriptor, self._begun, end - self._begun, _WRITE) != 0:
            if (number := ctypes.get_errno()) == errno.EIO:
                raise OSError(number, os.strerror(number))
            self._begin = None  # not supported here: fsync(2) does all the work
        self._begun = end


@cache
def _sync_file_range() -> _Begin | None:
    """The C library's sync_file_range; None where it has none."""
    if sys.platform != "linux":
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        call.restype = ctypes.c_int
    return call
