"""Locks among the processes of one host, kept by its kernel."""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from lading.adapters.host.private_files import give_to_folder_owner, make_private, owner_text
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.ports.failures import StoreUnavailable

__all__ = ["FileLocks"]

_log = logging.getLogger(__name__)
_SUFFIX: Final = ".lock"
_PAUSE_SECONDS: Final = 0.02
"""Between two looks at whether a lock is free."""


class FileLocks:
    """Locks by flock(2) on a file a name, which the kernel lets go of when its holder dies.

    By filelock, loaded with the first lock. A file is there for as long as its name is held, or was when all died.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holding = ReentrantLocks()

    def sweep(self) -> None:
        """Remove the files whose holders died. Nothing goes by them: they only lie there."""
        try:
            left = [path for path in self._folder.iterdir() if path.suffix == _SUFFIX]
        except OSError:
            return
        for path in left:
            with suppress(StoreUnavailable), self._holding.hold(str(path), partial(self._take, path, wait=False)):
                pass

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        path = self._path(name)
        return self._holding.hold(name, lambda: self._take(path, wait=wait, name=name))

    def holder(self, name: str) -> int | None:
        try:
            process = int(self._path(name).read_bytes())
        except (OSError, ValueError):
            return None
        return process if process != os.getpid() else None

    def _path(self, name: str) -> Path:
        return self._folder / (hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32] + _SUFFIX)

    def _take(self, path: Path, *, wait: bool, name: str = "") -> Callable[[], None] | None:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - see the class

        try:
            make_private(self._folder)
            lock = FileLock(path, mode=0o600, thread_local=False, poll_interval=_PAUSE_SECONDS, fallback_to_soft=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if not wait:
                    return None
                _log.info("waiting for somebody else to be done with %s", name)
                lock.acquire()
            with suppress(FileNotFoundError):
                give_to_folder_owner(path)
        except (OSError, NotImplementedError) as error:
            raise StoreUnavailable(_why_not_taken(path, error)) from error

        with suppress(OSError):  # who waits is told less then
            path.write_bytes(b"%d" % os.getpid())

        def release() -> None:
            # While it is still held: whoever opened it meanwhile finds that it has lost its name, and looks again.
            with suppress(OSError):
                path.unlink()
            lock.release()

        return release


def _why_not_taken(path: Path, error: OSError | NotImplementedError) -> str:
    told = f"the lock {path} can't be taken: {getattr(error, 'strerror', None) or error}"
    if not isinstance(error, PermissionError) or not (whose := owner_text(path)):
        return f"{told}: let this user write its folder, or configure [locks]"
    if not os.path.lexists(path):
        return f"{told}{whose}: run this as that user, or configure [locks]"
    # Whether somebody holds it, only who may open it can tell.
    return f"{told}{whose}: when no command of that user's runs, remove it: rm {path}"
