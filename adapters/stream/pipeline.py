"""The pipeline: one thread reads, each further stage has its own thread, and memory is bounded.

Reading, hashing and writing release the GIL, so that they overlap. Buffers are reused, and never copied.

An interrupt, as by Ctrl-C, is raised anywhere in the main thread. So that thread shares only SimpleQueues with the
others, and events made of them: `queue.Queue` and `threading.Event` can be left locked by an exception within them.
"""

import ctypes
import mmap
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, Protocol

from lading.adapters.stream.event import Event
from lading.adapters.stream.threads import Thread, running

__all__ = ["BUFFERS", "CHUNK", "HOLE", "Chunk", "Chunks", "SourceBroken", "new_buffer", "run"]

CHUNK: Final = 1 << 20
"""Bytes in a buffer."""
HOLE: Final = 64 << 20
"""The most bytes of a hole in one chunk: between chunks progress is reported and Ctrl-C works."""
BUFFERS: Final = 24
"""The number of buffers in a pipeline: a source may hold so many at a time, and no more."""
_spare: Final[deque[bytearray]] = deque(maxlen=BUFFERS)
"""Buffers of finished pipelines, for the next ones: new buffers each time would fragment the heap."""


def new_buffer() -> bytearray:
    """A buffer that begins at a page of memory, as direct I/O needs it; open(2)."""
    buffer = bytearray(CHUNK + mmap.PAGESIZE)
    # CPython leaves the rest in its place when the first bytes are removed.
    del buffer[: -ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE]
    del buffer[CHUNK:]
    return buffer


class Chunk(NamedTuple):
    """A run of the image's bytes; without a buffer it is a hole."""

    offset: int
    length: int
    buffer: bytearray | bytes | None
    """One of the pipeline's buffers, or bytes of the source's own."""
    base: int = 0
    """Offset in the buffer."""

    @property
    def view(self) -> memoryview:
        """The bytes of a chunk that is not a hole."""
        return memoryview(self.buffer or b"")[self.base : self.base + self.length]


class Chunks(Protocol):
    """A supply of chunks."""

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """The bytes in order, each in a buffer from `free`, which waits for one, or in bytes of the source's own."""
        ...


class SourceBroken(Exception):
    """The source failed, not the target. The message becomes a refusal of the location."""

    is_forbidden = False
    """True where the location may not be read."""


_HandOn = Callable[[Chunk | None], None]
"""Takes a chunk, or None at the end: every stage hands that on, and ends."""


class _Stage:
    """A thread that takes chunks in order, processes them and hands them on. After a fault it only hands them on."""

    def __init__(self, work: Callable[[Chunk], None], hand_on: _HandOn, stop: Event) -> None:
        self.inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self.fault: BaseException | None = None
        self.thread = Thread(self._run)
        self._work, self._hand_on, self._stop = work, hand_on, stop

    def _run(self) -> None:
        while (chunk := self.inbox.get()) is not None:
            if not self._stop.is_set():
                try:
                    self._work(chunk)
                except BaseException as fault:  # noqa: BLE001 - raised again by the pipeline
                    self.fault = fault
                    self._stop.set()
            self._hand_on(chunk)
        self._hand_on(None)


class _Stages:
    """The stages, from first to last, and the buffers that they share."""

    def __init__(
        self, works: Sequence[Callable[[Chunk], None]], buffers: int, give_up: Callable[[], None] | None
    ) -> None:
        self._most, self._give_up = buffers, give_up
        self.stop = Event()
        self._buffers: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._made = 0
        # Bounds also the holes, and bytes of the source's own.
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(buffers):
            self._places.put(None)
        hand_on: _HandOn = self._recycle
        self._stages: list[_Stage] = []
        for work in reversed(works):
            stage = _Stage(work, hand_on, self.stop)
            self._stages.insert(0, stage)
            hand_on = stage.inbox.put
        self._first = hand_on

    def free(self) -> bytearray:
        """Waits for a free buffer. Makes one only if none is free and the bound allows it. For the reading thread."""
        with suppress(queue.Empty):
            return self._buffers.get_nowait()
        if self._made == self._most:
            return self._buffers.get()
        self._made += 1
        with suppress(IndexError):
            while True:
                if len(spare := _spare.pop()) == CHUNK:  # CHUNK may have been another size
                    return spare
        return new_buffer()

    def put(self, chunk: Chunk) -> None:
        """Hands the chunk to the first stage; waits until the bound allows it."""
        self._places.get()
        self._first(chunk)

    def _recycle(self, chunk: Chunk | None) -> None:
        if chunk is None:
            return
        # A source may have handed on a buffer of its own.
        if isinstance(chunk.buffer, bytearray) and len(chunk.buffer) == CHUNK:
            self._buffers.put(chunk.buffer)
        self._places.put(None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the stages, until all that the block has put has passed them. Raises what a stage raises."""
        is_read = False

        def tell() -> None:
            if self._give_up is not None and (not is_read or self.stop.is_set()):
                self._give_up()
            # What was read before an error passes all stages too: it may become partial data.
            self._first(None)

        try:
            with running([stage.thread for stage in self._stages], tell, self._give_up):
                yield
                is_read = True
        finally:
            # Buffers that a source still holds are not among these.
            with suppress(queue.Empty):
                while True:
                    _spare.append(self._buffers.get_nowait())
        for stage in self._stages:
            if stage.fault is not None:
                raise stage.fault


def run(
    source: Chunks,
    stages: Sequence[Callable[[Chunk], None]],
    read: Callable[[int], None],
    *,
    buffers: int | None = None,
    give_up: Callable[[], None] | None = None,
) -> int:
    """Passes the source's bytes through the stages; returns their number.

    Each stage takes the chunks in order, and finishes one before the next stage gets it. `read` is called with the
    number of bytes read so far. `buffers` are the most that are used; None: BUFFERS. Four are as fast for a file of
    this host. `give_up` is called when the source or a stage fails, or an interrupt comes: a stage may take long with
    one chunk. Raises what the source or a stage raises. When this returns or raises, no thread is left, and unless a
    stage raised, all that was read has passed all stages.
    """
    total = 0
    works = _Stages(stages, buffers or BUFFERS, give_up)
    with works.running(), _closing_chunks(source.chunks(works.free)) as chunks:
        for chunk in chunks:
            total = chunk.offset + chunk.length
            works.put(chunk)
            if works.stop.is_set():
                break
            read(total)
    return total


@contextmanager
def _closing_chunks(chunks: Iterator[Chunk]) -> Iterator[Iterator[Chunk]]:
    """Closes the source's generator when the block ends: else its threads and buffers last until it is collected."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, Generator):
            chunks.close()
