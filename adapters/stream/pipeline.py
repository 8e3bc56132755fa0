"""The pipeline: one thread reads, each further stage works on its own thread, and memory is bounded.

Hashing, reading and writing release the GIL, so that they overlap; the buffers go round and are never copied.

An interrupt, as by Ctrl-C, is raised anywhere in the main thread. So that thread shares only SimpleQueues with the
others: `queue.Queue` and `threading.Event` are written in Python, and an exception within them can leave them locked.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

__all__ = ["BUFFERS", "CHUNK", "Chunk", "Chunks", "SourceBroken", "join", "run"]

CHUNK: Final = 1 << 20
"""Bytes in a buffer."""
BUFFERS: Final = 24
"""As many go round: a source may hold so many at a time, and no more."""
_spare: Final[deque[bytearray]] = deque(maxlen=BUFFERS)
"""Buffers of pipelines that are done, for those to come: new ones each time fragment the heap."""


class Chunk(NamedTuple):
    """A run of the image's bytes. Without a buffer it is a hole."""

    offset: int
    length: int
    buffer: bytearray | bytes | None
    """One that goes round, or bytes, which are the source's own."""
    base: int = 0
    """Where in the buffer it begins."""

    @property
    def view(self) -> memoryview:
        """The bytes of one that is no hole."""
        return memoryview(self.buffer or b"")[self.base : self.base + self.length]


class Chunks(Protocol):
    """Something to read from."""

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """The bytes in order, each in a buffer from `free`, which waits for one, or in bytes of the source's own."""
        ...


class SourceBroken(Exception):
    """The source failed, not the target: a refusal of the location, in words."""


_HandOn = Callable[[Chunk | None], None]
"""None is the end: every stage hands it on, and ends."""


class _Stage:
    """A thread that takes chunks in order, works on them, hands them on. After a fault it only hands them on."""

    def __init__(self, work: Callable[[Chunk], None], hand_on: _HandOn, stop: threading.Event) -> None:
        self.inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self.fault: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._work, self._hand_on, self._stop = work, hand_on, stop

    def _run(self) -> None:
        while (chunk := self.inbox.get()) is not None:
            if not self._stop.is_set():
                try:
                    self._work(chunk)
                except BaseException as fault:  # noqa: BLE001 - raised again by whoever runs the pipeline
                    self.fault = fault
                    self._stop.set()
            self._hand_on(chunk)
        self._hand_on(None)


class _Line:
    """The stages at work, from first to last, and the buffers that go round among them."""

    def __init__(self, works: Sequence[Callable[[Chunk], None]]) -> None:
        self.stop = threading.Event()
        self._buffers: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._made = 0
        # Holes, and bytes of the source's own, are bounded too.
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(BUFFERS):
            self._places.put(None)
        hand_on: _HandOn = self._give_back
        self._stages: list[_Stage] = []
        for work in reversed(works):
            stage = _Stage(work, hand_on, self.stop)
            self._stages.insert(0, stage)
            hand_on = stage.inbox.put
        self._first = hand_on

    def free(self) -> bytearray:
        """A buffer, when there is one. No more are made than are needed. For the thread that reads."""
        with suppress(queue.Empty):
            return self._buffers.get_nowait()
        if self._made == BUFFERS:
            return self._buffers.get()
        self._made += 1
        with suppress(IndexError):
            while True:
                if len(spare := _spare.pop()) == CHUNK:  # it may be an earlier size's
                    return spare
        return bytearray(CHUNK)

    def put(self, chunk: Chunk) -> None:
        """Hands the chunk to the first stage, as soon as there is a place for it."""
        self._places.get()
        self._first(chunk)

    def _give_back(self, chunk: Chunk | None) -> None:
        if chunk is None:
            return
        # A source may hand on a buffer of its own.
        if isinstance(chunk.buffer, bytearray) and len(chunk.buffer) == CHUNK:
            self._buffers.put(chunk.buffer)
        self._places.put(None)

    def __enter__(self) -> Self:
        try:
            for stage in self._stages:
                stage.thread.start()
        except BaseException:
            for stage in self._stages:
                stage.inbox.put(None)
            join(*(stage.thread for stage in self._stages))
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What was read before an error passes all stages too: it may be kept.
        self._first(None)
        join(*(stage.thread for stage in self._stages))
        # Whatever a source still has is not among these.
        with suppress(queue.Empty):
            while True:
                _spare.append(self._buffers.get_nowait())
        if error is None:
            for stage in self._stages:
                if stage.fault is not None:
                    raise stage.fault


def join(*threads: threading.Thread) -> None:
    """Waits until all threads have ended. An interrupt that comes meanwhile is raised afterwards.

    A thread that is left behind writes to a descriptor that its owner closes, and that is another file's by then.
    """
    interrupt: BaseException | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:  # noqa: BLE001 - raised again below
                interrupt = error
    if interrupt is not None:
        raise interrupt


def run(source: Chunks, stages: Sequence[Callable[[Chunk], None]], read: Callable[[int], None]) -> int:
    """Take everything from the source through the stages; how many bytes that were.

    Each stage sees the chunks in order and is done with one before the next stage gets it. `read` is told the bytes
    read so far. Raises what the source or a stage raises; when this returns or raises, no thread is left, and unless a
    stage raised, all that was read has been through all of them.
    """
    total = 0
    with _Line(stages) as line, _ended(source.chunks(line.free)) as chunks:
        for chunk in chunks:
            total = chunk.offset + chunk.length
            line.put(chunk)
            if line.stop.is_set():
                break
            read(total)
    return total


@contextmanager
def _ended(chunks: Iterator[Chunk]) -> Iterator[Iterator[Chunk]]:
    """Have a source that is not read to its end let go of what it holds now, not when it is collected."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, Generator):
            chunks.close()
