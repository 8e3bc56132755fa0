"""An image in a Ceph pool as a source: allocated bytes are read, several objects at a time; the rest is holes."""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from lading.adapters.handlers.rbd.cluster import Cluster, vendor_text
from lading.adapters.handlers.rbd.names import PoolImage
from lading.adapters.stream.event import Event
from lading.adapters.stream.pipeline import CHUNK, HOLE, Chunk, SourceBroken
from lading.adapters.stream.sparse import Extent

__all__ = ["RbdSource"]

_READ: Final = 4 << 20
"""Bytes of one read: the default size of an object."""
_AHEAD: Final = 4
"""The most concurrent reads. More were no faster when measured with 1 GiB, and each has a buffer."""
_QUEUE: Final = 16
"""The most reads and holes that are queued."""
_WINDOW: Final = 1 << 30
"""Bytes whose extents are requested at a time: that costs one request for each object in them."""


class RbdSource:
    """An image, or a snapshot of one. `close` closes `resources`, and so does a failure of the constructor."""

    def __init__(
        self,
        cluster: Cluster,
        resources: ExitStack,
        where: PoolImage,
        snapshot: str | None = None,
        *,
        start: int = 0,
        size: int | None = None,
    ) -> None:
        """`snapshot` None: the image's current state. `size`: only its first bytes. Raises Absent."""
        with resources:
            self._image = resources.enter_context(cluster.image(where, snapshot))
            self.size: int = self._image.size() if size is None else min(size, self._image.size())
            self.start = min(start, self.size)
            # A snapshot never changes, and its number is never reused in the pool.
            numbers = [each["id"] for each in self._image.list_snaps() if each["name"] == snapshot]
            image_id = f"{cluster.fsid}/{cluster.pool_id(where.pool)}/{self._image.id()}"
            self.identity = f"rbd:{image_id}@{numbers[0]}" if numbers and size is None else None
            self.validator = self.identity and f'"{self.identity}"'
            self._resources = resources.pop_all()

    @property
    def required_space(self) -> int | None:
        """Bytes of all existing objects; None for an image without an object map: it would need many requests."""
        return sum(length for _, length in self._objects(self.start, self.size)) if self._is_mapped else None

    @property
    def image(self) -> Any:  # noqa: ANN401 - the bindings have no types
        """The bindings' Image, open until `close`."""
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
            # The image must stay open until all reads have ended.
            for each in ahead:
                if isinstance(each, _Read):
                    each.wait()

    def _pieces(self) -> Iterator[Extent]:
        """The extents from `start` to the end, in order. Data is split where objects end."""
        for extent in self._extents():
            step = HOLE if extent.is_hole else _READ
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
        """The existing objects, by the object map: without a request for each."""
        return self._allocated(offset, end - offset, whole_object=True)

    def _allocated(self, offset: int, length: int, *, whole_object: bool = False) -> list[tuple[int, int]]:
        """The allocated runs within that run, in order. Bytes of a parent are allocated too."""
        import rbd  # noqa: PLC0415 - the distribution's package, needed only here

        runs: list[tuple[int, int, bool]] = []
        try:
            # From no snapshot to this state: all extents.
            self._image.diff_iterate(offset, length, None, lambda *run: runs.append(run), whole_object=whole_object)
        except rbd.Error as error:
            raise SourceBroken(f"its extents cannot be read: {vendor_text(error)}") from error
        return sorted((at, length) for at, length, exists in runs if exists)

    @property
    def _is_mapped(self) -> bool:
        """True when it has a valid object map, which saves requests for objects that do not exist."""
        import rbd  # noqa: PLC0415 - see `_allocated`

        has_map = self._image.features() & rbd.RBD_FEATURE_FAST_DIFF
        return bool(has_map) and not self._image.flags() & rbd.RBD_FLAG_FAST_DIFF_INVALID

    def close(self) -> None:
        self._resources.close()


class _Read:
    """A running read."""

    def __init__(self, image: Any, extent: Extent) -> None:  # noqa: ANN401 - see above
        import rbd  # noqa: PLC0415 - see above

        self._extent = extent
        self._data: bytes | None = None
        self._done = Event()
        try:
            self._completion = image.aio_read(extent.offset, extent.length, self._take)
        except rbd.Error as error:
            raise SourceBroken(f"it cannot be read: {vendor_text(error)}") from error

    def _take(self, _completion: object, data: bytes | None) -> None:
        self._data = data
        self._done.set()

    def wait(self) -> None:
        self._done.wait()

    def chunks(self) -> Iterator[Chunk]:
        """The bytes in the bindings' own buffer: copying them would take a sixth of an export's time."""
        self._done.wait()
        data, completion, (offset, length, _) = self._data, self._completion, self._extent
        # The completion refers to this object by its callback. Without the cycle the bytes are freed at once.
        self._data = self._completion = None
        if data is None or len(data) != length:
            raise SourceBroken(_read_error(completion, self._extent))
        del completion
        for base in range(0, length, CHUNK):
            yield Chunk(offset + base, min(CHUNK, length - base), data, base)


def _read_error(completion: Any, extent: Extent) -> str:  # noqa: ANN401 - see above
    number = -min(completion.get_return_value(), 0)
    if number == errno.ETIMEDOUT:
        return f"the cluster stopped answering at byte {extent.offset}"
    return f"it cannot be read at byte {extent.offset}: {os.strerror(number) if number else 'it ended there'}"


def _hole(extent: Extent) -> Chunk:
    return Chunk(extent.offset, extent.length, None)


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins adjacent runs.

    >>> _joined([(0, 4), (4, 4), (12, 4)])
    [(0, 8), (12, 4)]
    """
    joined: list[tuple[int, int]] = []
    for at, length in runs:
        if joined and sum(joined[-1]) == at:
            at, length = joined[-1][0], joined.pop()[1] + length  # noqa: PLW2901 - it continues the last run
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
