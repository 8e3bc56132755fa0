"""Copies between files, and writes, that keep holes."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from lading.adapters.stream.pipeline import Chunk, SourceBroken

__all__ = ["BLOCK", "Extent", "can_clone", "clone", "copy_extent", "extents", "write_at", "write_sparsely"]

BLOCK: Final = 4096
"""Bytes; blocks of zeros of this size become holes. It is the block size of most file systems."""
_ZEROS: Final = bytes(BLOCK)
# linux/fs.h: _IOW(0x94, 9, int)
_FICLONE: Final = 0x40049409
_MOST_AT_ONCE: Final = 16 << 20
"""Bytes that one call copies: between calls progress is reported, write-back begins, and Ctrl-C works."""
# ioctl_ficlone(2) and copy_file_range(2): not supported for these files, by the file system or by the kernel.
_UNSUPPORTED: Final = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}
)


class Extent(NamedTuple):
    """A run of bytes in a file: data, or a hole, which reads as zeros."""

    offset: int
    length: int
    is_hole: bool


def extents(descriptor: int, size: int) -> Iterator[Extent]:
    """The file's data and holes, in order, up to `size` (lseek(2), SEEK_DATA and SEEK_HOLE)."""
    offset = 0
    while offset < size:
        try:
            data = min(os.lseek(descriptor, offset, os.SEEK_DATA), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = size  # nothing but a hole from here on
        if data > offset:
            yield Extent(offset, data - offset, is_hole=True)
        if data < size:
            hole = min(os.lseek(descriptor, data, os.SEEK_HOLE), size)
            yield Extent(data, hole - data, is_hole=False)
            data = hole
        offset = data


def clone(source: int, target: int) -> bool:
    """Makes the target share the source's blocks (XFS, btrfs, …). Returns False where that is not supported."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def can_clone(source: int, folder: str) -> bool:
    """Tells whether a file in the folder could share the source's blocks. Tries it with a file without a name."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        target = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        return clone(source, target)
    except OSError:
        return False
    finally:
        os.close(target)


def copy_extent(source: int, target: int, extent: Extent, reached: Callable[[int], None]) -> None:
    """Copies one run of data to the same place in the target; calls `reached` with the offset after each step."""
    offset, end = extent.offset, extent.offset + extent.length
    step = _copy_in_kernel if hasattr(os, "copy_file_range") else _read_and_write
    while offset < end:
        try:
            count = step(source, target, min(end - offset, _MOST_AT_ONCE), offset)
        except OSError as error:
            # Read and write work everywhere, and tell which of both files fails.
            if step is _read_and_write or error.errno not in _UNSUPPORTED | {errno.EIO}:
                raise
            step = _read_and_write
            continue
        if count == 0:
            raise SourceBroken("it became shorter while it was copied")
        offset += count
        reached(offset)


def _copy_in_kernel(source: int, target: int, count: int, offset: int) -> int:
    return os.copy_file_range(source, target, count, offset, offset)


def _read_and_write(source: int, target: int, count: int, offset: int) -> int:
    try:
        data = os.pread(source, min(count, 1 << 20), offset)
    except OSError as error:
        raise SourceBroken(f"it cannot be read: {error.strerror}") from error
    write_at(target, memoryview(data), offset)
    return len(data)


def write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes all of the data: one pwrite(2) may write less."""
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


def write_sparsely(chunk: Chunk, write: Callable[[memoryview, int], None]) -> None:
    """Writes the chunk without its blocks of zeros: in a new file those are holes already.

    `write` gets a run of bytes and its offset in the file.
    """
    buffer, base, length, offset = chunk.buffer or b"", chunk.base, chunk.length, chunk.offset
    view = chunk.view
    start: int | None = None
    for position in range(0, length, BLOCK):
        # startswith compares in place, where slicing would copy.
        if buffer.startswith(_ZEROS, base + position) and position + BLOCK <= length:
            if start is not None:
                write(view[start:position], offset + start)
                start = None
        elif start is None:
            start = position
    if start is not None:
        write(view[start:], offset + start)
