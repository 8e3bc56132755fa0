"""A file that nobody sees until it is whole."""

import errno
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lading.adapters.transfer.opening import fingerprint
from lading.ports.association import Fingerprint

__all__ = ["NewFile"]

_MODE: Final = 0o600
# What file systems without O_TMPFILE answer (open(2)); a kernel that doesn't know it sees a folder opened to write.
_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOTSUP})


class NewFile:
    """A file on the target's file system, written under no name, or under a temporary one where that can't be had.

    `publish` gives it the target's name in one atomic step, after its bytes have reached the disk. Leaving the `with`
    block without publishing leaves nothing behind. Raises OSError throughout.
    """

    def __init__(self, target: str) -> None:
        folder, self._name = os.path.split(target)
        self._folder = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._temporary: str | None = None
        try:
            self.descriptor = self._open()
        except BaseException:
            os.close(self._folder)
            raise

    def _open(self) -> int:
        # An anonymous file gets its name by way of /proc (open(2), O_TMPFILE).
        if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").exists():
            try:
                return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, _MODE, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
        self._temporary = self._temporary_name()
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        return os.open(self._temporary, flags, _MODE, dir_fd=self._folder)

    def publish(self, *, replace: bool) -> Fingerprint:
        """Flush it, and let it appear at the target; what it is from now on.

        Raises FileExistsError when something is there, unless `replace`.
        """
        os.fsync(self.descriptor)
        if replace:
            if self._temporary is None:
                temporary = self._temporary_name()
                self._link(temporary)
                self._temporary = temporary
            os.replace(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = None
        else:
            self._link(self._name)
            self._drop_temporary()
        os.fsync(self._folder)
        return fingerprint(os.fstat(self.descriptor))

    def _link(self, name: str) -> None:
        source = self._temporary or f"/proc/self/fd/{self.descriptor}"
        # Given folder descriptors, os.link calls linkat, which can follow /proc's link to the anonymous file.
        os.link(source, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=not self._temporary)

    def _temporary_name(self) -> str:
        # File names end at 255 bytes (NAME_MAX); a long target's name is cut, whole characters at a time.
        stem = self._name.encode(errors="surrogateescape")[:200].decode(errors="ignore")
        return f".{stem}.{secrets.token_hex(8)}.lading"

    def _drop_temporary(self) -> None:
        if self._temporary is not None:
            os.unlink(self._temporary, dir_fd=self._folder)
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._drop_temporary()
        finally:
            os.close(self.descriptor)
            os.close(self._folder)
