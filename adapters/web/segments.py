"""Segments of an image, read by a pool of workers that have one connection each."""

import logging
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, NamedTuple

from lading.adapters.stream.event import Event
from lading.adapters.stream.pipeline import CHUNK, Chunk, SourceBroken
from lading.adapters.stream.threads import Thread, running
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.range_reader import RangeReader

__all__ = ["SEGMENT_BUFFERS", "Segment", "WorkerPool", "worker_pool"]

_log = logging.getLogger(__name__)
_TRIES: Final = 2
"""Failed requests in a row after which one of several connections gives a range up."""
SEGMENT_BUFFERS: Final = 4
"""Buffers that one of several connections fills by one request."""


class Segment:
    """A run of bytes that one connection reads into buffers."""

    def __init__(self, offset: int, total: int, free: Callable[[], bytearray]) -> None:
        self.offset = offset
        self.stop = min(offset + SEGMENT_BUFFERS * CHUNK, total)
        self._lengths = [min(CHUNK, self.stop - at) for at in range(offset, self.stop, CHUNK)]
        # Taken in the order in which they are handed on, so that no segment waits for a later one's buffers.
        self._buffers = [free() for _ in self._lengths]
        self._filled = offset
        self._done = Event()

    def fill(self, reader: RangeReader) -> None:
        """Reads what is missing. Raises SourceBroken; the bytes that came before are kept."""
        while self._filled < self.stop:
            number, start = divmod(self._filled - self.offset, CHUNK)
            view = memoryview(self._buffers[number])[start : self._lengths[number]]
            count = reader.readinto(view, self._filled, self.stop)
            if count == 0:
                raise SourceBroken(f"the answer ended at byte {self._filled} of {self.stop}")
            self._filled += count

    def set_done(self) -> None:
        """Tells the thread that waits that the worker has finished with this segment."""
        self._done.set()

    def is_whole(self, seconds: float | None = None) -> bool:
        """Waits at most so long until the worker has finished. Returns whether all bytes came."""
        return self._done.wait(seconds) and self._filled == self.stop

    def chunks(self) -> Iterator[Chunk]:
        offset = self.offset
        for buffer, length in zip(self._buffers, self._lengths, strict=True):
            yield Chunk(offset, length, buffer)
            offset += length


class WorkerPool(NamedTuple):
    segments: "queue.SimpleQueue[Segment | None]"
    """Segments to read; None ends a worker."""
    readers: list[RangeReader]
    is_stopped: Event

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

    def end(self) -> None:
        """Ends the workers, also in the middle of a request."""
        for reader in self.readers:
            self.segments.put(None)
            reader.abort()

    def stop(self) -> None:
        """Makes the workers finish all segments at once, also those that they have begun."""
        self.is_stopped.set()
        for reader in self.readers:
            reader.abort()


@contextmanager
def worker_pool(mirrors: Mirrors, count: int) -> Iterator[WorkerPool]:
    """Threads that read segments, each over its own connection. When the block ends, no thread is left."""
    # The first connection retries for longer, and reads what they cannot.
    readers = [RangeReader(mirrors, position, tries=_TRIES) for position in range(count)]
    pool = WorkerPool(queue.SimpleQueue(), readers, Event())
    threads = [Thread(partial(pool.work, reader)) for reader in readers]
    try:
        with running(threads, pool.end):
            yield pool
    finally:
        for reader in readers:
            reader.close()
