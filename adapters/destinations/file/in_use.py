"""Detection of locks that another program has on a file, as QEMU has on the disks of running guests."""

import fcntl
import os
import struct
from contextlib import suppress
from typing import Final

__all__ = ["has_locked_bytes", "is_in_use"]

_FLOCK: Final = "hhqqi0q"
"""fcntl(2), `struct flock` with offsets of 64 bits: type, whence, start, length, pid; padded at its end."""
_EVERYTHING: Final = 0
"""A length of 0 means: to the end of the file, also when it grows."""


def is_in_use(path: str) -> bool:
    """Returns True when a byte of the file is locked, or the whole file by flock(2).

    QEMU locks one byte from 100 on for each permission that it uses, and one byte from 200 on for each that it denies
    to others (block/file-posix.c, `raw_apply_lock_bytes`). Every locked byte counts: virtlockd locks the first.
    Returns False also when it is not known: the file cannot be opened, is a symlink, or its file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return has_locked_bytes(descriptor) or _is_flocked(descriptor)
    finally:
        os.close(descriptor)


def has_locked_bytes(descriptor: int) -> bool:
    """Returns True when another program has a byte of the file locked."""
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, _EVERYTHING, 0)
    with suppress(OSError):
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
        return bool(struct.unpack_from(_FLOCK, found)[0] != fcntl.F_UNLCK)
    return False


def _is_flocked(descriptor: int) -> bool:
    try:
        # flock(2) has no query: the lock is taken. Closing the descriptor releases it.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
