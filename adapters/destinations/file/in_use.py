"""Finding out whether another program has a file locked, as QEMU does with the disks of running guests."""

import fcntl
import os
import struct
from contextlib import suppress
from typing import Final

__all__ = ["is_in_use"]

_FLOCK: Final = "hhqqi0q"
"""fcntl(2), `struct flock` with offsets of 64 bits: type, whence, start, length, pid; padded at its end."""
_EVERYTHING: Final = 0
"""A length of 0 reaches to the end, however far the file grows."""


def is_in_use(path: str) -> bool:
    """Whether a byte of the file is locked, or the whole of it by flock(2).

    QEMU locks bytes from 100 on, one for each way in which it uses the file, and from 200 on, one for each that it
    lets nobody else have (block/file-posix.c, `raw_apply_lock_bytes`). Every locked byte counts: virtlockd locks the
    first.
    False also where it cannot be told: the file cannot be opened, is a symlink, or its file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _has_locked_bytes(descriptor) or _is_flocked(descriptor)
    finally:
        os.close(descriptor)


def _has_locked_bytes(descriptor: int) -> bool:
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, _EVERYTHING, 0)
    with suppress(OSError):
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
        return bool(struct.unpack_from(_FLOCK, found)[0] != fcntl.F_UNLCK)
    return False


def _is_flocked(descriptor: int) -> bool:
    try:
        # There is no other way to ask. Closing the descriptor gives it up.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
