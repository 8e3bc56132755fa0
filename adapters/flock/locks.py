"""Locks between the processes of one host, held by its kernel."""

import fcntl
import hashlib
import logging
import os
from contextlib import AbstractContextManager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final

from lading.adapters.host.private_files import give_to_folder_owner, make_private, open_private, owner_text
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.ports.failures import StoreUnavailable

__all__ = ["FileLocks"]

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".lock"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
_open_files: Final[set[FileIO]] = set()
"""The lock files that this process has open."""


def _close_in_child() -> None:
    # A lock lasts as long as any process has its file open: a child would keep it when its parent dies.
    for file in _open_files:
        file.close()
    _open_files.clear()


os.register_at_fork(after_in_child=_close_in_child)


class _FileHold:
    """A thread's hold of the lock on a file. Its release removes the file."""

    def __init__(self, path: Path, name: str = "") -> None:
        self._path, self._name = path, name
        self._file: FileIO | None = None
        self._is_told = False

    def acquire(self, *, wait: bool) -> bool:
        """Raises StoreUnavailable."""
        try:
            while True:
                file = self._opened()
                if file is not None and not self._is_locked(file, wait=wait):
                    return False
                if file is not None and self._is_named(file):
                    break
                # The holder has removed the file meanwhile: a lock on it excludes nobody.
                self._close()
            with suppress(FileNotFoundError):
                give_to_folder_owner(self._path)
        except OSError as error:
            raise StoreUnavailable(_failure_reason(self._path, error)) from error
        with suppress(OSError):  # without it, processes that wait do not know which process holds the lock
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), b"%d" % os.getpid(), 0)
        return True

    def release(self) -> None:
        file = self._file
        if file is None or file.closed:
            return
        with suppress(OSError):
            # After an interrupted `acquire` the lock may be another process's, and so is the file then.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_named(file):
                self._path.unlink()
        self._close()

    def _opened(self) -> FileIO | None:
        """The file, made if it is missing. None: it was removed while it was opened."""
        make_private(self._path.parent)
        try:
            # A FileIO that an interrupt drops closes its descriptor, and so releases its lock.
            file = self._file = FileIO(open_private(self._path, _FLAGS), "r+")
        except FileNotFoundError:
            if self._path.parent.is_dir():
                return None
            raise
        _open_files.add(file)
        return file

    def _is_locked(self, file: FileIO, *, wait: bool) -> bool:
        """Locks the file. Returns False when another process, or another thread, has locked it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # the latter on a share of Windows
            if not wait:
                return False
            if not self._is_told:
                self._is_told = True
                _log.info("waiting for another process to release %s", self._name)
            fcntl.flock(file, fcntl.LOCK_EX)
        return True

    def _is_named(self, file: FileIO) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), self._path.lstat())
        return False

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            _open_files.discard(self._file)


class FileLocks:
    """Locks by flock(2), with one file for each name. The kernel releases a lock when its process dies.

    A release removes the file; a process that dies leaves it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = ReentrantLocks()

    def sweep(self) -> None:
        """Removes the files that processes left when they died. Such a file locks nothing."""
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix == _SUFFIX]
        except OSError:
            return
        for path in paths:
            with suppress(StoreUnavailable), self._locks.hold(str(path), partial(_FileHold, path), wait=False):
                pass  # the release removes the file

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return self._locks.hold(name, partial(_FileHold, self._path(name), name), wait=wait)

    def holder(self, name: str) -> int | None:
        try:
            process = int(self._path(name).read_bytes())
        except (OSError, ValueError):
            return None
        return process if process != os.getpid() else None

    def _path(self, name: str) -> Path:
        return self._folder / (hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32] + _SUFFIX)


def _failure_reason(path: Path, error: OSError) -> str:
    reason = f"the lock {path} cannot be acquired: {error.strerror or error}"
    if not isinstance(error, PermissionError):
        return f"{reason}: [locks] folder can name another one"
    if not (owner := owner_text(path)):
        return f"{reason}: give this user write permission for its folder, or configure [locks]"
    if not os.path.lexists(path):
        return f"{reason}{owner}: run the command as that user, or configure [locks]"
    # Only a process that may open the file can find out whether it is locked.
    return f"{reason}{owner}: when no command of that user runs, remove it: rm {path}"
