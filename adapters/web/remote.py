"""Images on servers as sources: over one connection, or over several by ranges where that is faster."""

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
from lading.adapters.web.mirrors import Changed, Mirrors
from lading.adapters.web.range_reader import RangeReader
from lading.adapters.web.wait_log import logged_wait

__all__ = ["RemoteSource", "RemoteStream"]

_log = logging.getLogger(__name__)
_FAST: Final = 150 << 20
"""Bytes a second. Of a faster connection hashing is the limit, not the network."""
_TRIAL: Final = 8 << 20
"""Bytes, or else `_TRIAL_SECONDS`, after which the speed is judged."""
_TRIAL_SECONDS: Final = 2.0
_TRIES: Final = 2
"""Failed requests in a row after which one of several connections gives a range up."""
_SEGMENT: Final = 4
"""Buffers that one of several connections fills by one request."""


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
        width = min(self._connections, BUFFERS // _SEGMENT - 1)
        with _worker_pool(self._mirrors, width) as pool:
            ahead: deque[_Segment] = deque()
            next_offset, continues, proven = offset, True, 0
            # In this time the first connection alone would have brought twice as much.
            patience = max(_TRIAL_SECONDS, 2 * width * _SEGMENT * CHUNK / max(self._rate, 1.0))
            while ahead or (continues and next_offset < total):
                while continues and next_offset < total and len(ahead) < width:
                    segment = _Segment(next_offset, total, free)
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


class _Segment:
    """A run of bytes that one connection reads into buffers."""

    def __init__(self, offset: int, total: int, free: Callable[[], bytearray]) -> None:
        self.offset = offset
        self.stop = min(offset + _SEGMENT * CHUNK, total)
        self._lengths = [min(CHUNK, self.stop - at) for at in range(offset, self.stop, CHUNK)]
        # Taken in the order in which they are handed on, so that no segment waits for a later one's buffers.
        self._buffers = [free() for _ in self._lengths]
        self._filled = offset
        # No Event: see the pipeline's docstring.
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_done = False

    def fill(self, reader: RangeReader) -> None:
        """Reads what is missing. Raises SourceBroken; the bytes that came before are kept."""
        while self._filled < self.stop:
            number, start = divmod(self._filled - self.offset, CHUNK)
            view = memoryview(self._buffers[number])[start : self._lengths[number]]
            count = reader.readinto(view, self._filled, self.stop)
            if count == 0:
                raise SourceBroken(f"it ended at byte {self._filled} of {self.stop}")
            self._filled += count

    def set_done(self) -> None:
        """Tells the thread that waits that the worker has finished with this segment."""
        self._done.put(None)

    def is_whole(self, seconds: float | None = None) -> bool:
        """Waits at most so long until the worker has finished. Returns whether all bytes came."""
        if not self._is_done:
            with suppress(queue.Empty):
                self._done.get(timeout=seconds)
                self._is_done = True
        return self._is_done and self._filled == self.stop

    def chunks(self) -> Iterator[Chunk]:
        offset = self.offset
        for buffer, length in zip(self._buffers, self._lengths, strict=True):
            yield Chunk(offset, length, buffer)
            offset += length


class _WorkerPool(NamedTuple):
    segments: "queue.SimpleQueue[_Segment | None]"
    """Segments to read; None ends a worker."""
    readers: list[RangeReader]
    is_stopped: threading.Event

    def work(self, reader: RangeReader) -> None:
        """Reads segments until there are no more: what one of the threads does."""
        while (segment := self.segments.get()) is not None:
            try:
                if not self.is_stopped.is_set():
                    segment.fill(reader)
            except SourceBroken as failure:
                _log.info("a range is left to the first connection: %s", failure)
            finally:
                segment.set_done()

    def stop(self) -> None:
        """Makes the workers finish all segments at once, also those that they have begun."""
        self.is_stopped.set()
        for reader in self.readers:
            reader.abort()


@contextmanager
def _worker_pool(mirrors: Mirrors, count: int) -> Iterator[_WorkerPool]:
    """Threads that read segments, each over its own connection. When the block ends, no thread is left."""
    # The first connection retries for longer, and reads what they cannot.
    readers = [RangeReader(mirrors, position, tries=_TRIES) for position in range(count)]
    pool = _WorkerPool(queue.SimpleQueue(), readers, threading.Event())
    threads = [threading.Thread(target=pool.work, args=(reader,), daemon=True) for reader in readers]
    try:
        for thread in threads:
            thread.start()
        yield pool
    finally:
        _end_workers(threads, pool)


def _end_workers(threads: Sequence[threading.Thread], pool: _WorkerPool) -> None:
    """Ends the threads and closes their connections. An interrupt that comes meanwhile is raised afterwards."""
    interrupt: BaseException | None = None
    are_told = False
    while not are_told or any(thread.is_alive() for thread in threads):
        try:
            for reader in pool.readers:
                pool.segments.put(None)
                reader.abort()
            are_told = True
            join(*threads)
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
    for reader in pool.readers:
        reader.close()
    if interrupt is not None:
        raise interrupt
