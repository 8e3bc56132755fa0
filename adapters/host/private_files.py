"""Folders and files for one user only, whatever the umask, and whoever makes them."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["give_to_folder_owner", "make_private", "open_private", "owner_text"]

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_LONGEST_ID: Final = 20
"""Digits of a process id, at most."""


def make_private(folder: Path) -> None:
    """Have the folder there, and those above it; the ones that are made are for their owner only. Raises OSError.

    What root makes in another user's folder is that user's, as SQLite has it with what it makes beside a database: a
    command of root's must not lock out the service whose files these are.
    """
    # By itself mkdir makes those above with whatever the umask lets through.
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        with suppress(FileExistsError):
            each.mkdir(mode=_FOLDER)
            if stat.S_IMODE(each.lstat().st_mode) & _FOLDER != _FOLDER:
                each.chmod(_FOLDER)  # the umask took the owner's own rights
            if _gives_away(each.parent):
                descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    _give(descriptor, each.parent)
                finally:
                    os.close(descriptor)


def open_private(path: Path, flags: int) -> int:
    """A descriptor of the file; where `flags` create it, it is for its folder's owner only. Raises OSError."""
    if not flags & os.O_CREAT:
        return os.open(path, flags | os.O_CLOEXEC)
    try:
        descriptor = os.open(path, flags | os.O_EXCL | os.O_CLOEXEC, _FILE)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        # As it is: what somebody else has put there is not changed, and not given away.
        return os.open(path, flags & ~os.O_CREAT | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != _FILE:
            os.fchmod(descriptor, _FILE)  # the umask took the owner's own rights
        if _gives_away(path.parent):
            _give(descriptor, path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def give_to_folder_owner(path: Path) -> None:
    """Give root's lock file, empty or with a process id, to the owner of its folder. Raises OSError.

    One that holds more stays as it is: the folder's owner may have moved another file of root's there.
    """
    if _gives_away(path.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size <= _LONGEST_ID:
                _give(descriptor, path.parent)
        finally:
            os.close(descriptor)


def owner_text(path: Path) -> str:
    """` (it belongs to root, uid 0)`, of the file, or its folder where there is no file; empty for the user's own."""
    import pwd  # noqa: PLC0415 - only an error needs it, and not every system has it

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


def _gives_away(folder: Path) -> bool:
    return os.geteuid() == 0 and folder.stat().st_uid != 0


def _give(descriptor: int, folder: Path) -> None:
    status, owner = os.fstat(descriptor), folder.stat()
    # Whoever owns the folder may have put another name of a file there that they may not touch.
    is_new = status.st_uid == 0 and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1)
    if is_new:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
