"""Servers as a source: one stream while that is fast, several connections by range where that is faster."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from lading.adapters.stream.pipeline import BUFFERS, CHUNK, Chunk, SourceBroken, join
from lading.adapters.stream.sources import FROM_START, ResumePoint
from lading.adapters.web.mirrors import Changed, Mirrors, RangeReader
from lading.adapters.web.waiting import waiting

__all__ = ["RemoteSource", "RemoteStream"]

_log = logging.getLogger(__name__)
_FAST: Final = 150 << 20
"""Bytes a second beyond which hashing, not the connection, is the limit."""
_TRIAL: Final = 8 << 20
"""Bytes, or else `_TRIAL_SECONDS`, by which a way of reading is judged."""
_TRIAL_SECONDS: Final = 2.0
_TRIES: Final = 2
"""Failed requests for a range after which one of several connections gives it up."""
_SEGMENT: Final = 4
"""Buffers that one connection fills by one request."""


class RemoteStream:
    """A ByteStream over servers, from an offset to the end, that goes on where an answer broke off."""

    def __init__(self, mirrors: Mirrors, offset: int = 0) -> None:
        self._reader = RangeReader(mirrors)
        self._url = mirrors.origin(0).url
        self._offset = offset

    def open(self) -> None:
        """Ask for it. Raises SourceBroken when it can't be had."""
        with waiting(self._url):
            self._reader.open(self._offset)

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer, self._offset)
        self._offset += count
        return count

    def close(self) -> None:
        self._reader.close()


class RemoteSource:
    """An image on servers, read in order.

    It begins with one connection. Where that is slow and the servers take ranges, several are tried for the rest, and
    kept if they are faster together.
    """

    def __init__(self, mirrors: Mirrors, size: int | None, *, connections: int = 4) -> None:
        self._mirrors = mirrors
        self._promised = size
        self._connections = connections
        self._reader = RangeReader(mirrors)
        self._rate = 0.0
        self.start = 0

    def open(self, start: ResumePoint = FROM_START) -> None:
        """Ask for it, from there where it still is what it was. Raises SourceBroken when it can't be had."""
        if start.validator is not None:
            self._mirrors.expect(start.validator)
        try:
            with waiting(self._mirrors.origin(0).url):
                self.start = self._reader.open(start.offset, skip=False)
        except Changed:
            if not start.offset:
                raise
            self._mirrors.forget()
            self.start = self._reader.open()

    @property
    def validator(self) -> str | None:
        return self._mirrors.validator

    @property
    def size(self) -> int | None:
        return self._mirrors.total if self._mirrors.total is not None else self._promised

    @property
    def required_space(self) -> int | None:
        return None if self.size is None else self.size - self.start

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        offset = self.start
        for chunk in self._by_one(offset, free, trial=self._connections > 1):
            offset = chunk.offset + chunk.length
            yield chunk
        total = self._mirrors.total
        if total is None or offset >= total or (self._promised is not None and offset > self._promised):
            return
        for chunk in self._by_several(offset, total, free):
            offset = chunk.offset + chunk.length
            yield chunk
        yield from self._by_one(offset, free, trial=False)

    def _by_one(self, offset: int, free: Callable[[], bytearray], *, trial: bool) -> Iterator[Chunk]:
        """All the rest; or only what tells how fast one connection is, where several might be faster."""
        started, since = time.monotonic(), offset
        while self._promised is None or offset <= self._promised:
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

    def _by_several(self, offset: int, total: int, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """The rest by ranges; or only some of it, when that turns out to be no faster, or a range can't be had.

        The first connection stays open until the others have proved to work: servers may refuse a second one, let it
        wait for the end of the first, or sign a URL for one request.
        """
        started, since = time.monotonic(), offset
        # Buffers are given out before the first is handed on: so many connections that one segment's worth stays free.
        width = min(self._connections, BUFFERS // _SEGMENT - 1)
        with _workers(self._mirrors, width) as crew:
            ahead: deque[_Segment] = deque()
            next_offset, continues, proven = offset, True, 0
            # In as much time the first connection alone would bring twice as much.
            patience = max(_TRIAL_SECONDS, 2 * width * _SEGMENT * CHUNK / max(self._rate, 1.0))
            while ahead or (continues and next_offset < total):
                while continues and next_offset < total and len(ahead) < width:
                    segment = _Segment(next_offset, total, free)
                    crew.orders.put(segment)
                    ahead.append(segment)
                    next_offset = segment.stop
                segment, waits = ahead.popleft(), time.monotonic()
                if not segment.is_whole(patience if proven < width else None):
                    continues = False
                    crew.end()
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
            if not crew.has_ended.is_set():
                self._reader.close()  # ranges can be had: what came of them is not to be read again

    def close(self) -> None:
        self._reader.close()


class _Segment:
    """A run of bytes that one connection is to fill into buffers."""

    def __init__(self, offset: int, total: int, free: Callable[[], bytearray]) -> None:
        self.offset = offset
        self.stop = min(offset + _SEGMENT * CHUNK, total)
        self._lengths = [min(CHUNK, self.stop - at) for at in range(offset, self.stop, CHUNK)]
        # Given out in the order in which they are handed on, so that nobody ever waits for a later one.
        self._buffers = [free() for _ in self._lengths]
        self._filled = offset
        # No Event: the pipeline says why.
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._has_ended = False

    def fill(self, reader: RangeReader) -> None:
        """Reads what is missing. Raises SourceBroken; what came before that stays."""
        while self._filled < self.stop:
            number, start = divmod(self._filled - self.offset, CHUNK)
            view = memoryview(self._buffers[number])[start : self._lengths[number]]
            count = reader.readinto(view, self._filled, self.stop)
            if count == 0:
                raise SourceBroken(f"it ended at byte {self._filled} of {self.stop}")
            self._filled += count

    def end(self) -> None:
        """Ends the crew's work on it."""
        self._done.put(None)

    def is_whole(self, seconds: float | None = None) -> bool:
        """Waits for the crew's work on it to end, at most so long. Tells whether all of it came."""
        if not self._has_ended:
            with suppress(queue.Empty):
                self._done.get(timeout=seconds)
                self._has_ended = True
        return self._has_ended and self._filled == self.stop

    def chunks(self) -> Iterator[Chunk]:
        offset = self.offset
        for buffer, length in zip(self._buffers, self._lengths, strict=True):
            yield Chunk(offset, length, buffer)
            offset += length


class _WorkerPool(NamedTuple):
    orders: "queue.SimpleQueue[_Segment | None]"
    readers: list[RangeReader]
    has_ended: threading.Event

    def end(self) -> None:
        """Ends the work on all segments, those that are begun too; what came of them stays."""
        self.has_ended.set()
        for reader in self.readers:
            reader.abort()


@contextmanager
def _workers(mirrors: Mirrors, count: int) -> Iterator[_WorkerPool]:
    """Threads that fill segments, each over a connection of its own; none is left when the block ends."""
    # What they can't have is asked for over the first connection, whose patience counts.
    readers = [RangeReader(mirrors, position, tries=_TRIES) for position in range(count)]
    crew = _WorkerPool(queue.SimpleQueue(), readers, threading.Event())

    def work(reader: RangeReader) -> None:
        while (segment := crew.orders.get()) is not None:
            try:
                if not crew.has_ended.is_set():
                    segment.fill(reader)
            except SourceBroken as failure:
                _log.info("a range is left to the first connection: %s", failure)
            finally:
                segment.end()

    threads = [threading.Thread(target=work, args=(reader,), daemon=True) for reader in readers]
    try:
        for thread in threads:
            thread.start()
        yield crew
    finally:
        _end(threads, crew)


def _end(threads: Sequence[threading.Thread], crew: _WorkerPool) -> None:
    """Ends the threads and closes their connections. An interrupt that comes meanwhile is raised afterwards."""
    interrupt: BaseException | None = None
    are_told = False
    while not are_told or any(thread.is_alive() for thread in threads):
        try:
            for reader in crew.readers:
                crew.orders.put(None)
                reader.abort()
            are_told = True
            join(*threads)
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
    for reader in crew.readers:
        reader.close()
    if interrupt is not None:
        raise interrupt
