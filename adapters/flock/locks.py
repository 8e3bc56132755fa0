"""Locks between the processes of one host, held by its kernel."""

import hashlib
import logging
import os
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lading.adapters.host.private_files import give_to_folder_owner, make_private, owner_text
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.ports.failures import StoreUnavailable

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["FileLocks"]

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".lock"
_PAUSE_SECONDS: Final = 0.02
"""The time between two attempts to acquire a lock."""


class FileLocks:
    """Locks by flock(2), with one file for each name. The kernel releases a lock when its process dies.

    Uses the package filelock, imported with the first lock. A release removes the file; a process that dies leaves it.
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
            with suppress(StoreUnavailable), self._locks.hold(str(path), partial(self._acquire, path, wait=False)):
                pass  # the release removes the file

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return self._locks.hold(name, partial(self._acquire, self._path(name), wait=wait, name=name))

    def holder(self, name: str) -> int | None:
        try:
            process = int(self._path(name).read_bytes())
        except (OSError, ValueError):
            return None
        return process if process != os.getpid() else None

    def _path(self, name: str) -> Path:
        return self._folder / (hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32] + _SUFFIX)

    def _acquire(self, path: Path, block: ExitStack, *, wait: bool, name: str = "") -> bool:
        """Acquires the lock until the block ends; False when another process holds it. Raises StoreUnavailable."""
        from filelock import FileLock, Timeout  # noqa: PLC0415 - see the class

        try:
            make_private(self._folder)
            lock = FileLock(path, mode=0o600, thread_local=False, poll_interval=_PAUSE_SECONDS, fallback_to_soft=False)
            block.callback(_release, lock, path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if not wait:
                    return False
                _log.info("waiting for another process to release %s", name)
                lock.acquire()
            with suppress(FileNotFoundError):
                give_to_folder_owner(path)
        except (OSError, NotImplementedError) as error:
            raise StoreUnavailable(_failure_reason(path, error)) from error
        with suppress(OSError):  # without it, processes that wait do not know which process holds the lock
            path.write_bytes(b"%d" % os.getpid())
        return True


def _release(lock: "BaseFileLock", path: Path) -> None:
    if not lock.is_locked:
        return
    # Unlinked while it is locked: a process that has opened the file finds that its name is gone, and opens it again.
    with suppress(OSError):
        path.unlink()
    lock.release()


def _failure_reason(path: Path, error: OSError | NotImplementedError) -> str:
    reason = f"the lock {path} cannot be acquired: {getattr(error, 'strerror', None) or error}"
    if not isinstance(error, PermissionError) or not (owner := owner_text(path)):
        return f"{reason}: give this user write permission for its folder, or configure [locks]"
    if not os.path.lexists(path):
        return f"{reason}{owner}: run the command as that user, or configure [locks]"
    # Only a process that may open the file can find out whether it is locked.
    return f"{reason}{owner}: when no command of that user runs, remove it: rm {path}"
