"""The state of a target: free, taken, in use, or on a file system that is not mounted."""

import errno
import os
import shlex
import stat

from lading.adapters.destinations.device.form import is_device
from lading.adapters.destinations.file.in_use import is_in_use
from lading.adapters.destinations.file.no_replace import require_no_replace
from lading.adapters.destinations.file.partial import is_part_name
from lading.adapters.stream.errors import Refused, occupied, target_failure
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.domain.handler import Landing, Work
from lading.domain.refusals import TargetFailed, TargetInUse, TargetNotWritable, TargetOccupied, Unsupported
from lading.ports.association import Association, Fingerprint, Folder

__all__ = [
    "check_target",
    "conflict",
    "folder_conflict",
    "is_intact",
    "missing_folder",
    "mount_conflict",
    "not_absolute",
    "reserved",
    "status_of",
    "use_of",
]


def status_of(target: str) -> os.stat_result | None:
    """The target's own status, a symlink's for a symlink; None when nothing is there. Raises OSError."""
    try:
        return os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_intact(association: Association, found: Fingerprint | None) -> bool:
    """Returns True when the file at a target is the one that was fetched, unchanged."""
    return found is not None and association.fingerprint is not None and association.fingerprint.is_unchanged(found)


def mount_conflict(association: Association) -> TargetFailed | None:
    """The reason why a recorded target cannot be examined: see `folder_conflict`. Raises OSError."""
    target, file = association.target, association.fingerprint
    if file is None:
        return None
    conflict = folder_conflict(target, association.folder)
    if conflict is None and association.folder is None and status_of(target) is None:
        # An earlier version recorded the file's device only.
        there = folder_identity(os.path.dirname(target))
        if there is not None and not file.may_be_in(there):
            return _not_mounted(target, "on another disk than")
    return conflict


def folder_conflict(target: str, recorded: Folder | None) -> TargetFailed | None:
    """The reason why the target's folder is not the recorded one: usually its file system is not mounted.

    `recorded` None: only a missing folder is a conflict. Raises OSError.
    """
    found = folder_identity(os.path.dirname(target))
    if found is None:
        return _not_mounted(target, None)
    if recorded is not None and not recorded.is_same_folder(found):
        return _not_mounted(target, "another folder than")
    return None


def _not_mounted(target: str, instead: str | None) -> TargetFailed:
    folder = os.path.dirname(target)
    reason = f"{folder} is {instead} the one that {target} is in" if instead else f"the folder {folder} does not exist"
    advice = f"if it is gone for good: lading forget {shlex.quote(target)}"
    return TargetFailed(f"{reason}: is its file system not mounted?", advice=advice)


def reserved(target: str) -> TargetFailed | None:
    """The refusal of a name that lading reserves for partial data, or of a device's; None for any other name."""
    if is_device(target):
        return TargetFailed(f"{target} is a device's name, and lading makes no files beneath /dev")
    if not is_part_name(target):
        return None
    return TargetFailed(f"{target} has a name that lading reserves for partial data", advice="choose another name")


def conflict(work: Work) -> TargetOccupied | TargetFailed | Unsupported | None:
    """The refusal to remove or move what is at the target: it is not the file that was fetched.

    Changed bytes are no conflict: a running guest changes its disk. Raises OSError.
    """
    if not os.path.isabs(work.target):
        return not_absolute(work.target)
    if (elsewhere := _elsewhere(work)) is not None:
        return elsewhere
    status = status_of(work.target)
    if status is None or work.force:
        return None
    if not stat.S_ISREG(status.st_mode):
        return TargetOccupied(f"{work.target} is no longer a file")
    recorded = work.association.fingerprint if work.association else None
    if recorded is not None and not recorded.is_same_file(fingerprint(work.target)):
        return TargetOccupied(f"{work.target} is another file than the one that was fetched")
    return None


def use_of(work: Work) -> TargetInUse | None:
    """The refusal to remove or replace the file at the target: another program has it locked."""
    if work.even_if_in_use or not is_in_use(work.target):
        return None
    return TargetInUse(
        f"{work.target} is in use: another program has it locked, as QEMU does with a running guest's disk",
        advice="end that program first, or use --even-if-in-use",
    )


def _elsewhere(work: Work) -> TargetFailed | None:
    """The reason why the recorded target cannot be examined: see `mount_conflict`. Raises OSError."""
    return None if work.association is None or work.force else mount_conflict(work.association)


def check_target(work: Work) -> Landing | None:
    """The landing of the image that is at the target already, intact; None when the target is free. Raises Refused.

    Nothing is overwritten without `force`, and even then only a file: no folder, no device.
    """
    if not os.path.isabs(work.target):
        raise Refused(not_absolute(work.target))
    try:
        refusal = reserved(work.target) or _elsewhere(work)
        status = status_of(work.target)
    except OSError as error:
        raise Refused(target_failure(f"{work.target} cannot be examined", error)) from error
    except ValueError as error:
        raise Refused(TargetFailed(f"{work.target!r} is no path: {error}")) from error
    if refusal is not None:
        raise Refused(refusal)
    if status is None:
        _check_folder(os.path.dirname(work.target), force=work.force)
        return None
    return _as_recorded(work, status)


def _check_folder(folder: str, *, force: bool) -> None:
    """Raises Refused when no file can be made in the folder, as far as is known beforehand."""
    if not os.path.isdir(folder):
        raise Refused(missing_folder(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(_not_writable(folder))
    try:
        if not force:
            require_no_replace(folder)
    except OSError as error:
        raise Refused(target_failure(f"the folder {folder} cannot be written", error)) from error


def missing_folder(folder: str) -> TargetFailed:
    """The refusal of a target in a folder that does not exist."""
    return TargetFailed(f"the folder {folder} does not exist", advice=f"mkdir -p {shlex.quote(folder)}")


def _not_writable(folder: str) -> TargetNotWritable:
    """The refusal of a folder in which this user may make no file. Raises OSError."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return TargetNotWritable(f"the folder {folder} is on a read-only file system")
    status = os.stat(folder)
    return TargetNotWritable(
        f"the folder {folder} cannot be written: {os.strerror(errno.EACCES)}",
        expected=f"write permission for uid {os.geteuid()}",
        found=f"{stat.filemode(status.st_mode)} of uid {status.st_uid}, gid {status.st_gid}",
    )


def not_absolute(target: str) -> Unsupported:
    """The refusal of a target that is not an absolute path. What looks like a URL may be a file's name."""
    if not target:
        return Unsupported("no target is named")
    advice = f"for a file of this name: ./{target}" if ":" in target else ""
    return Unsupported(f"{target} is no absolute path of this host", advice=advice)


def _as_recorded(work: Work, status: os.stat_result) -> Landing | None:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        advice = f"for a file in it: {work.target}/" if stat.S_ISDIR(status.st_mode) else ""
        raise Refused(TargetOccupied(f"{work.target} is not a file", advice=advice))
    if work.force:
        if (in_use := use_of(work)) is not None:
            raise Refused(in_use)
        return None
    recorded = work.association
    if recorded is None:
        raise Refused(occupied(f"{work.target} exists, and lading has no record of it"))
    if not is_intact(recorded, _fingerprint_of(work.target)):
        raise Refused(occupied(f"{work.target} was changed since it was fetched"))
    if not recorded.is_for(work.image):
        other = recorded.image.id if recorded.image else "another image"
        raise Refused(occupied(f"{work.target} holds another image: {other}"))
    return Landing.already(recorded)


def _fingerprint_of(target: str) -> Fingerprint | None:
    try:
        return fingerprint(target)
    except OSError:
        return None
