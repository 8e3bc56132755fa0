"""Locks among the processes of one host, kept by its kernel."""

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from lading.adapters.locks.holding import Holding
from lading.ports.failures import StoreUnavailable

__all__ = ["FileLocks"]

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.02
"""Between two looks at whether a lock is free."""


class FileLocks:
    """Locks by flock(2) on a file a name, which the kernel lets go of when its holder dies.

    By filelock, loaded with the first lock. A file is there for as long as its name is held, or was when all died.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holding = Holding()

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        def acquire() -> Callable[[], None] | None:
            from filelock import FileLock, Timeout  # noqa: PLC0415 - see the class

            path = self._folder / f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:32]}.lock"
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = FileLock(
                    path, mode=0o600, thread_local=False, poll_interval=_PAUSE_SECONDS, fallback_to_soft=False
                )
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    if not wait:
                        return None
                    _log.info("waiting for %s", name)
                    lock.acquire()
            except (OSError, NotImplementedError) as error:
                words = getattr(error, "strerror", None) or str(error)
                raise StoreUnavailable(
                    f"the lock {path} can't be taken: {words}: let this user write its folder, or configure [locks]"
                ) from error

            def release() -> None:
                # While it is still held: whoever opened it meanwhile finds that it has lost its name, and looks again.
                with suppress(OSError):
                    path.unlink()
                lock.release()

            return release

        return self._holding.hold(name, acquire)
