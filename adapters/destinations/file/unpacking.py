"""The unpacking of an image while its bytes come, if its first bytes are those of a packed file."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from lading.adapters.formats.unpacking.unpacked import HEAD, packing
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.pipeline import Chunk, Chunks

__all__ = ["Content", "Unpacking"]


class Content:
    """What is in a packed file, as a source."""

    start: Final = 0
    validator: Final = None
    size: Final = None
    required_space: Final = None

    def __init__(self, unpacked: Chunks) -> None:
        self._unpacked = unpacked

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        return self._unpacked.chunks(free)

    def close(self) -> None: ...


class Unpacking:
    """Feeds an unpacker with the bytes of a pipeline. Nothing is unpacked where the first bytes are a plain image's."""

    def __init__(self, resources: ExitStack, begin: Callable[[str], Callable[[Chunks], None] | None]) -> None:
        """`begin` gets the packing, and returns the unpacker; None: the bytes are not unpacked as they come.

        `resources` ends the unpacker's thread.
        """
        self._resources = resources
        self._begin = begin
        self._head = bytearray()
        self._is_decided = False
        self._branch: Branch | None = None
        self._early: list[Chunk] = []
        """Copies of the chunks that came before it was decided."""

    @property
    def has_begun(self) -> bool:
        """The bytes are unpacked as they come."""
        return self._branch is not None

    def look(self, chunk: Chunk) -> None:
        """Takes a chunk's first bytes, before the pipeline gets it. For the reading thread, which `begin` runs on."""
        if self._is_decided:
            return
        missing = HEAD - len(self._head)
        self._head += bytes(min(missing, chunk.length)) if chunk.buffer is None else chunk.view[:missing]
        if len(self._head) == HEAD:
            self._decide()

    def take(self, chunk: Chunk) -> None:
        """Takes a chunk. This is a stage of the pipeline. Raises what the unpacker raises."""
        if not self._is_decided:
            self._early.append(chunk if chunk.buffer is None else chunk._replace(buffer=bytes(chunk.view), base=0))
        elif self._branch is not None:
            self._feed_early(self._branch)
            self._branch.take(chunk)

    def finish(self) -> None:
        """Waits until all is unpacked, after the pipeline has ended. Raises what the unpacker raises."""
        if not self._is_decided:
            self._decide()  # the file is shorter than a head
        if self._branch is not None:
            self._feed_early(self._branch)
            self._branch.finish()

    def abandon(self) -> None:
        """Ends the unpacking: its result is of no use any more."""
        if self._branch is not None:
            self._branch.abandon()

    def _decide(self) -> None:
        found = packing(bytes(self._head))
        unpack = self._begin(found) if found is not None else None
        if unpack is not None:
            self._branch = self._resources.enter_context(Branch.running(unpack))
        self._is_decided = True

    def _feed_early(self, branch: Branch) -> None:
        for chunk in self._early:
            branch.take(chunk)
        self._early.clear()
