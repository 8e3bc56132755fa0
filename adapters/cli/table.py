"""Tables: in columns that fit the terminal, or separated by tabs for programs."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

import click

from lading.adapters.cli.output import printable, terminal_width

__all__ = ["Column", "cell_length", "cut", "fitted_widths", "print_table"]

_GAP: Final = "  "
_PAGE: Final = 1000
"""The first rows, which decide on the widths: a table of any length is printed while its rows come."""


class Column(NamedTuple):
    """A column of a table."""

    title: str
    rank: int
    """Importance. Where the terminal is too narrow, the column of the lowest rank is cut first, and left out first."""
    least: int = 8
    """Cells that a cut column keeps before the next one is cut."""
    keeps_end: bool = False
    """True for paths: their ends tell more than their beginnings."""
    is_number: bool = False
    """True for numbers: they are aligned on the right, and never cut."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Prints the rows: on a terminal with a header, elsewhere separated by tabs and without one.

    Nothing is printed for a table without rows. All rows have a cell for each column.
    """
    printed = ([printable(cell) for cell in row] for row in rows)
    lines = _fitted_lines(columns, printed) if sys.stdout.isatty() else map("\t".join, printed)
    for line in lines:
        click.echo(line)


def _fitted_lines(columns: Sequence[Column], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """The lines of a table that fit the terminal."""
    if not (page := list(islice(rows, _PAGE))):
        return
    header = [column.title for column in columns]
    natural = [max(map(cell_length, column)) for column in zip(header, *page, strict=True)]
    widths = fitted_widths(columns, natural, terminal_width(sys.stdout))
    for row in chain([header], page, rows):
        shown = [
            _aligned(text, width, column) for text, width, column in zip(row, widths, columns, strict=True) if width
        ]
        yield _GAP.join(shown).rstrip()


def fitted_widths(columns: Sequence[Column], natural: Sequence[int], most: int) -> list[int]:
    """Returns the cells for each column of a line that has at most so many; 0: the column is left out.

    >>> columns = [Column("TARGET", 2), Column("IMAGE", 1), Column("SIZE", 3, is_number=True)]
    >>> fitted_widths(columns, [20, 30, 8], 80), fitted_widths(columns, [20, 30, 8], 50)
    ([20, 30, 8], [20, 18, 8])
    >>> fitted_widths(columns, [20, 30, 8], 36), fitted_widths(columns, [20, 30, 8], 8)
    ([16, 8, 8], [0, 0, 8])
    """
    widths = list(natural)
    by_rank = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    for index in by_rank:
        if not columns[index].is_number:
            least = min(widths[index], max(columns[index].least, cell_length(columns[index].title)))
            widths[index] = max(least, widths[index] - _excess(widths, most))
    for index in by_rank[:-1]:
        if _excess(widths, most) > 0:
            widths[index] = 0
    last = by_rank[-1]
    widths[last] = max(widths[last] - max(_excess(widths, most), 0), 1)
    return _with_room_used(widths, natural, most, by_rank)


def _excess(widths: Sequence[int], most: int) -> int:
    """Cells that a line of such columns has too many."""
    shown = [width for width in widths if width]
    return sum(shown) + len(_GAP) * (len(shown) - 1) - most


def _with_room_used(widths: list[int], natural: Sequence[int], most: int, by_rank: Sequence[int]) -> list[int]:
    """Gives the cells of columns that were left out to the others, the most important first."""
    for index in reversed(by_rank):
        if widths[index]:
            widths[index] += min(natural[index] - widths[index], max(-_excess(widths, most), 0))
    return widths


def _aligned(text: str, width: int, column: Column) -> str:
    text = cut(text, width, keeps_end=column.keeps_end)
    padding = " " * (width - cell_length(text))
    return padding + text if column.is_number else text + padding


def cut(text: str, cells: int, *, keeps_end: bool = False) -> str:
    """Returns the text in at most so many cells of a terminal, at least one; `…` stands for what is left out.

    >>> cut("noble-24.04", 6), cut("/var/lib/vms/1.img", 8, keeps_end=True), cut("日本語", 4)
    ('noble…', '…s/1.img', '日…')
    """
    excess = cell_length(text) - cells
    if excess <= 0:
        return text
    from rich.cells import set_cell_size  # noqa: PLC0415 - a text of ASCII that fits does without it

    mark = "…" if printable("…") == "…" else "~"
    if not keeps_end:
        return set_cell_size(text, cells - 1).rstrip() + mark
    end = text[len(set_cell_size(text, excess + 1)) :]
    while end and not cell_length(end[0]):  # it combines with a character that is left out
        end = end[1:]
    return mark + end


def cell_length(text: str) -> int:
    """The cells of a terminal that the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - see above

    return cell_len(text)
