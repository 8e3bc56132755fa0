"""Images on servers as sources: over one connection, or over several by ranges where that is faster."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from lading.adapters.stream.pipeline import BUFFERS, CHUNK, Chunk
from lading.adapters.stream.sources import FROM_START, ResumePoint
from lading.adapters.web.mirrors import Changed, Mirrors
from lading.adapters.web.range_reader import RangeReader
from lading.adapters.web.segments import SEGMENT_BUFFERS, Segment, worker_pool
from lading.adapters.web.wait_log import logged_wait

__all__ = ["RemoteSource", "RemoteStream"]

_FAST: Final = 150 << 20
"""Bytes a second. Of a faster connection hashing is the limit, not the network."""
_TRIAL: Final = 8 << 20
"""Bytes, or else `_TRIAL_SECONDS`, after which the speed is judged."""
_TRIAL_SECONDS: Final = 2.0
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
"""Content-Types of web pages."""


class RemoteStream:
    """A ByteStream over mirrors, from an offset to the end, that continues where an answer broke off."""

    def __init__(self, mirrors: Mirrors, offset: int = 0) -> None:
        self._reader = RangeReader(mirrors)
        self._url = mirrors.origin(0).url
        self._offset = offset

    def open(self) -> None:
        """Requests the bytes. Raises SourceBroken."""
        with logged_wait(self._url):
            self._reader.open(self._offset)

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer, self._offset)
        self._offset += count
        return count

    def close(self) -> None:
        self._reader.close()


class RemoteSource:
    """An image on servers, read in order.

    It begins with one connection. Where that is slow and the servers take ranges, several connections are tried for
    the rest, and kept if they are faster together.
    """

    def __init__(self, mirrors: Mirrors, size: int | None, *, connections: int = 4) -> None:
        self._mirrors = mirrors
        self._expected_size = size
        self._connections = connections
        self._reader = RangeReader(mirrors)
        self._rate = 0.0
        self.start = 0

    def open(self, start: ResumePoint = FROM_START) -> None:
        """Requests the bytes, from the resume point where the image still is the same. Raises SourceBroken."""
        if start.validator is not None:
            self._mirrors.resume(start.validator)
        try:
            with logged_wait(self._mirrors.origin(0).url):
                self.start = self._reader.open(start.offset, skip=False)
        except Changed:
            if not start.offset:
                raise
            self._mirrors.reset()
            self.start = self._reader.open()

    @property
    def validator(self) -> str | None:
        return self._mirrors.validator

    @property
    def size(self) -> int | None:
        return self._mirrors.total if self._mirrors.total is not None else self._expected_size

    @property
    def required_space(self) -> int | None:
        return None if self.size is None else self.size - self.start

    @property
    def is_called_page(self) -> bool:
        return self._mirrors.media_type in _PAGES

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        offset = self.start
        for chunk in self._read_one(offset, free, trial=self._connections > 1):
            offset = chunk.offset + chunk.length
            yield chunk
        total = self._mirrors.total
        if total is None or offset >= total or (self._expected_size is not None and offset > self._expected_size):
            return
        for chunk in self._read_several(offset, total, free):
            offset = chunk.offset + chunk.length
            yield chunk
        yield from self._read_one(offset, free, trial=False)

    def _read_one(self, offset: int, free: Callable[[], bytearray], *, trial: bool) -> Iterator[Chunk]:
        """Reads the rest over one connection; in a trial only until it proves to be slow, and others may help."""
        started, since = time.monotonic(), offset
        while self._expected_size is None or offset <= self._expected_size:
            buffer = free()
            length = self._fill(buffer, offset)
            if length == 0:
                return
            yield Chunk(offset, length, buffer)
            offset += length
            seconds = time.monotonic() - started
            if trial and (offset - since >= _TRIAL or seconds >= _TRIAL_SECONDS):
                self._rate = (offset - since) / max(seconds, 1e-9)
                left = (self._mirrors.total or 0) - offset
                if self._rate < _FAST and self._mirrors.takes_ranges and self._mirrors.can_continue and left > _TRIAL:
                    return
                trial = False

    def _fill(self, buffer: bytearray, offset: int) -> int:
        view, length = memoryview(buffer), 0
        while length < len(buffer) and (count := self._reader.readinto(view[length:], offset + length)):
            length += count
        return length

    def _read_several(self, offset: int, total: int, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """Reads the rest by ranges; only some of it where that is no faster, or a range cannot be read.

        The first connection stays open until the others have delivered: servers may refuse a second one, let it wait
        for the end of the first, or sign a URL for one request only.
        """
        started, since = time.monotonic(), offset
        # All segments take their buffers before the first is handed on. One segment's worth of buffers must stay free.
        width = min(self._connections, BUFFERS // SEGMENT_BUFFERS - 1)
        with worker_pool(self._mirrors, width) as pool:
            ahead: deque[Segment] = deque()
            next_offset, continues, proven = offset, True, 0
            # In this time the first connection alone would have brought twice as much.
            patience = max(_TRIAL_SECONDS, 2 * width * SEGMENT_BUFFERS * CHUNK / max(self._rate, 1.0))
            while ahead or (continues and next_offset < total):
                while continues and next_offset < total and len(ahead) < width:
                    segment = Segment(next_offset, total, free)
                    pool.segments.put(segment)
                    ahead.append(segment)
                    next_offset = segment.stop
                segment, waits = ahead.popleft(), time.monotonic()
                if not segment.is_whole(patience if proven < width else None):
                    continues = False
                    pool.stop()
                    segment.is_whole()
                    segment.fill(self._reader)
                patience = max(patience - (time.monotonic() - waits), 0.0)
                yield from segment.chunks()
                proven += 1
                if proven == width and continues:
                    self._reader.close()
                seconds = time.monotonic() - started
                if seconds >= _TRIAL_SECONDS and next_offset - since >= 2 * _TRIAL:
                    continues = continues and (next_offset - since) / seconds > 1.1 * self._rate
                    started, since = time.monotonic(), next_offset
            if not pool.is_stopped.is_set():
                self._reader.close()  # its answer begins before what the ranges brought

    def close(self) -> None:
        self._reader.close()
