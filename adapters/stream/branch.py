"""A second pipeline that a stage of the first one feeds: its bytes become others, such as a decompressed file's."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from lading.adapters.stream.pipeline import Chunk, Chunks, SourceBroken
from lading.adapters.stream.threads import Thread, join, running

__all__ = ["Branch"]


class Branch:
    """Runs a consumer of chunks on a thread of its own. `take` is the stage that feeds it.

    A chunk's buffer belongs to the first pipeline: `take` returns when the consumer has asked for the next chunk. Like
    the pipeline, it shares only SimpleQueues with the main thread, where an interrupt may be raised anywhere.
    """

    def __init__(self, consume: Callable[[Chunks], None]) -> None:
        self._consume = consume
        self._inbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_held = False
        """True while `take` waits."""
        self._is_over = False
        self._is_abandoned = False
        self._fault: BaseException | None = None
        self._thread = Thread(self._run)

    def take(self, chunk: Chunk) -> None:
        """Hands one chunk to the consumer. Raises what the consumer has raised."""
        if self._is_abandoned:
            return
        self._inbox.put(chunk)
        self._taken.get()
        if self._fault is not None and not self._is_abandoned:
            raise self._fault

    def finish(self) -> None:
        """Tells the consumer that no chunk follows, and waits for its end. Raises what it raises."""
        self._inbox.put(None)
        join(self._thread, give_up=self.abandon)
        if self._fault is not None:
            raise self._fault

    def abandon(self) -> None:
        """Lets the consumer end at its next `check`. `take` raises nothing from then on."""
        self._is_abandoned = True

    def check(self) -> None:
        """Raises SourceBroken when the branch was abandoned. A consumer calls it that makes much of one chunk."""
        if self._is_abandoned:
            raise SourceBroken("its reading was ended")

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """The chunks that `take` gets, for the consumer. Each lasts until the next one is requested."""
        while (chunk := self._next()) is not None:
            yield chunk
        self.check()

    def _next(self) -> Chunk | None:
        """Lets `take` return, if it waits, and waits for the next chunk. None: there is no more."""
        if self._is_held:
            self._taken.put(None)
        chunk = self._inbox.get()
        self._is_held = chunk is not None
        self._is_over = chunk is None
        return chunk

    def _run(self) -> None:
        try:
            self._consume(self)
        except BaseException as fault:  # noqa: BLE001 - raised again by `take` and `finish`
            self._fault = fault
        # The consumer may have left before the end.
        while not self._is_over:
            self._next()

    @classmethod
    @contextmanager
    def running(cls, consume: Callable[[Chunks], None]) -> Iterator[Self]:
        """A branch that runs while the block runs. `consume` reads the chunks; it raises when it expects other ones."""
        branch = cls(consume)
        with running([branch._thread], branch._end):
            yield branch

    def _end(self) -> None:
        self.abandon()
        self._inbox.put(None)
