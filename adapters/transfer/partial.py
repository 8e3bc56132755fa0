"""What has come of an image whose transfer was cut off, and whether one can go on from there."""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.transfer.pipeline import CHUNK
from lading.domain.handler import Work

__all__ = [
    "FROM_THE_START",
    "Start",
    "create_part",
    "drop_part",
    "facts",
    "is_strong",
    "kept_bytes",
    "open_part",
    "part_blocks",
    "part_path",
    "release_part",
    "start_from",
]

_NAME_MAX: Final = 255
_SUFFIX: Final = ".lading-part"
# flock(2) on file systems that have none.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


class Start(NamedTuple):
    """Where a source is to begin, and how to tell that it still is the same."""

    offset: int = 0
    """Bytes that are there already."""
    validator: str | None = None
    """What the same origin said of the whole then (RFC 9110, section 8.8), if it did."""


FROM_THE_START: Final = Start()


def part_path(target: str) -> str:
    """Where a target's bytes are while there are not all of them. There is one such file for a target."""
    folder, name = os.path.split(target)
    raw = os.fsencode(name)
    if len(raw) + len(_SUFFIX) + 1 > _NAME_MAX:
        # Cut to whole characters, and told apart by the digest.
        stem = raw[:150].decode(errors="ignore")
        name = f"{stem}.{hashlib.sha256(raw).hexdigest()[:16]}"
    return os.path.join(folder, f".{name}{_SUFFIX}")


def open_part(target: str) -> int:
    """A descriptor of the file at `part_path`, to read and write. Raises OSError, also when it is not lading's own."""
    descriptor = os.open(part_path(target), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    # In a folder that others write to, it could be another name of a file that they may not touch.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, f"{part_path(target)} is not a file of this user's own")
    _claim(descriptor)
    return descriptor


def create_part(target: str, mode: int) -> int:
    """A descriptor of a new file at `part_path`, where there is none. Raises OSError."""
    descriptor = os.open(part_path(target), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)  # the umask took the owner's own rights, without which nothing can be resumed
    _claim(descriptor)
    return descriptor


def drop_part(target: str) -> bool:
    """Remove what is kept of the target, whatever it is; whether there was something.

    Raises OSError, also when somebody is at it.
    """
    try:
        os.close(open_part(target))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise
    os.unlink(part_path(target))
    return True


def part_blocks(target: str) -> int:
    """Bytes on the disk that are kept of the target."""
    try:
        return os.lstat(part_path(target)).st_blocks * 512  # stat(2): blocks are of 512 bytes
    except OSError:
        return 0


def _claim(descriptor: int) -> None:
    """Have nobody else take it for one that was left: a target may go by two names, or by two journals.

    Raises OSError when somebody is at it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OSError(errno.EBUSY, "somebody else is fetching to it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            raise


def release_part(descriptor: int) -> None:
    """Give up the claim on a file that is published now: also that of a child that was forked meanwhile."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def kept_bytes(descriptor: int) -> int:
    """How many bytes from the start of it are there: they are written in order, so all before its end.

    Down to a whole buffer, for the last write may not have been whole.
    """
    return os.fstat(descriptor).st_size // CHUNK * CHUNK


def facts(work: Work, validator: str | None) -> dict[str, object]:
    """What is to be known of bytes that are kept: which image's, from where, since when."""
    return {
        "image": work.image.id if work.image else None,
        "promised": _promised(work),
        "location": str(work.location) if work.location else None,
        "validator": validator,
        "boot": _boot(),
    }


def start_from(work: Work, *, verify: bool) -> Start:
    """From where the bytes that are kept for the target let a transfer go on; from 0 when they don't.

    They must be of the very image: by the digest that the whole is compared with in the end, or else by the word of the
    same origin, and then only while the host hasn't been restarted: nobody knows which of them reached the disk.
    """
    known = work.intent.notes.get("part") if work.intent else None
    if not isinstance(known, Mapping) or work.image is None:
        return FROM_THE_START
    now = facts(work, None)
    is_same = all(known.get(key) == now[key] for key in ("image", "promised"))
    is_same_origin = known.get("location") == now["location"]
    validator = known.get("validator") if is_same_origin else None
    is_vouched_for = verify and now["promised"] is not None
    is_same_here = is_strong(validator) and known.get("boot") == now["boot"]
    if not is_same or not (is_vouched_for or is_same_here):
        return FROM_THE_START
    try:
        descriptor = open_part(work.target)
    except OSError:
        return FROM_THE_START
    try:
        offset = kept_bytes(descriptor)
    finally:
        os.close(descriptor)
    if work.image.size is not None:
        # Something is left to ask for, so that the origin tells whether it still has the same.
        offset = min(offset, max(work.image.size - 1, 0) // CHUNK * CHUNK)
    return Start(offset, validator if isinstance(validator, str) else None)


def is_strong(validator: object) -> bool:
    """Whether it tells any two states apart, byte by byte: a weak ETag or a date doesn't (RFC 9110, section 8.8)."""
    return isinstance(validator, str) and validator.startswith('"')


def _promised(work: Work) -> str | None:
    promised = work.image.promised if work.image else None
    return str(promised) if promised else None


@cache
def _boot() -> str | None:
    """Which start of the host this is (random(4)); None where that isn't told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
