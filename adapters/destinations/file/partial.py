"""What has come of an image whose transfer was cut off, and whether one can go on from there."""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Final, NoReturn

from lading.adapters.host.boot import boot_id
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sources import FROM_START, ResumePoint
from lading.domain.handler import Work
from lading.domain.refusals import TargetOccupied
from lading.ports.association import Fingerprint

__all__ = [
    "claim",
    "create_part",
    "drop_part",
    "facts",
    "is_part_name",
    "is_strong",
    "kept_bytes",
    "noted_file",
    "open_part",
    "part_blocks",
    "part_path",
    "refuse_taken",
    "release_part",
    "start_from",
]

_NAME_MAX: Final = 255
_SUFFIX: Final = ".lading-part"
# flock(2) on file systems that have none.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


def part_path(target: str) -> str:
    """Where a target's bytes are while there are not all of them. There is one such file for a target."""
    folder, name = os.path.split(target)
    raw = os.fsencode(name)
    if len(raw) + len(_SUFFIX) + 1 > _NAME_MAX:
        # Cut to whole characters, and told apart by the digest.
        stem = raw[:150].decode(errors="ignore")
        name = f"{stem}.{hashlib.sha256(raw).hexdigest()[:16]}"
    return os.path.join(folder, f".{name}{_SUFFIX}")


def is_part_name(target: str) -> bool:
    """Whether a target has a name that `part_path` could give: such names are lading's own.

    >>> is_part_name("/vms/.1.lading-part"), is_part_name("/vms/1.lading-part")
    (True, False)
    """
    name = os.path.basename(target)
    return name.startswith(".") and name.endswith(_SUFFIX)


def open_part(target: str, notes: Mapping[str, object]) -> int:
    """A descriptor of the file at `part_path`, to read and write. Raises OSError, also when the notes tell of another.

    `notes` are those of the interrupted fetch to the target.
    """
    with ExitStack() as until_opened:
        descriptor = _open(target, os.O_RDWR)
        until_opened.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        # In a folder that others write to, it could be another name of a file that they may not touch.
        if status.st_nlink != 1 or status.st_uid != os.geteuid() or not _is_noted(notes, descriptor):
            raise PermissionError(errno.EPERM, f"{part_path(target)} is not the file that was left there")
        claim(descriptor)
        until_opened.pop_all()
    return descriptor


def create_part(target: str, mode: int) -> int:
    """A descriptor of a new file at `part_path`. Raises OSError, and Refused where something is there."""
    try:
        descriptor = os.open(part_path(target), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
    except FileExistsError:
        refuse_taken(target)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)  # the umask took the owner's own rights, without which nothing can be resumed
    claim(descriptor)
    return descriptor


def drop_part(target: str, notes: Mapping[str, object]) -> bool:
    """Remove the temporary file of the target that the notes tell of; whether there was one. Any other one stays.

    Raises OSError, also when another process writes to it.
    """
    try:
        descriptor = _open(target, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EPERM}:
            return False  # a symlink, a socket, a folder: nothing that lading makes
        raise
    try:
        if not _is_noted(notes, descriptor):
            return False
        claim(descriptor)
        os.unlink(part_path(target))
    finally:
        os.close(descriptor)
    return True


def part_blocks(target: str) -> int:
    """Bytes on the disk that are kept of the target."""
    try:
        return os.lstat(part_path(target)).st_blocks * 512  # stat(2): blocks are of 512 bytes
    except OSError:
        return 0


def _open(target: str, access: int) -> int:
    """Raises OSError, PermissionError when it is no regular file."""
    descriptor = os.open(part_path(target), access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, f"{part_path(target)} is not a file")
    return descriptor


def _is_noted(notes: Mapping[str, object], descriptor: int) -> bool:
    """Whether that file is the one that the notes tell of: a name alone proves nothing."""
    found = fingerprint(descriptor)
    landed = notes.get("landed")
    whole = noted_file(landed, "file") if isinstance(landed, Mapping) else None
    known = (noted_file(notes, "temporary"), whole, noted_file(notes, "copied"))
    if any(file is not None and file.is_same_file(found) for file in known):
        return True
    if "temporary" in notes:
        # A new one was about to be made, and nothing is written to it before it is noted which it is.
        return notes["temporary"] is None and found.size == 0
    # An earlier version noted that there is one, and not which.
    return "part" in notes and os.fstat(descriptor).st_uid == os.geteuid()


def noted_file(notes: Mapping[str, object], key: str) -> Fingerprint | None:
    """The file that the notes name; None when they name none."""
    noted = notes.get(key)
    if not isinstance(noted, list) or not all(isinstance(each, int) for each in noted if each is not None):
        return None
    if None in noted[:5]:
        return None
    try:
        return Fingerprint(*noted)
    except TypeError:
        return None


def claim(descriptor: int) -> None:
    """Have nobody else take it for one that was left: a target may go by two names, or by two journals.

    Raises OSError when another process has claimed it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process is fetching to it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def release_part(descriptor: int) -> None:
    """Give up the claim on a file that is published now: also that of a child that was forked meanwhile."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def refuse_taken(target: str) -> NoReturn:
    """Say why the temporary name can't be used. Raises OSError when another process fetches to it, else Refused."""
    try:
        descriptor = _open(target, os.O_RDONLY)
    except OSError:
        descriptor = None  # no file that a process of lading's could have open
    if descriptor is not None:
        try:
            claim(descriptor)
        finally:
            os.close(descriptor)
    told = f"{part_path(target)} is in the way, and nothing says that lading made it: move it away, or delete it"
    raise Refused(TargetOccupied(told))


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
        "boot": boot_id(),
    }


def start_from(work: Work, *, verify: bool) -> ResumePoint:
    """From where the bytes that are kept for the target let a transfer go on; from 0 when they don't.

    They must be of the very image: by the digest that the whole is compared with in the end, or else by the word of the
    same origin, and then only while the host hasn't been restarted: nobody knows which of them reached the disk.
    """
    known = work.intent.notes.get("part") if work.intent else None
    if not isinstance(known, Mapping) or work.image is None:
        return FROM_START
    now = facts(work, None)
    is_same = all(known.get(key) == now[key] for key in ("image", "promised"))
    is_same_origin = known.get("location") == now["location"]
    validator = known.get("validator") if is_same_origin else None
    is_vouched_for = verify and now["promised"] is not None
    is_same_boot = now["boot"] is not None and known.get("boot") == now["boot"]
    is_same_here = is_strong(validator) and is_same_boot
    if not is_same or not (is_vouched_for or is_same_here):
        return FROM_START
    try:
        descriptor = open_part(work.target, work.intent.notes if work.intent else {})
    except OSError:
        return FROM_START
    try:
        offset = kept_bytes(descriptor)
    finally:
        os.close(descriptor)
    if work.image.size is not None:
        # Something is left to ask for, so that the origin tells whether it still has the same.
        offset = min(offset, max(work.image.size - 1, 0) // CHUNK * CHUNK)
    return ResumePoint(offset, validator if isinstance(validator, str) else None)


def is_strong(validator: object) -> bool:
    """Whether it tells any two states apart, byte by byte: a weak ETag or a date doesn't (RFC 9110, section 8.8)."""
    return isinstance(validator, str) and validator.startswith('"')


def _promised(work: Work) -> str | None:
    promised = work.image.expected_digest if work.image else None
    return str(promised) if promised else None
