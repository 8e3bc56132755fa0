"""Where bytes are read from."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final, NamedTuple, Protocol

from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks, SourceBroken
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sparse import extents
from lading.ports.catalog import ByteStream

__all__ = ["FROM_START", "FileSource", "ResumePoint", "Source", "StreamSource", "source_from"]

_HOLE_STEP: Final = 64 << 20
"""Bytes of a hole in one chunk, so that progress is seen and Ctrl-C is heard."""


class ResumePoint(NamedTuple):
    """Where a source is to begin, and how to tell that it still is the same."""

    offset: int = 0
    """Bytes that are there already."""
    validator: str | None = None
    """What the same origin said of the whole then (RFC 9110, section 8.8), if it did."""


FROM_START: Final = ResumePoint()


class Source(Chunks, Protocol):
    """Something that holds an image's bytes. `chunks` raises SourceBroken when it can't go on."""

    @property
    def start(self) -> int:
        """Where its chunks begin: bytes that are there already, of a transfer that was cut off."""
        ...

    @property
    def validator(self) -> str | None:
        """What its origin says of the whole, to tell it from a later state; None when it says nothing."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes, when it is known beforehand."""
        ...

    @property
    def required_space(self) -> int | None:
        """Bytes that what is to come of it takes on a disk, fewer where it has holes; None when nobody knows."""
        ...

    def close(self) -> None: ...


class FileSource:
    """A regular file on this host, by its descriptor, of which it takes charge."""

    start: Final = 0
    validator: Final = None

    def __init__(self, descriptor: int, copied_from: str | None = None) -> None:
        """`copied_from`: the target that the file is, where it stands in for the attempt's location."""
        self.descriptor = descriptor
        self.copied_from = copied_from
        self.fingerprint = fingerprint(descriptor)
        self.size = self.fingerprint.size

    @property
    def required_space(self) -> int:
        return min(os.fstat(self.descriptor).st_blocks * 512, self.size)  # stat(2): blocks are of 512 bytes

    @property
    def is_unchanged(self) -> bool:
        """Whether the file still is what it was when this was made."""
        return fingerprint(self.descriptor) == self.fingerprint

    @property
    def change(self) -> str | None:
        """How its content was changed since this was made, in words; None when it was not."""
        now = fingerprint(self.descriptor)
        if now.size != self.size:
            return f"it had {self.size} bytes, and has {now.size}"
        return "it was written to" if now.mtime_ns != self.fingerprint.mtime_ns else None

    def last_bytes(self, count: int) -> bytes:
        """The last bytes of the file, all of one that is shorter."""
        return os.pread(self.descriptor, count, max(self.size - count, 0))

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        for extent in extents(self.descriptor, self.size):
            offset, end = extent.offset, extent.offset + extent.length
            while offset < end:
                chunk = self._hole(offset, end) if extent.is_hole else self._data(offset, end, free())
                yield chunk
                offset += chunk.length

    def _hole(self, offset: int, end: int) -> Chunk:
        return Chunk(offset, min(end - offset, _HOLE_STEP), None)

    def _data(self, offset: int, end: int, buffer: bytearray) -> Chunk:
        try:
            count = os.preadv(self.descriptor, [memoryview(buffer)[: min(end - offset, CHUNK)]], offset)
        except OSError as error:
            raise SourceBroken(f"it cannot be read: {error.strerror}") from error
        if count == 0:
            raise SourceBroken("it became shorter while it was read")
        return Chunk(offset, count, buffer)

    def close(self) -> None:
        os.close(self.descriptor)


def source_from(stream: ByteStream, size: int | None, start: int = 0) -> Source:
    """The source that a stream is. One that reads a regular file is that file, which may be cloned and has holes."""
    if (
        start == 0
        and isinstance(stream, io.FileIO)
        and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        and stream.tell() == 0
    ):
        with closing(stream):
            return FileSource(os.dup(stream.fileno()))
    return StreamSource(stream, size, start)


class StreamSource:
    """Bytes that come one after the other, from `start` on."""

    validator: Final = None

    def __init__(self, stream: ByteStream, size: int | None, start: int = 0) -> None:
        self._stream = stream
        self.size = size
        self.start = start

    @property
    def required_space(self) -> int | None:
        return None if self.size is None else self.size - self.start

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        offset = self.start
        # One that goes on beyond what was promised need not be read to its end, if it has one.
        while self.size is None or offset <= self.size:
            buffer = free()
            length = self._fill(memoryview(buffer))
            if length == 0:
                return
            yield Chunk(offset, length, buffer)
            offset += length

    def _fill(self, view: memoryview) -> int:
        """As much as there is, up to a whole buffer: hashing and writing do better with large chunks."""
        length = 0
        while length < len(view):
            try:
                count = self._stream.readinto(view[length:])
            except OSError as error:
                # The system's words only: a third party's may repeat a token.
                told = os.strerror(error.errno) if error.errno else type(error).__name__
                raise SourceBroken(f"it broke off: {told}") from error
            if not count:
                break
            length += count
        return length

    def close(self) -> None:
        self._stream.close()
