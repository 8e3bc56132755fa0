"""A reader of chunks in pieces of any size."""

from collections.abc import Iterator
from typing import Final

from lading.adapters.stream.pipeline import CHUNK, Chunk

__all__ = ["Reader"]

_ZEROS: Final = memoryview(bytes(CHUNK))


class Reader:
    """Reads the chunks of one layer in order, from offset 0."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._ahead: list[Chunk] = []
        """Chunks that come before those of the iterator, the next one last."""
        self._chunk = Chunk(0, 0, b"")
        self._used = 0

    @property
    def position(self) -> int:
        """Offset of the next byte."""
        return self._chunk.offset + self._used

    def piece(self, most: int) -> Chunk:
        """The next bytes, at most `most`; of length 0 at the end. Its buffer is valid until the next call."""
        while self._used == self._chunk.length:
            chunk = self._ahead.pop() if self._ahead else next(self._chunks, None)
            if chunk is None:
                return Chunk(self.position, 0, b"")
            self._chunk, self._used = chunk, 0
        piece = self._left()
        piece = piece._replace(length=min(most, piece.length))
        self._used += piece.length
        return piece

    def view(self, most: int) -> memoryview:
        """The next bytes like `piece`, at most a buffer's length, and of a hole the zeros."""
        piece = self.piece(min(most, CHUNK))
        return _ZEROS[: piece.length] if piece.buffer is None else piece.view

    def give_back(self, count: int) -> None:
        """Lets the last bytes of the last piece be read again."""
        self._used -= count

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end."""
        parts = []
        while count and (view := self.view(count)):
            parts.append(bytes(view))
            count -= len(view)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        """Skips `count` bytes, fewer only at the end."""
        while count and (piece := self.piece(count)).length:
            count -= piece.length

    def head(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end. They are read again."""
        start, head = self.position, self.read(count)
        self._ahead.append(self._left())
        self._chunk, self._used = Chunk(start, len(head), head), 0
        return head

    def _left(self) -> Chunk:
        """The bytes of the chunk that were not read yet."""
        offset, length, buffer, base = self._chunk
        return Chunk(offset + self._used, length - self._used, buffer, base + self._used)
