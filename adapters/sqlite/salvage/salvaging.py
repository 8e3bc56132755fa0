"""What a damaged database still holds of its associations. SQLite itself stops at the first page that is bad."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.sqlite.database import Row, from_text, unavailable
from lading.adapters.sqlite.rows import recovered
from lading.adapters.sqlite.salvage.pages import (
    INDEXES,
    MAGIC,
    TABLE_LEAF,
    TABLE_NODE,
    Pages,
    children,
    is_sound,
    kind_of,
    number_at,
)
from lading.adapters.sqlite.schema import APPLICATION_ID
from lading.ports.association import Association

__all__ = ["Salvaged", "salvaged"]

_COLUMNS: Final = 4
"""Of the table associations. The first four stay what they are."""
_ROOT: Final = 2
"""The first page of the table made first, for when nothing says otherwise."""


class Salvaged(NamedTuple):
    """What could be read of a damaged database."""

    associations: tuple[Association, ...]
    """Each exactly as it was put at some time. Where several were of one target, the newest that could be told."""
    lost: tuple[str, ...]
    """Targets that an index still names, and of which nothing else is left."""
    application: int
    version: int
    """As its header has them; 0 where there is none."""
    is_a_database: bool
    """Whether something of it looks like one, whoever's it is."""

    @property
    def is_ladings(self) -> bool:
        return self.application == APPLICATION_ID or bool(self.associations)


def salvaged(path: Path) -> Salvaged:
    """Read what can be read of the database and its log. Neither is written to, and nothing is made beside them.

    A target that was removed may come back, when the page that it was on is free and nothing tells so any more. SQLite
    has it open nowhere in this process meanwhile: its locks would be lost with the file that is closed here (fcntl(2)).
    Raises StoreUnavailable when there is no such file, or it may not be read.
    """
    try:
        with ExitStack() as files:
            database = files.enter_context(path.open("rb"))
            log = None
            with suppress(FileNotFoundError):
                log = files.enter_context(path.with_name(f"{path.name}-wal").open("rb"))
            return _Search(Pages(database, log)).result()
    except OSError as error:
        raise unavailable(path, error) from error


class _Found(NamedTuple):
    """How much there is for an association to be the newest of its target."""

    certainty: int
    landed_at: float
    association: Association


class _Search:
    """All pages are looked at, also those that no other leads to any more."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._best: dict[str, _Found] = {}
        self._named: set[str] = set()

    def result(self) -> Salvaged:
        first = self._pages.newest(1)
        linked = _linked(self._pages, _root(self._pages, first))
        free = _free(self._pages, first, linked)
        for number in self._pages.numbers():
            if number not in free:
                self._look_at(number, is_linked=number in linked)
        return Salvaged(
            tuple(found.association for _, found in sorted(self._best.items())),
            tuple(sorted(self._named - self._best.keys())),
            number_at(first, 68, 4),
            number_at(first, 60, 4),
            self._pages.looks_like_one or first.startswith(MAGIC),
        )

    def _look_at(self, number: int, *, is_linked: bool) -> None:
        """At its newest version; where that is damaged, at the one before as well."""
        certainty = 2 if is_linked else 1
        for page in self._pages.versions(number):
            if self._take(number, page, certainty):
                return
            certainty = 0

    def _take(self, number: int, page: bytes, certainty: int) -> bool:
        """Whether all of it made sense."""
        kind, whole = kind_of(number, page), is_sound(number, page)
        for rows in self._pages.rows(number, page):
            if kind == TABLE_LEAF and not any(map(_is_others, rows)):
                whole = self._keep(rows, certainty) and whole
            elif kind in INDEXES and certainty:
                self._named.update(_named(rows))
            whole = whole and bool(rows)
        return whole

    def _keep(self, rows: tuple[Row, ...], certainty: int) -> bool:
        for target, handler, _, document, *_ in (row for row in rows if len(row) >= _COLUMNS):
            association = recovered((target, handler, document))
            if association is not None:
                found = _Found(certainty, association.landed_at.timestamp(), association)
                known = self._best.get(association.target)
                if known is None or found[:2] > known[:2]:
                    self._best[association.target] = found
                return True
        return False


def _is_others(row: Row) -> bool:
    """Whether it is a row of another table than associations."""
    return len(row) < _COLUMNS or not all(isinstance(value, bytes) for value in (row[0], row[1], row[3]))


def _named(rows: tuple[Row, ...]) -> Iterator[str]:
    """The target that an index by handler or image has there: that of intents' targets looks like that of targets."""
    for row in rows:
        match row:
            case (bytes() | None, bytes(target), int()):
                with suppress(ValueError):
                    yield from_text(target)


def _root(pages: Pages, first: bytes) -> int:
    """Where the table of associations begins, by the schema in page 1."""
    for rows in pages.rows(1, first) if kind_of(1, first) == TABLE_LEAF else ():
        for row in rows:
            match row:
                case (b"table", b"associations", _, int(root), _):
                    return root
    return _ROOT


def _linked(pages: Pages, root: int) -> set[int]:
    """The pages that the root leads to."""
    found, ahead = set[int](), [root]
    while ahead:
        number = ahead.pop()
        page = pages.newest(number)
        if number not in found and page:
            found.add(number)
            if kind_of(number, page) == TABLE_NODE:
                ahead.extend(children(number, page))
    return found


def _free(pages: Pages, first: bytes, linked: set[int]) -> set[int]:
    """The pages of the list of free ones: what they hold was removed. None, when that list contradicts anything."""
    following, count = number_at(first, 32, 4), number_at(first, 36, 4)
    found: list[int] = []
    while following and following not in found:
        trunk = pages.newest(following)
        leaves = min(number_at(trunk, 4, 4), len(trunk) // 4)
        found += [following, *(number_at(trunk, 8 + 4 * index, 4) for index in range(leaves))]
        following = number_at(trunk, 0, 4)
    free = set(found)
    agrees = first.startswith(MAGIC) and len(found) == len(free) == count and not free & (linked | {0, 1})
    return free if agrees else set()
