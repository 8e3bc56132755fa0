"""Renames that replace nothing, also on file systems without hard links."""

import contextlib
import ctypes
import errno
import os
import sys
import tempfile
from typing import Final

from lading.adapters.stream.names import remove_name

__all__ = ["NO_LINKS", "NO_TMPFILE", "rename_no_replace", "require_no_replace"]

_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOTSUP})
"""Errors of file systems without O_TMPFILE (open(2)). Kernels without it try to open the folder for writing."""
NO_LINKS: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""Errors of file systems without hard links (link(2))."""
# Errors of renameat2(2) from kernels, C libraries and file systems without RENAME_NOREPLACE.
_NO_RENAMEAT2: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
_NEITHER: Final = "its file system has neither hard links nor RENAME_NOREPLACE: only fetch --force can publish there"


def rename_no_replace(source: str, destination: str, *, folder: int = _AT_FDCWD) -> None:
    """Renames in one step; where the system cannot, by a second name, and back if that fails.

    Relative paths are relative to the descriptor `folder`, else to the current folder. Raises OSError: FileExistsError
    when something is at the destination, EOPNOTSUPP where the file system can do neither.
    """
    try:
        _renameat2(source, destination, folder)
    except OSError as error:
        if error.errno not in _NO_RENAMEAT2:
            raise
        _rename_by_link(source, destination, None if folder == _AT_FDCWD else folder)


def require_no_replace(folder: str) -> None:
    """Raises OSError where no file in the folder can be given a name that replaces nothing.

    File systems with O_TMPFILE have hard links too: nothing is changed there. On others an empty file is made,
    renamed and removed, because a file system does not report this otherwise.
    """
    if hasattr(os, "O_TMPFILE"):
        try:
            os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in NO_TMPFILE:
                raise
        else:
            return
    descriptor, probe = tempfile.mkstemp(prefix=".lading-probe-", dir=folder)
    names = probe, f"{probe}-renamed"
    try:
        os.close(descriptor)
        rename_no_replace(*names)
    finally:
        # An interrupt comes before the rename or after it.
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _renameat2(source: str, destination: str, folder: int) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "no renameat2")
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "no renameat2")
    flags = ctypes.c_uint(_RENAME_NOREPLACE)
    if libc.renameat2(folder, os.fsencode(source), folder, os.fsencode(destination), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, destination)


def _rename_by_link(source: str, destination: str, folder: int | None) -> None:
    try:
        os.link(source, destination, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in NO_LINKS:
            raise OSError(errno.EOPNOTSUPP, _NEITHER) from error
        raise
    # After an interrupt the name at the destination stays: the other one may be removed already.
    try:
        remove_name(source, folder=folder)
    except OSError:
        os.unlink(destination, dir_fd=folder)
        raise
