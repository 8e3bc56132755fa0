"""An image in a Ceph pool as a source: what is allocated is read, several objects at a time; the rest is holes."""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from lading.adapters.handlers.rbd.cluster import Cluster, words
from lading.adapters.handlers.rbd.names import PoolImage
from lading.adapters.stream.pipeline import CHUNK, Chunk, SourceBroken
from lading.adapters.stream.sparse import Extent

__all__ = ["RbdSource"]

_READ: Final = 4 << 20
"""Bytes of one read: an object's, as they are by default."""
_AHEAD: Final = 4
"""Reads under way at a time. More are no faster where 1 GiB was measured, and each holds its bytes."""
_QUEUE: Final = 16
"""Reads and holes among them."""
_WINDOW: Final = 1 << 30
"""Bytes whose extents are asked for at a time: each object of theirs is asked about."""
_HOLE_STEP: Final = 64 << 20
"""Bytes of a hole in one chunk, so that progress is seen and Ctrl-C is heard."""


class RbdSource:
    """An image, or a snapshot of one. It closes `held`, which may hold the connection, also on failure."""

    def __init__(
        self,
        cluster: Cluster,
        held: ExitStack,
        where: PoolImage,
        snapshot: str | None = None,
        *,
        start: int = 0,
        size: int | None = None,
    ) -> None:
        """Without a snapshot it is read as it is just now. `size`: only so many bytes of it. Raises Absent."""
        with held:
            self._image = held.enter_context(cluster.image(where, snapshot))
            self.size: int = self._image.size() if size is None else min(size, self._image.size())
            self.start = min(start, self.size)
            # A snapshot never changes, and no other one of the image ever gets its number.
            numbers = [each["id"] for each in self._image.list_snaps() if each["name"] == snapshot]
            identity = f"{cluster.fsid}/{where.pool}/{self._image.id()}"
            self.validator = f'"{identity}@{numbers[0]}"' if numbers else None
            self._held = held.pop_all()

    @property
    def required_space(self) -> int | None:
        """As many as the objects that there are: only what has a map of them can tell at once."""
        return sum(length for _, length in self._objects(self.start, self.size)) if self._is_mapped else None

    @property
    def image(self) -> Any:  # noqa: ANN401 - the bindings have no types
        """The bindings' Image, open for as long as this is."""
        return self._image

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        ahead: deque[Chunk | _Read] = deque()
        pieces = self._pieces()
        try:
            while True:
                while len(ahead) < _QUEUE and sum(isinstance(each, _Read) for each in ahead) < _AHEAD:
                    piece = next(pieces, None)
                    if piece is None:
                        break
                    ahead.append(_hole(piece) if piece.is_hole else _Read(self._image, piece))
                if not ahead:
                    return
                first = ahead[0]
                if isinstance(first, Chunk):
                    yield first
                else:
                    yield from first.chunks()
                ahead.popleft()
        finally:
            # Nothing is closed under the hands of what still reads from it.
            for each in ahead:
                if isinstance(each, _Read):
                    each.wait()

    def _pieces(self) -> Iterator[Extent]:
        """From `start` to the end, in order: holes, and data in pieces that end where objects do."""
        for extent in self._extents():
            step = _HOLE_STEP if extent.is_hole else _READ
            offset, end = extent.offset, extent.offset + extent.length
            while offset < end:
                stop = min(end, (offset // step + 1) * step)
                yield Extent(offset, stop - offset, extent.is_hole)
                offset = stop

    def _extents(self) -> Iterator[Extent]:
        offset = self.start
        while offset < self.size:
            end = min(self.size, (offset // _WINDOW + 1) * _WINDOW)
            runs = _joined(self._objects(offset, end)) if self._is_mapped else [(offset, end - offset)]
            yield from _with_holes([each for run in runs for each in self._allocated(*run)], offset, end)
            offset = end

    def _objects(self, offset: int, end: int) -> list[tuple[int, int]]:
        """The objects that there are, by the image's map of them: none is asked about."""
        return self._allocated(offset, end - offset, whole_object=True)

    def _allocated(self, offset: int, length: int, *, whole_object: bool = False) -> list[tuple[int, int]]:
        """Where there is something in that run, in order. What a parent holds is there too."""
        import rbd  # noqa: PLC0415 - the distribution's package, needed by whoever comes here only

        found: list[tuple[int, int]] = []

        def note(at: int, length: int, exists: bool) -> None:  # noqa: FBT001 - as librbd calls it
            if exists:
                found.append((at, length))

        try:
            # From no snapshot to this state: all that there is.
            self._image.diff_iterate(offset, length, None, note, whole_object=whole_object)
        except rbd.Error as error:
            raise SourceBroken(f"its extents cannot be told: {words(error)}") from error
        return sorted(found)

    @property
    def _is_mapped(self) -> bool:
        """Whether it has a map of its objects that is good: then asking about those that there are not is saved."""
        import rbd  # noqa: PLC0415 - see `_allocated`

        has_map = self._image.features() & rbd.RBD_FEATURE_FAST_DIFF
        return bool(has_map) and not self._image.flags() & rbd.RBD_FLAG_FAST_DIFF_INVALID

    def close(self) -> None:
        self._held.close()


class _Read:
    """A read under way."""

    def __init__(self, image: Any, extent: Extent) -> None:  # noqa: ANN401 - see above
        import rbd  # noqa: PLC0415 - see above

        self._extent = extent
        self._data: bytes | None = None
        self._done = threading.Event()
        try:
            self._completion = image.aio_read(extent.offset, extent.length, self._take)
        except rbd.Error as error:
            raise SourceBroken(f"it cannot be read: {words(error)}") from error

    def _take(self, _completion: object, data: bytes | None) -> None:
        self._data = data
        self._done.set()

    def wait(self) -> None:
        self._done.wait()

    def chunks(self) -> Iterator[Chunk]:
        """Its bytes, as the bindings gave them: copying them into other buffers takes a sixth of an export's time."""
        self._done.wait()
        data, completion, (offset, length, _) = self._data, self._completion, self._extent
        # The completion knows this by its callback: without the circle, the bytes go as soon as nobody needs them.
        self._data = self._completion = None
        if data is None or len(data) != length:
            raise SourceBroken(_why_not(completion, self._extent))
        del completion
        for base in range(0, length, CHUNK):
            yield Chunk(offset + base, min(CHUNK, length - base), data, base)


def _why_not(completion: Any, extent: Extent) -> str:  # noqa: ANN401 - see above
    number = -min(completion.get_return_value(), 0)
    if number == errno.ETIMEDOUT:
        return f"the cluster stopped answering at byte {extent.offset}"
    return f"it cannot be read at byte {extent.offset}: {os.strerror(number) if number else 'it ended there'}"


def _hole(extent: Extent) -> Chunk:
    return Chunk(extent.offset, extent.length, None)


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that follow each other, as one.

    >>> _joined([(0, 4), (4, 4), (12, 4)])
    [(0, 8), (12, 4)]
    """
    joined: list[tuple[int, int]] = []
    for at, length in runs:
        if joined and sum(joined[-1]) == at:
            at, length = joined[-1][0], joined.pop()[1] + length  # noqa: PLW2901 - it goes on
        joined.append((at, length))
    return joined


def _with_holes(data: list[tuple[int, int]], offset: int, end: int) -> Iterator[Extent]:
    """The runs of data, in order, and the holes between them."""
    for at, length in data:
        if at > offset:
            yield Extent(offset, at - offset, is_hole=True)
        yield Extent(at, length, is_hole=False)
        offset = at + length
    if offset < end:
        yield Extent(offset, end - offset, is_hole=True)
