"""A file that nobody sees until it is whole."""

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lading.adapters.destinations.file.no_replace import NO_LINKS, NO_TMPFILE, rename_no_replace
from lading.adapters.destinations.file.partial import (
    claim,
    create_part,
    kept_bytes,
    open_part,
    part_path,
    refuse_taken,
    release_part,
)
from lading.adapters.destinations.rules import PRIVATE
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.ports.association import Fingerprint, Folder

__all__ = ["NewFile"]

_log = logging.getLogger(__name__)


class NewFile:
    """A file on the target's file system, written under no name, or under the target's temporary one.

    `publish` gives it the target's name in one atomic step, after its bytes have reached the disk. Leaving the `with`
    block without publishing leaves nothing behind, unless it was told to `keep`. What is there under a name is found by
    looking, so that an interrupt at any point is cleaned up after. Raises OSError and Refused throughout.
    """

    def __init__(
        self,
        target: str,
        *,
        mode: int = PRIVATE,
        named: bool = False,
        start: int = 0,
        notes: Mapping[str, object] | None = None,
        announce: Callable[[Fingerprint | None], None] | None = None,
        resumable: bool = False,
    ) -> None:
        """`named`: with a name, so that it can be kept. `start`: bytes that are kept of one that `notes` name.

        `announce` is told which file is about to get the temporary name; None: a new one, made there. With it, recovery
        knows of whatever is left behind. `resumable`: an interrupt leaves what has come.
        """
        folder, self._name = os.path.split(target)
        self._part = os.path.basename(part_path(target))
        self._target = target
        self._mode = mode
        self._keep, self._resumable = False, resumable
        self._announce = announce
        self.descriptor = -1
        self._folder = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if start:
                self._resume(start, notes or {})
            else:
                self._open(named=named)
        except BaseException:
            self._keep = bool(start)  # what had come is not this one's to remove
            self._close()
            raise

    @property
    def folder(self) -> Folder | None:
        """The identity of the folder that it is in."""
        return folder_identity(self._folder)

    def _resume(self, start: int, notes: Mapping[str, object]) -> None:
        self.descriptor = open_part(self._target, notes)
        self._tell(fingerprint(self.descriptor))
        os.ftruncate(self.descriptor, start)

    def _open(self, *, named: bool) -> None:
        # An anonymous file gets its name by way of /proc (open(2), O_TMPFILE).
        if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").exists():
            try:
                self.descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, PRIVATE, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in NO_TMPFILE:
                    raise
            else:
                if named:
                    if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != PRIVATE:
                        os.fchmod(self.descriptor, PRIVATE)  # the umask took rights without which it can't be resumed
                    self._name_part()
                return
        self._tell(None)
        self.descriptor = create_part(self._target, PRIVATE)
        self._tell(fingerprint(self.descriptor))

    def _name_part(self) -> None:
        """Give it the temporary name, after it is written down which file that is."""
        claim(self.descriptor)
        self._tell(fingerprint(self.descriptor))
        try:
            self._link(self._part)
        except FileExistsError:
            refuse_taken(self._target)

    def _tell(self, file: Fingerprint | None) -> None:
        if self._announce is not None:
            self._announce(file)

    def finish(self) -> Fingerprint:
        """Give it its mode, where files have one, and have its bytes reach the disk; what it is, but for its ctime."""
        if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != self._mode:
            with contextlib.suppress(PermissionError):  # vfat: all files have the mode that the mount says
                os.fchmod(self.descriptor, self._mode)
        os.fsync(self.descriptor)
        return fingerprint(self.descriptor)

    def keep(self) -> None:
        """Leave it where it is, under its temporary name."""
        self._keep = True

    def publish(self, *, replace: bool) -> Fingerprint:
        """Let it appear at the target, after `finish`; what it is from now on.

        Raises FileExistsError when something is there, unless `replace`.
        """
        if replace:
            if not self._is_at(self._part):
                try:
                    self._link(self._part)
                except FileExistsError:
                    refuse_taken(self._target)
            os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            try:
                os.fsync(self._folder)
            except OSError as error:
                # The earlier file is gone, so that there is no way back.
                told = "its folder can't be flushed: a power failure may bring the earlier file back"
                _log.warning("%s is replaced, but %s: %s", self._target, told, error.strerror)
        else:
            self._appear()
            try:
                self._drop(self._part)
                os.fsync(self._folder)
            except BaseException as error:
                # It is whole: an interrupt leaves it to recovery, as a kill does, if that knows of it.
                if isinstance(error, Exception) or self._announce is None:
                    self._drop(self._name)
                raise
        release_part(self.descriptor)
        return fingerprint(self.descriptor)

    def _appear(self) -> None:
        """Give it the target's name, if nothing has that name."""
        try:
            self._link(self._name)
        except OSError as error:
            if error.errno not in NO_LINKS or not self._is_at(self._part):
                raise
            rename_no_replace(self._part, self._name, folder=self._folder)

    def _link(self, name: str) -> None:
        # By its descriptor, where it can be: no other file that has come to its temporary name. Given folder
        # descriptors, os.link calls linkat, which can follow /proc's link (open(2), O_TMPFILE).
        by_descriptor = f"/proc/self/fd/{self.descriptor}"
        source = by_descriptor if os.path.exists(by_descriptor) else self._part
        follow = source == by_descriptor
        os.link(source, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=follow)

    def _is_at(self, name: str) -> bool:
        """Whether the name is this file's. While it is open, no other file gets its inode."""
        try:
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self.descriptor))

    def _drop(self, name: str) -> None:
        """Remove the name, if it is this file's."""
        if self._is_at(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder)

    def _close(self) -> None:
        try:
            if self.descriptor >= 0 and not self._keep:
                self._drop(self._part)
        finally:
            if self.descriptor >= 0:
                os.close(self.descriptor)
            os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_interrupted = error is not None and not isinstance(error, Exception)
        if is_interrupted and self._resumable and kept_bytes(self.descriptor):
            self.keep()
        # An interrupt is not replaced by what goes wrong while it is cleaned up after.
        with contextlib.suppress(*[OSError] * is_interrupted):
            self._close()
