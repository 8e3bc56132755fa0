"""Tables: on a terminal of any width no line wraps, and the columns begin at the same cell."""

import io
import sys
from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from lading.adapters.cli.output import printable
from lading.adapters.cli.table import Column, cut, fitted_widths, print_table

COLUMNS = (
    Column("TARGET", 4, least=16, keeps_end=True),
    Column("IMAGE", 2),
    Column("SIZE", 3, is_number=True),
    Column("STATE", 1),
)
WIDE = "日本語한😀❤\ufe0f👩é\u0301\u0300a\u0336\u20e3🇩🇪"
CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from(WIDE)
TEXTS = st.text(CHARACTERS, max_size=40)
WORDS = st.text(CHARACTERS.filter(lambda each: each not in " \u3000"), min_size=1, max_size=40)
ROWS = st.lists(st.tuples(WORDS, WORDS, st.just("1.5 GiB"), WORDS), min_size=1, max_size=5)
WIDTHS = st.integers(1, 200)


class Terminal(io.StringIO):
    """Standard output on a terminal."""

    def isatty(self) -> bool:
        return True


def printed(rows: Iterable[Sequence[str]], stream: io.StringIO, width: int) -> list[str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        patched.setenv("COLUMNS", str(width))
        print_table(COLUMNS, rows)
    return stream.getvalue().splitlines()


@given(ROWS, WIDTHS)
@example([("/vms/日本語.img", "❤\ufe0f", "1.5 GiB", "ok")], 24)
def test_no_line_is_longer_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    lines = printed(rows, Terminal(), width)
    assert len(lines) == 1 + len(rows)
    assert max(map(cell_len, lines)) <= width


@given(ROWS, st.integers(60, 300))
def test_the_columns_begin_at_the_same_cell(rows: list[tuple[str, ...]], width: int) -> None:
    header, *lines = printed(rows, Terminal(), width)
    at = header.index("IMAGE")
    for line, row in zip(lines, rows, strict=True):
        starts = (printable(row[1])[:1], "…")
        assert any(line[place:].startswith(starts) and cell_len(line[:place]) == at for place in range(len(line)))


@given(text=TEXTS, cells=st.integers(1, 40), keeps_end=st.booleans())
@example(text="❤\ufe0f❤\ufe0f", cells=2, keeps_end=True)
def test_a_cut_text_fits_and_an_uncut_one_stays(*, text: str, cells: int, keeps_end: bool) -> None:
    text = printable(text)
    shown = cut(text, cells, keeps_end=keeps_end)
    assert cell_len(shown) <= cells
    assert shown == text or (shown.startswith("…") if keeps_end else shown.endswith("…"))
    assert (shown == text) is (cell_len(text) <= cells)


@given(st.lists(st.integers(1, 60), min_size=4, max_size=4), WIDTHS)
def test_widths_fit_and_use_the_room(natural: list[int], most: int) -> None:
    widths = fitted_widths(COLUMNS, natural, most)
    shown = [width for width in widths if width]
    line = sum(shown) + 2 * (len(shown) - 1)
    assert line <= most
    assert all(width <= wanted for width, wanted in zip(widths, natural, strict=True))
    assert line == most or all(width in {0, wanted} for width, wanted in zip(widths, natural, strict=True))
    assert widths[0] > 0


@given(ROWS)
def test_in_a_pipe_cells_are_separated_by_tabs_without_a_header(rows: list[tuple[str, ...]]) -> None:
    stream = io.StringIO()
    printed(rows, stream, 20)
    assert stream.getvalue() == "".join("\t".join(map(printable, row)) + "\n" for row in rows)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_without_rows_nothing_is_printed(stream: io.StringIO) -> None:
    assert printed([], stream, 80) == []


@pytest.mark.parametrize(("stream", "first_page"), [(io.StringIO(), 1), (Terminal(), 1000)])
def test_a_long_table_is_printed_while_its_rows_come(stream: io.StringIO, first_page: int) -> None:
    seen = []

    def rows() -> Iterator[Sequence[str]]:
        for number in range(1500):
            seen.append(stream.getvalue().count("\n"))
            yield f"/vms/{number}", "noble", "1.5 GiB", "verified"

    printed(rows(), stream, 80)
    assert seen[first_page - 1] == 0
    assert seen[first_page] > 0
    assert seen[-1] >= 1499
