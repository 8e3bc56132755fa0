"""A file that nobody sees until it is whole."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lading.adapters.transfer.no_replace import NO_LINKS, NO_TMPFILE, rename_no_replace
from lading.adapters.transfer.opening import fingerprint
from lading.adapters.transfer.partial import create_part, drop_part, open_part, part_path, release_part
from lading.ports.association import Fingerprint

__all__ = ["PRIVATE", "NewFile"]

PRIVATE: Final = 0o600
"""Nobody but the owner reads or writes it."""


class NewFile:
    """A file on the target's file system, written under no name, or under the target's temporary one.

    `publish` gives it the target's name in one atomic step, after its bytes have reached the disk. Leaving the `with`
    block without publishing leaves nothing behind, unless it was told to `keep`. Raises OSError throughout.
    """

    def __init__(self, target: str, *, mode: int = PRIVATE, named: bool = False, start: int = 0) -> None:
        """`named`: with a name, so that it can be kept. `start`: bytes to go on from, of one that was kept."""
        folder, self._name = os.path.split(target)
        self._part = os.path.basename(part_path(target))
        self._target = target
        self._mode = mode
        self._temporary: str | None = None
        self._folder = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.descriptor = self._go_on(start) if start else self._open(named=named)
        except BaseException:
            os.close(self._folder)
            raise

    def _go_on(self, start: int) -> int:
        descriptor = open_part(self._target)
        try:
            os.ftruncate(descriptor, start)
        except BaseException:
            os.close(descriptor)
            raise
        self._temporary = self._part
        return descriptor

    def _open(self, *, named: bool) -> int:
        # What is kept of an earlier one is of no use to this one.
        drop_part(self._target)
        # An anonymous file gets its name by way of /proc (open(2), O_TMPFILE).
        if not named and hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").exists():
            try:
                return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, PRIVATE, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in NO_TMPFILE:
                    raise
        descriptor = create_part(self._target, PRIVATE)
        self._temporary = self._part
        return descriptor

    def finish(self) -> Fingerprint:
        """Give it its mode, where files have one, and have its bytes reach the disk; what it is, but for its ctime."""
        if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != self._mode:
            with suppress(PermissionError):  # vfat: all files have the mode that the mount says
                os.fchmod(self.descriptor, self._mode)
        os.fsync(self.descriptor)
        return fingerprint(os.fstat(self.descriptor))

    def keep(self) -> None:
        """Leave it where it is, under its temporary name."""
        self._temporary = None

    def publish(self, *, replace: bool) -> Fingerprint:
        """Let it appear at the target, after `finish`; what it is from now on.

        Raises FileExistsError when something is there, unless `replace`.
        """
        if replace:
            if self._temporary is None:
                self._link(self._part)
                self._temporary = self._part
            os.replace(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = None
            os.fsync(self._folder)
        else:
            self._appear()
            try:
                self._drop_temporary()
                os.fsync(self._folder)
            except BaseException:
                os.unlink(self._name, dir_fd=self._folder)
                raise
        release_part(self.descriptor)
        return fingerprint(os.fstat(self.descriptor))

    def _appear(self) -> None:
        """Give it the target's name, if nothing has that name."""
        try:
            self._link(self._name)
        except OSError as error:
            if self._temporary is None or error.errno not in NO_LINKS:
                raise
            if not os.path.samestat(os.fstat(self.descriptor), os.lstat(self._temporary, dir_fd=self._folder)):
                raise FileNotFoundError(errno.ENOENT, "its temporary file was replaced by another") from error
            rename_no_replace(self._temporary, self._name, folder=self._folder)
            self._temporary = None

    def _link(self, name: str) -> None:
        # By its descriptor, where it can be: no other file that has come to its temporary name. Given folder
        # descriptors, os.link calls linkat, which can follow /proc's link (open(2), O_TMPFILE).
        by_descriptor = f"/proc/self/fd/{self.descriptor}"
        source = by_descriptor if os.path.exists(by_descriptor) else self._temporary or ""
        follow = source == by_descriptor
        os.link(source, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=follow)

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
