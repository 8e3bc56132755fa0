"""A new file that is not visible at its target before it is whole."""

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Mapping
from io import FileIO
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
from lading.adapters.stream.dropped import open_owned
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.ports.association import Fingerprint, Folder

__all__ = ["NewFile", "NoLateName"]

_log = logging.getLogger(__name__)
_no_late_names: set[int] = set()
"""Devices on which a file that was opened without a name cannot get one."""


class NoLateName(Exception):
    """The file has no name and cannot get one. The next NewFile on its device has a temporary name from the start."""


class NewFile:
    """A file on the target's file system, written without a name or under the target's temporary name.

    `publish` gives it the target's name in one atomic step, after its bytes have reached the disk. Leaving the `with`
    block without publishing leaves nothing behind, unless `keep` was called. The names that exist are looked up and
    not remembered, so that an interrupt at any point leaves nothing behind. All methods raise OSError and Refused.
    """

    def __init__(  # noqa: PLR0913 - what it is to be, most of it optional
        self,
        target: str,
        *,
        part: str | None = None,
        mode: int = PRIVATE,
        named: bool = False,
        start: int = 0,
        notes: Mapping[str, object] | None = None,
        announce: Callable[[Fingerprint | None], None] | None = None,
        resumable: bool = False,
    ) -> None:
        """`part`: the path of the temporary file. `named`: it has that name from the start, so that it can be kept.
        `start`: bytes of the partial file in `notes`.

        `announce` is called with the file that is about to get the temporary name; with None for a new one that is
        about to be made there. So recovery finds what a crash leaves. `resumable`: an interrupt keeps the partial data.
        """
        folder, self._name = os.path.split(target)
        self._part = os.path.basename(part or part_path(target))
        self._target = target
        self._mode = mode
        self._keep, self.resumable = False, resumable
        self._announce = announce
        self._is_unnamed = False
        """True until a file that was opened without a name gets its first name."""
        self._file: FileIO | None = None
        self._folder = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if start:
                self._resume(start, notes or {})
            else:
                self._open(named=named)
        except BaseException:
            self._keep = bool(start)  # the partial data stays for another fetch
            self._close()
            raise

    @property
    def descriptor(self) -> int:
        """Belongs to this, which closes it."""
        assert self._file is not None  # noqa: S101 - opened from the start
        return self._file.fileno()

    @property
    def folder(self) -> Folder | None:
        """The identity of the folder that it is in."""
        return folder_identity(self._folder)

    @property
    def _part_path(self) -> str:
        return os.path.join(os.path.dirname(self._target), self._part)

    def _resume(self, start: int, notes: Mapping[str, object]) -> None:
        self._file = open_part(self._target, notes)
        self._note(fingerprint(self.descriptor))
        os.ftruncate(self.descriptor, start)

    def _open(self, *, named: bool) -> None:
        if self._open_unnamed():
            if not named:
                return
            try:
                self._name_part()
            except NoLateName:
                if self._file is not None:
                    self._file.close()
                self._file, self._is_unnamed = None, False
            else:
                return
        self._note(None)
        self._file = create_part(self._part_path, PRIVATE)
        self._note(fingerprint(self.descriptor))

    def _open_unnamed(self) -> bool:
        """Opens a file without a name. Returns False where it is not possible, or could not get one later."""
        # It gets its name by way of /proc (open(2), O_TMPFILE).
        if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").exists() or self._device in _no_late_names:
            return False
        try:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            self._file = open_owned(".", flags, PRIVATE, folder=self._folder)
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
            return False
        self._is_unnamed = True
        return True

    def _name_part(self) -> None:
        """Gives the file the temporary name, after it is noted. Raises NoLateName."""
        if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != PRIVATE:
            os.fchmod(self.descriptor, PRIVATE)  # the umask removed rights without which it cannot be resumed
        claim(self.descriptor)
        self._note(fingerprint(self.descriptor))
        self._link_part()

    def _note(self, file: Fingerprint | None) -> None:
        if self._announce is not None:
            self._announce(file)

    @property
    def _device(self) -> int:
        return os.fstat(self._folder).st_dev

    def finish(self) -> Fingerprint:
        """Sets the mode, where files have one, and flushes the file. Returns its fingerprint; the ctime may change."""
        if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != self._mode:
            with contextlib.suppress(PermissionError):  # vfat: the mount sets the mode of all files
                os.fchmod(self.descriptor, self._mode)
        os.fsync(self.descriptor)
        return fingerprint(self.descriptor)

    def keep(self) -> None:
        """Keeps the file under its temporary name when the block ends."""
        self._keep = True

    def publish(self, *, replace: bool) -> Fingerprint:
        """Gives the finished file the target's name. Returns its fingerprint.

        Raises FileExistsError when something is there, unless `replace`; and NoLateName, when nothing was changed.
        """
        if replace:
            if not self._is_at(self._part):
                self._link_part()
            os.replace(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            try:
                os.fsync(self._folder)
            except OSError as error:
                # The earlier file is gone and cannot be restored.
                risk = "its folder cannot be flushed: a power failure may bring the earlier file back"
                _log.warning("%s is replaced, but %s: %s", self._target, risk, error.strerror)
        else:
            self._link_or_rename()
            try:
                self._drop(self._part)
                os.fsync(self._folder)
            except BaseException as error:
                # It is whole: an interrupt leaves it to recovery, as a kill does, if it was noted.
                if isinstance(error, Exception) or self._announce is None:
                    self._drop(self._name)
                raise
        release_part(self.descriptor)
        return fingerprint(self.descriptor)

    def _link_or_rename(self) -> None:
        """Gives the file the target's name, if nothing has that name. Raises NoLateName."""
        try:
            self._link(self._name)
        except OSError as error:
            if error.errno not in NO_LINKS or not self._is_at(self._part):
                raise
            rename_no_replace(self._part, self._name, folder=self._folder)

    def _link_part(self) -> None:
        """Gives the file without a name the temporary one. Raises NoLateName."""
        try:
            self._link(self._part)
        except FileExistsError:
            refuse_taken(self._part_path)
        self._is_unnamed = False

    def _link(self, name: str) -> None:
        """Gives the file one more name. Raises OSError, and NoLateName for a file that cannot get its first name."""
        # By descriptor where possible: another file may have the temporary name by now. Given folder descriptors,
        # os.link calls linkat, which can follow /proc's link (open(2), O_TMPFILE).
        by_descriptor = f"/proc/self/fd/{self.descriptor}"
        source = by_descriptor if os.path.exists(by_descriptor) else self._part
        follow = source == by_descriptor
        try:
            os.link(source, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in NO_LINKS or not self._is_unnamed:
                raise
            _no_late_names.add(self._device)
            raise NoLateName(f"{self._target} cannot be linked: {error.strerror}") from error

    def _is_at(self, name: str) -> bool:
        """Returns True when the name is this file's. While it is open, no other file gets its inode."""
        try:
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self.descriptor))

    def _drop(self, name: str) -> None:
        """Removes the name, if it is this file's."""
        if self._is_at(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._folder)

    def _close(self) -> None:
        try:
            if self._file is not None and not self._keep:
                self._drop(self._part)
        finally:
            if self._file is not None:
                release_part(self.descriptor)
                self._file.close()
            os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_interrupted = error is not None and not isinstance(error, Exception)
        if is_interrupted and self.resumable and kept_bytes(self.descriptor):
            self.keep()
        # An error in the cleanup does not replace the interrupt.
        with contextlib.suppress(*[OSError] * is_interrupted):
            self._close()
