"""The pages of an SQLite database as its file holds them, however damaged (sqlite.org/fileformat2.html).

Nothing is taken for granted: what can't be read, or makes no sense, is as good as not there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from lading.adapters.sqlite.database import Row
from lading.adapters.sqlite.salvage.cells import TABLE_LEAF, local_size, record, varint
from lading.adapters.sqlite.salvage.log_frames import newest_frames

__all__ = ["INDEXES", "MAGIC", "TABLE_LEAF", "TABLE_NODE", "Pages", "children", "is_sound", "kind_of", "number_at"]

MAGIC: Final = b"SQLite format 3\0"
INDEX_NODE, TABLE_NODE, INDEX_LEAF = 0x02, 0x05, 0x0A
_KINDS: Final = frozenset({INDEX_NODE, TABLE_NODE, INDEX_LEAF, TABLE_LEAF})
_NODES: Final = frozenset({INDEX_NODE, TABLE_NODE})
INDEXES: Final = frozenset({INDEX_NODE, INDEX_LEAF})
_SMALLEST, _LARGEST, _USUAL = 1 << 9, 1 << 16, 1 << 12
"""Sizes of pages, in bytes. Each is a power of two."""
_LEAST_USABLE: Final = 480
_MOST_FRAGMENTS: Final = 60
"""Unused bytes between the cells of a page."""
_HEADER: Final = 100
"""Bytes of the database's own, before what else is in page 1."""


class Pages:
    """Those of a database, and of its write-ahead log where there is one. They are read only."""

    def __init__(self, database: BinaryIO, log: BinaryIO | None) -> None:
        self._database = database
        self._log = log
        length = _length(database)
        header, log_header = _read(database, 0, _HEADER), _read(log, 0, 32) if log else b""
        votes = _sizes_seen(database, length)
        self.looks_like_one: Final = votes.total() > 0
        """Whether some page but the first is one of a database, whoever's."""
        # The largest doesn't fit the header: it is written as 1. What is seen of the pages outweighs what is said.
        for stated in (number_at(header, 16, 2), number_at(log_header, 8, 4)):
            votes[_LARGEST if stated == 1 else stated] += 1
        sizes = [_SMALLEST << bits for bits in range(8)]
        self._size: Final = max(sizes, key=lambda size: (votes[size], size == _USUAL))
        self._frames: Final = newest_frames(log, log_header, self._size) if log else {}
        self._count: Final = -(-length // self._size)
        # Some systems' SQLite reserves bytes at the end of each page. A damaged header may say that of any.
        reserved = number_at(header, 20, 1) if header.startswith(MAGIC) else 0
        self._usable: Final = sorted({self._size, max(self._size - reserved, _LEAST_USABLE)})

    def numbers(self) -> Iterable[int]:
        """Of all pages, which are counted from 1."""
        return sorted({*range(1, self._count + 1), *self._frames})

    def versions(self, number: int) -> Iterator[bytes]:
        """What there is of the page, the newest first."""
        if self._log:
            for start in self._frames.get(number, ()):
                yield _read(self._log, start, self._size)
        if 1 <= number <= self._count:
            # The last may be cut off.
            yield _read(self._database, (number - 1) * self._size, self._size).ljust(self._size, b"\0")

    def newest(self, number: int) -> bytes:
        """Nothing, when there is no such page."""
        return next(self.versions(number), b"")

    def rows(self, number: int, page: bytes) -> Iterator[tuple[Row, ...]]:
        """What each cell of a leaf, or of an index's node, may hold: mostly one row; none when it makes no sense."""
        kind = kind_of(number, page)
        if kind is None or kind == TABLE_NODE:
            return
        for cell in _cells(number, page):
            start = cell + 4 if kind == INDEX_NODE else cell
            payloads = {self._payload(page, start, kind, usable) for usable in self._usable}
            rows = (record(payload) for payload in payloads if payload is not None)
            yield tuple(row for row in rows if row is not None)

    def _payload(self, page: bytes, start: int, kind: int, usable: int) -> bytes | None:
        try:
            length, start = varint(page, start)
            if kind == TABLE_LEAF:
                _, start = varint(page, start)  # the row's id
        except IndexError:
            return None
        end = start + local_size(length, usable, kind)
        if end > usable:
            return None
        return self._followed(page[start:end], length, number_at(page, end, 4), usable)

    def _followed(self, payload: bytes, length: int, following: int, usable: int) -> bytes | None:
        """What the payload's chain of overflow pages adds up to."""
        pieces, missing, passed = [payload], length - len(payload), set[int]()
        while missing > 0:
            overflow = self.newest(following)
            if not overflow or following in passed:
                return None
            passed.add(following)
            pieces.append(overflow[4:usable][:missing])
            missing -= len(pieces[-1])
            following = number_at(overflow, 0, 4)
        return b"".join(pieces)


def number_at(data: bytes, start: int, size: int) -> int:
    """As SQLite writes it; 0 where the data doesn't go that far."""
    return int.from_bytes(data[start : start + size]) if len(data) >= start + size else 0


def kind_of(number: int, page: bytes) -> int | None:
    """Which of the four kinds of a b-tree's pages it is; None for every other page."""
    kind = number_at(page, _start(number), 1)
    return kind if kind in _KINDS else None


def is_sound(number: int, page: bytes) -> bool:
    """Whether its header is one that SQLite would write. By chance, nonsense hardly ever is."""
    start = _start(number)
    return _is_page(page[start : start + 8], len(page), start)


def children(number: int, page: bytes) -> Iterator[int]:
    """The pages below a node."""
    yield number_at(page, _start(number) + 8, 4)
    for cell in _cells(number, page):
        yield number_at(page, cell, 4)


def _start(number: int) -> int:
    return _HEADER if number == 1 else 0


def _cells(number: int, page: bytes) -> Iterator[int]:
    """Where each is."""
    start = _start(number)
    first = start + (12 if kind_of(number, page) in _NODES else 8)
    for at in range(first, min(first + 2 * number_at(page, start + 3, 2), len(page) - 1), 2):
        yield number_at(page, at, 2)


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    """Less, or nothing, where the file ends or the disk can't read it."""
    try:
        file.seek(start)
        return file.read(size)
    except OSError:
        return b""


def _sizes_seen(database: BinaryIO, length: int) -> Counter[int]:
    """How many pages begin at odd multiples of each size: of the true size about half do, of smaller ones none."""
    seen = Counter[int]()
    for start in range(0, length, _LARGEST):
        block = _read(database, start, _LARGEST)
        for at in range(0, len(block), _SMALLEST):
            where = start + at
            size = min(where & -where, _LARGEST)
            if where and number_at(block, at + 3, 2) and _is_page(block[at : at + 8], size):
                seen[size] += 1
    return seen


def _is_page(header: bytes, size: int, start: int = 0) -> bool:
    cells, content = number_at(header, 3, 2), number_at(header, 5, 2) or _LARGEST
    is_one = number_at(header, 0, 1) in _KINDS and number_at(header, 7, 1) <= _MOST_FRAGMENTS
    return is_one and start + 8 + 2 * cells <= content <= size
