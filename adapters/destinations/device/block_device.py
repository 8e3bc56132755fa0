"""A block device of this host: opened, described, read and written without the page cache."""

import errno
import fcntl
import mmap
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from lading.adapters.destinations.device.system import identity_of, use_of
from lading.adapters.destinations.file.in_use import has_locked_bytes
from lading.adapters.stream.dropped import open_owned, retry_collected
from lading.adapters.stream.errors import Refused, target_failure
from lading.adapters.stream.pipeline import CHUNK, Chunk
from lading.domain.refusals import TargetFailed, TargetInUse, TargetNotWritable

__all__ = ["HEAD", "BlockDevice"]

HEAD: Final = CHUNK
"""Bytes at the device's start that are written last: boot code and partition tables are in them."""
# linux/fs.h
_BLKROGET: Final = 0x125E
_BLKRRPART: Final = 0x125F
_BLKSSZGET: Final = 0x1268
_BLKZEROOUT: Final = 0x127F
_BLKGETSIZE64: Final = 0x80081272
_ZERO_STEP: Final = 64 << 20
"""Bytes that one call zeroes: between calls Ctrl-C works, also where the kernel must write the zeros."""
_RESCAN_TRIES: Final = 20
_RESCAN_PAUSE_SECONDS: Final = 0.1


class BlockDevice:
    """A block device that no other program has opened exclusively. `close` closes it.

    All reads and writes are direct: they do not use the page cache. A device is read as the disk has it, and a flush
    at the end finds little to do. Offsets and lengths are multiples of `sector`, except those of `read`.
    """

    def __init__(self, path: str, *, write: bool, shared: bool = False) -> None:
        """`shared`: opened also where another program uses it. Raises Refused.

        A path beneath `/dev` that is a link is followed.
        """
        self.path = path
        try:
            number = _number(path)
            if not shared and (use := use_of(number)) is not None:
                raise Refused(TargetInUse(f"{path} {use}; a device in use is never written to"))
            exclusive = 0 if shared else os.O_EXCL
            flags = (os.O_RDWR if write else os.O_RDONLY) | exclusive | os.O_DIRECT | os.O_CLOEXEC
            self._file = retry_collected(lambda: open_owned(path, flags))
        except OSError as error:
            raise Refused(_refusal(path, error)) from error
        self.descriptor = self._file.fileno()
        try:
            if not shared:
                _refuse_locked(path, self.descriptor)
            self.identity = identity_of(os.fstat(self.descriptor).st_rdev)
            self.size = struct.unpack("=Q", fcntl.ioctl(self.descriptor, _BLKGETSIZE64, bytes(8)))[0]
            self.sector = self._number_of(_BLKSSZGET)
            self.is_read_only = bool(self._number_of(_BLKROGET))
            self._buffer = mmap.mmap(-1, CHUNK)  # direct I/O needs memory at the start of a page
        except BaseException:
            self._file.close()
            raise

    def _number_of(self, request: int) -> int:
        return int(struct.unpack("=i", fcntl.ioctl(self.descriptor, request, bytes(4)))[0])

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there, fewer at the device's end. At most a buffer's. Raises OSError."""
        start = offset // self.sector * self.sector
        count = self._read(self._rounded_up(offset + length) - start, start)
        return self._buffer[offset - start : min(offset - start + length, count)]

    def chunks(self, free: Callable[[], bytearray], start: int, end: int) -> Iterator[Chunk]:
        """The bytes from `start`, a multiple of the sector, to `end`, in buffers from `free`. Raises OSError."""
        while start < end:
            length = min(CHUNK, end - start)
            if self._read(self._rounded_up(length), start) < length:
                raise OSError(errno.EIO, "it became smaller while it was read")
            buffer = free()
            memoryview(buffer)[:length] = memoryview(self._buffer)[:length]
            yield Chunk(start, length, buffer)
            start += length

    def _read(self, length: int, offset: int) -> int:
        """Reads into the buffer. Returns the number of bytes."""
        done = 0
        while done < length:
            count = os.preadv(self.descriptor, [memoryview(self._buffer)[done:length]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        """Writes the data, at most a buffer's; an incomplete last sector is filled up with zeros. Raises OSError."""
        length = self._rounded_up(len(data))
        self._buffer[: len(data)] = data
        self._buffer[len(data) : length] = bytes(length - len(data))
        done = 0
        while done < length:
            done += os.pwrite(self.descriptor, memoryview(self._buffer)[done:length], offset + done)

    def zero(self, offset: int, end: int) -> None:
        """Zeroes the bytes up to `end`, without writing them where the device can do so. Raises OSError.

        Discarding would be faster on some devices, but promises no zeros.
        """
        while offset < end:
            length = min(_ZERO_STEP, end - offset)
            fcntl.ioctl(self.descriptor, _BLKZEROOUT, struct.pack("=QQ", offset, length))
            offset += length

    def zero_ends(self) -> None:
        """Zeroes the first MiB, and the last: partition tables have their backup there. Raises OSError."""
        self.zero(0, min(HEAD, self.size))
        self.zero(max(self.size - HEAD, 0), self.size)

    def flush(self) -> None:
        """Flushes what was written, also from the device's own cache. Raises OSError."""
        os.fsync(self.descriptor)

    def rescan_partitions(self) -> None:
        """Lets the kernel read the partition table again. A device without partitions has none to read."""
        for _ in range(_RESCAN_TRIES):
            try:
                fcntl.ioctl(self.descriptor, _BLKRRPART)
            except OSError as error:
                if error.errno == errno.EBUSY:  # udev examines a partition
                    time.sleep(_RESCAN_PAUSE_SECONDS)
                    continue
            return

    def _rounded_up(self, length: int) -> int:
        return -(-length // self.sector) * self.sector

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        with suppress(BufferError):
            self._buffer.close()


def _number(path: str) -> int:
    """The device's number. Raises OSError, and Refused for anything else than a block device."""
    status = os.stat(path)
    if not stat.S_ISBLK(status.st_mode):
        raise Refused(TargetFailed(f"{path} is no block device, and lading makes no files beneath /dev"))
    return status.st_rdev


def _refuse_locked(path: str, descriptor: int) -> None:
    if has_locked_bytes(descriptor):
        raise Refused(TargetInUse(f"{path} is in use: another program has it locked, as QEMU locks disks"))


def _refusal(path: str, error: OSError) -> TargetFailed | TargetInUse:
    if error.errno == errno.EBUSY:
        return TargetInUse(f"{path} is in use: another program has it, or a part of it, open exclusively")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return TargetFailed(f"there is no device {path}, and lading makes no files beneath /dev")
    if error.errno in {errno.EROFS, errno.EACCES} and os.geteuid() == 0:
        return TargetNotWritable(f"{path} is read-only")
    return target_failure(f"{path} cannot be opened", error)
