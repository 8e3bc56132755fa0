"""Folders and files with access for their owner only, independent of the umask."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["give_to_folder_owner", "make_private", "open_private", "owner_text"]

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_LONGEST_ID: Final = 20
"""The most digits of a process id."""


def make_private(folder: Path) -> None:
    """Makes the folder and its parents where they are missing, with access for their owner only. Raises OSError.

    A folder that root makes in another user's folder belongs to that user, as with the files that SQLite makes beside a
    database: a command of root must not lock out the service that owns the files.
    """
    # mkdir(parents=True) would make the parents with the rights that the umask allows.
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        with suppress(FileExistsError):
            each.mkdir(mode=_FOLDER)
            if stat.S_IMODE(each.lstat().st_mode) & _FOLDER != _FOLDER:
                each.chmod(_FOLDER)  # the umask removed rights of the owner
            if _is_root_in_others_folder(each.parent):
                descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    _give(descriptor, each.parent)
                finally:
                    os.close(descriptor)


def open_private(path: Path, flags: int) -> int:
    """Opens the file and returns a descriptor. A file that `flags` create is for its folder's owner only.

    Raises OSError.
    """
    if not flags & os.O_CREAT:
        return os.open(path, flags | os.O_CLOEXEC)
    try:
        descriptor = os.open(path, flags | os.O_EXCL | os.O_CLOEXEC, _FILE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        # The mode and owner of a file that exists already are not changed: another user may have made it.
        return os.open(path, flags & ~os.O_CREAT | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != _FILE:
            os.fchmod(descriptor, _FILE)  # the umask removed rights of the owner
        if _is_root_in_others_folder(path.parent):
            _give(descriptor, path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def give_to_folder_owner(path: Path) -> None:
    """Gives root's lock file, empty or with a process id, to the owner of its folder. Raises OSError.

    A file with more content keeps its owner: the folder's owner may have moved another file of root's there.
    """
    if _is_root_in_others_folder(path.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size <= _LONGEST_ID:
                _give(descriptor, path.parent)
        finally:
            os.close(descriptor)


def owner_text(path: Path) -> str:
    """Returns ` (it belongs to root, uid 0)` for a message about a file; empty when the owner is the current user.

    Where there is no file, the text is about its folder.
    """
    import pwd  # noqa: PLC0415 - only an error needs it, and some systems do not have it

    what, owner = "it", _owner(path)
    if owner is None:
        what, owner = "its folder", _owner(path.parent)
    if owner in {None, os.geteuid()}:
        return ""
    with suppress(KeyError):
        return f" ({what} belongs to {pwd.getpwuid(owner or 0).pw_name}, uid {owner})"
    return f" ({what} belongs to uid {owner})"


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _is_root_in_others_folder(folder: Path) -> bool:
    return os.geteuid() == 0 and folder.stat().st_uid != 0


def _give(descriptor: int, folder: Path) -> None:
    status, owner = os.fstat(descriptor), folder.stat()
    # The folder's owner may have made a hard link there to a file of root's.
    is_new = status.st_uid == 0 and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1)
    if is_new:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
