"""Sources of bytes: files, and streams."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final, NamedTuple, Protocol, runtime_checkable

from lading.adapters.codec.sizes import exact_size
from lading.adapters.stream.direct import is_cached, open_directly
from lading.adapters.stream.pipeline import CHUNK, HOLE, Chunk, Chunks, SourceBroken
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sparse import BLOCK, extents
from lading.ports.catalog import ByteStream
from lading.ports.verified_files import StoredVersion

__all__ = [
    "FROM_START",
    "DirectSource",
    "FileSource",
    "ResumePoint",
    "Source",
    "StreamSource",
    "SupportsIdentity",
    "SupportsPageHint",
    "source_from",
    "version_of",
]


class ResumePoint(NamedTuple):
    """The offset at which a source is to begin, and the validator of the partial data before it."""

    offset: int = 0
    """Bytes of partial data."""
    validator: str | None = None
    """The origin's validator of the whole at that time (RFC 9110, section 8.8), if it had one."""


FROM_START: Final = ResumePoint()


class Source(Chunks, Protocol):
    """A supply of an image's bytes. `chunks` raises SourceBroken when the source fails."""

    @property
    def start(self) -> int:
        """The offset at which its chunks begin: bytes of partial data before it."""
        ...

    @property
    def validator(self) -> str | None:
        """The origin's validator of the whole, to tell a later state; None where the origin gives none."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes; None where they are not known beforehand."""
        ...

    @property
    def required_space(self) -> int | None:
        """Bytes that its chunks take on a disk, fewer where it has holes; None where that is not known."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class SupportsIdentity(Protocol):
    """A source whose storage may promise that the bytes never change."""

    @property
    def identity(self) -> str | None:
        """The identity of a `StoredVersion`; None where these bytes may change."""
        ...


@runtime_checkable
class SupportsPageHint(Protocol):
    """A source whose server says what the bytes are."""

    @property
    def is_called_page(self) -> bool:
        """The server calls them a web page: a sign-in, or an error that is answered with 200."""
        ...


def version_of(source: Source) -> StoredVersion | None:
    """The stored version that the source reads; None where its bytes may change."""
    identity = source.identity if isinstance(source, SupportsIdentity) else None
    return StoredVersion(identity, source.size) if identity is not None and source.size is not None else None


class FileSource:
    """A regular file of this host, by its descriptor, which `close` closes."""

    start: Final = 0
    validator: Final = None

    def __init__(self, descriptor: int, copied_from: str | None = None) -> None:
        """`copied_from`: the target that the file is, where it replaces the attempt's location."""
        self.descriptor = descriptor
        self.copied_from = copied_from
        self.fingerprint = fingerprint(descriptor)
        self.size = self.fingerprint.size

    @property
    def required_space(self) -> int:
        return min(os.fstat(self.descriptor).st_blocks * 512, self.size)  # stat(2): blocks are of 512 bytes

    @property
    def is_unchanged(self) -> bool:
        """The file's identity and state are those of when this was made."""
        return fingerprint(self.descriptor) == self.fingerprint

    @property
    def change(self) -> str | None:
        """The change of its content since this was made, for a message; None: it has not changed."""
        now = fingerprint(self.descriptor)
        if now.size != self.size:
            return f"it had {exact_size(self.size)}, and has {exact_size(now.size)}"
        return "it was written to" if now.mtime_ns != self.fingerprint.mtime_ns else None

    def first_bytes(self, count: int) -> bytes:
        """The first bytes of the file, all of one that is shorter. Raises OSError."""
        return os.pread(self.descriptor, count, 0)

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
        return Chunk(offset, min(end - offset, HOLE), None)

    def _data(self, offset: int, end: int, buffer: bytearray) -> Chunk:
        try:
            count = self._read(buffer, min(end - offset, CHUNK), offset)
        except OSError as error:
            raise SourceBroken(f"it cannot be read: {error.strerror}") from error
        if count == 0:
            raise SourceBroken("it became shorter while it was read")
        return Chunk(offset, count, buffer)

    def _read(self, buffer: bytearray, length: int, offset: int) -> int:
        return os.preadv(self.descriptor, [memoryview(buffer)[:length]], offset)

    def close(self) -> None:
        os.close(self.descriptor)


class DirectSource(FileSource):
    """A file that is read once: what is not in the page cache is read directly, and does not get there."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._direct = open_directly(descriptor, os.O_RDONLY)

    def _read(self, buffer: bytearray, length: int, offset: int) -> int:
        if self._direct is None or offset % BLOCK or is_cached(self.descriptor, offset, length):
            return super()._read(buffer, length, offset)
        whole = memoryview(buffer)[: -(-length // BLOCK) * BLOCK]
        try:
            return min(os.preadv(self._direct, [whole], offset), length)
        except OSError as error:
            if error.errno != errno.EINVAL:  # not here, or not this memory
                raise
            return super()._read(buffer, length, offset)

    def close(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
        super().close()


def source_from(stream: ByteStream, size: int | None, start: int = 0) -> Source:
    """Makes a source of a stream: a FileSource where it reads a regular file, which can be cloned and has holes."""
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
    """A stream of bytes, from `start` on."""

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
        # A stream that is longer than the size is refused later; it may have no end.
        while self.size is None or offset <= self.size:
            buffer = free()
            length = self._fill(memoryview(buffer))
            if length == 0:
                return
            yield Chunk(offset, length, buffer)
            offset += length

    def _fill(self, view: memoryview) -> int:
        """Reads until the view is full or the stream ends: hashing and writing are faster with large chunks."""
        length = 0
        while length < len(view):
            try:
                count = self._stream.readinto(view[length:])
            except OSError as error:
                # Only the system's text: a third party's may contain a token.
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                raise SourceBroken(f"the connection broke off: {reason}") from error
            if not count:
                break
            length += count
        return length

    def close(self) -> None:
        self._stream.close()
