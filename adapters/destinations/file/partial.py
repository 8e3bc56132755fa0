"""Temporary files of a fetch: its partial data, with the point from which it can resume, and what is made of it."""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from io import FileIO
from typing import Final, Literal, NoReturn

from lading.adapters.host.boot import boot_id
from lading.adapters.stream.dropped import open_owned, retry_collected
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
    "drop_made",
    "drop_part",
    "facts",
    "is_part_name",
    "is_resumable",
    "is_strong",
    "kept_bytes",
    "made_path",
    "noted_file",
    "noted_part",
    "open_part",
    "part_blocks",
    "part_path",
    "received_bytes",
    "refuse_taken",
    "release_part",
    "resume_point",
    "start_from",
]

_NAME_MAX: Final = 255
_SUFFIX: Final = ".lading-part"
_MADE_SUFFIXES: Final = {"disk": ".lading-disk", "made": ".lading-made"}
"""Of what is made of an image: the disk in a packed one, and the converted disk. As long as the other."""
_AS_IT_IS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# flock(2) on file systems that have none.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


def part_path(target: str, host: str | None = None) -> str:
    """The path of the target's temporary file. There is one for each target.

    With `host` there is one for each host that shares the folder: what one left is never in the way of another.

    >>> part_path("/vms/1"), part_path("/vms/1", "host1")
    ('/vms/.1.lading-part', '/vms/.1@host1.lading-part')
    """
    folder, name = os.path.split(target)
    whole = name if host is None else f"{name}@{host}"
    raw = os.fsencode(whole)
    if len(raw) + len(_SUFFIX) + 1 > _NAME_MAX:
        # Truncated to whole characters; the digest keeps the names distinct.
        stem = os.fsencode(name)[:150].decode(errors="ignore")
        whole = f"{stem}.{hashlib.sha256(raw).hexdigest()[:16]}"
    return os.path.join(folder, f".{whole}{_SUFFIX}")


def made_path(part: str, kind: Literal["disk", "made"]) -> str:
    """The path of the temporary file for what is made of the partial data at the path `part`.

    >>> made_path("/vms/.1.lading-part", "disk")
    '/vms/.1.lading-disk'
    """
    return part.removesuffix(_SUFFIX) + _MADE_SUFFIXES[kind]


def noted_part(target: str, notes: Mapping[str, object]) -> str:
    """The path of the temporary file in the notes. The settings may name this host otherwise by now."""
    name = notes.get("temporary_name")
    if isinstance(name, str) and os.path.basename(name) == name and is_part_name(name):
        return os.path.join(os.path.dirname(target), name)
    return part_path(target)


def is_part_name(target: str) -> bool:
    """Returns True for a name that `part_path` or `made_path` could return: such names are reserved for lading.

    >>> is_part_name("/vms/.1.lading-part"), is_part_name("/vms/1.lading-part")
    (True, False)
    """
    name = os.path.basename(target)
    return name.startswith(".") and name.endswith((_SUFFIX, *_MADE_SUFFIXES.values()))


def open_part(target: str, notes: Mapping[str, object]) -> FileIO:
    """Opens the temporary file in the notes to read and write. Raises OSError, also when it is another file.

    `notes` are those of the interrupted fetch to the target.
    """
    part = noted_part(target, notes)
    with ExitStack() as until_opened:
        file = until_opened.enter_context(open_owned(part, os.O_RDWR | _AS_IT_IS))
        status = os.fstat(file.fileno())
        is_own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()
        # In a folder that others can write to, it could be a link to a file that they may not write.
        if not is_own or not _is_noted(notes, file.fileno()):
            raise PermissionError(errno.EPERM, f"{part} is not the file that was left there")
        claim(file.fileno())
        until_opened.pop_all()
    return file


def create_part(part: str, mode: int) -> FileIO:
    """Creates a temporary file, and opens it. Raises OSError, and Refused where something is there."""
    try:
        file = open_owned(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
    except FileExistsError:
        refuse_taken(part)
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
        os.fchmod(file.fileno(), mode)  # the umask removed the owner's rights, without which it cannot be resumed
    claim(file.fileno())
    return file


def drop_part(target: str, notes: Mapping[str, object]) -> bool:
    """Removes the target's temporary files, as far as they are the noted ones. Returns True when there was one.

    Raises OSError, also when another process writes to one.
    """
    is_made_dropped = drop_made(target, notes)
    return _drop(noted_part(target, notes), notes) or is_made_dropped


def drop_made(target: str, notes: Mapping[str, object]) -> bool:
    """Removes what was made of the partial data, like `drop_part`, and leaves that itself."""
    made = notes.get("made")
    names = [name for name in made if is_part_name(name)] if isinstance(made, Mapping) else []
    folder = os.path.dirname(target)
    dropped = [_drop(os.path.join(folder, os.path.basename(name)), {**notes, **_made(notes, name)}) for name in names]
    return any(dropped)


def _made(notes: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The notes as they would be for a temporary file with this name."""
    made = notes["made"]
    return {"temporary": made[name]} if isinstance(made, Mapping) else {}


def _drop(part: str, notes: Mapping[str, object]) -> bool:
    """Removes the temporary file at the path, if it is the noted one. Raises OSError."""
    try:
        descriptor = _open_to_lock(part)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EPERM}:
            return False  # a symlink, a socket, a folder: not made by lading
        raise
    try:
        if not _is_noted(notes, descriptor):
            return False
        claim(descriptor)
        os.unlink(part)
    finally:
        os.close(descriptor)
    return True


def part_blocks(part: str) -> int:
    """Bytes that the temporary file takes on the disk."""
    try:
        return os.lstat(part).st_blocks * 512  # stat(2): blocks are of 512 bytes
    except OSError:
        return 0


def _open_to_lock(part: str) -> int:
    """Opens a temporary file. Raises OSError; PermissionError when it is not a regular file."""
    # NFS locks only what is open for writing (flock(2)). A move may have copied a file that its owner cannot write.
    with suppress(OSError):
        return _open(part, os.O_RDWR)
    return _open(part, os.O_RDONLY)


def _open(part: str, access: int) -> int:
    descriptor = os.open(part, access | _AS_IT_IS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, f"{part} is not a file")
    return descriptor


def _is_noted(notes: Mapping[str, object], descriptor: int) -> bool:
    """Returns True when the file is the noted one: a name alone proves nothing."""
    found = fingerprint(descriptor)
    landed = notes.get("landed")
    whole = noted_file(landed, "file") if isinstance(landed, Mapping) else None
    known = (noted_file(notes, "temporary"), whole, noted_file(notes, "copied"))
    if any(file is not None and file.is_same_file(found) for file in known):
        return True
    if "temporary" in notes:
        # A new one was about to be made. Nothing is written to it before it is noted itself.
        return notes["temporary"] is None and found.size == 0
    # An earlier version noted only that there is one.
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
    """Locks the file against other processes: a target may have two names, or be in two journals.

    Raises OSError when another process has locked it.
    """
    try:
        retry_collected(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another process is fetching to it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def release_part(descriptor: int) -> None:
    """Unlocks the file, also for its descriptor's duplicates, and for a child process that was forked meanwhile."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def refuse_taken(part: str) -> NoReturn:
    """Raises OSError when another process fetches to the temporary name, else Refused."""
    try:
        descriptor = _open_to_lock(part)
    except OSError:
        descriptor = None  # not a file that a process of lading could have open
    if descriptor is not None:
        try:
            claim(descriptor)
        finally:
            os.close(descriptor)
    reason = f"{part} exists, and lading has no record of it"
    raise Refused(TargetOccupied(reason, advice="move or delete that file"))


def received_bytes(target: str, notes: Mapping[str, object]) -> int | None:
    """Bytes in the temporary file of a fetch that has not ended; None: the target is no file, or nothing is there."""
    if not target.startswith("/"):
        return None
    try:
        return os.stat(noted_part(target, notes)).st_size
    except OSError:
        return None


def kept_bytes(descriptor: int) -> int:
    """The number of bytes from which a fetch can resume: they are written in order.

    Rounded down to a whole buffer, because the last write may be incomplete.
    """
    return os.fstat(descriptor).st_size // CHUNK * CHUNK


def facts(work: Work, validator: str | None) -> dict[str, object]:
    """The notes on partial data: its image, its origin, and the boot in which it was written."""
    return {
        "image": work.image.id if work.image else None,
        "promised": _promised(work),
        "location": str(work.location) if work.location else None,
        "validator": validator,
        "boot": boot_id(),
    }


def start_from(work: Work, *, verify: bool) -> ResumePoint:
    """The point from which a fetch can resume the target's partial data; FROM_START when it cannot.

    The partial data must be of the same image. Either the whole is compared with a digest in the end, or the same
    origin confirms it by its validator. The latter counts only until the host restarts: after that it is not known
    which bytes reached the disk.
    """
    known = work.intent.notes.get("part") if work.intent else None
    if not is_resumable(work, known, verify=verify):
        return FROM_START
    try:
        file = open_part(work.target, work.intent.notes if work.intent else {})
    except OSError:
        return FROM_START
    with file:
        return resume_point(work, known, kept_bytes(file.fileno()))


def is_resumable(work: Work, known: object, *, verify: bool) -> bool:
    """Tells whether a fetch can resume the partial data whose `facts` are noted: see `start_from`."""
    if not isinstance(known, Mapping) or work.image is None:
        return False
    now = facts(work, None)
    is_same = all(known.get(key) == now[key] for key in ("image", "promised"))
    has_digest = verify and now["promised"] is not None
    is_same_boot = now["boot"] is not None and known.get("boot") == now["boot"]
    is_confirmed = is_strong(_validator(work, known)) and is_same_boot
    return is_same and (has_digest or is_confirmed)


def resume_point(work: Work, known: object, kept: int) -> ResumePoint:
    """The point after `kept` bytes of resumable partial data, whose `facts` are noted."""
    size = work.image.size if work.image else None
    if size is not None:
        # At least one byte is left to request, so that the origin's answer shows if it still has the same image.
        kept = min(kept, max(size - 1, 0) // CHUNK * CHUNK)
    return ResumePoint(kept, _validator(work, known))


def _validator(work: Work, known: object) -> str | None:
    """The noted validator, if it is of the work's location."""
    location = str(work.location) if work.location else None
    if not isinstance(known, Mapping) or known.get("location") != location:
        return None
    validator = known.get("validator")
    return validator if isinstance(validator, str) else None


def is_strong(validator: object) -> bool:
    """Returns True for a strong ETag, which changes with every byte; weak ETags and dates do not (RFC 9110, 8.8)."""
    return isinstance(validator, str) and validator.startswith('"')


def _promised(work: Work) -> str | None:
    promised = work.image.expected_digest if work.image else None
    return str(promised) if promised else None
