"""Progress on standard error: a bar on one line of a terminal, or lines for a log. Neither has escape sequences."""

import logging
import math
import os
import sys
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import click
from typing_extensions import override

from lading.adapters.catalogs.url_reference import is_url
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import printable, terminal_width
from lading.adapters.cli.table import cell_length, cut
from lading.adapters.codec.sizes import share_text, size_text
from lading.ports.observer import NullObserver, Observer

__all__ = ["image_title", "progress_bar", "progress_option"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MODE: Final = "lading.progress"
"""The key of the mode in click's context."""
_BAR_SECONDS: Final = 0.1
_LINE_SECONDS: Final = 5.0
_SPEED_SECONDS: Final = 10.0
"""The last seconds, whose mean speed is shown."""
_SHORTEST_BAR: Final = 12
_LONGEST_BAR: Final = 42
_SHORTEST_TITLE: Final = 12
_GAP: Final = "  "


def progress_option(command: _Command) -> _Command:
    """Adds `--progress` to a command, for its `progress_bar`."""
    help_text = "Show progress as a bar, or as plain lines for a log. auto: a bar on a terminal, else none."
    modes = click.Choice(["auto", "bar", "plain", "none"])
    return click.option(
        "--progress", type=modes, default="auto", expose_value=False, callback=_keep_mode, help=help_text
    )(command)


def _keep_mode(context: click.Context, _option: click.Parameter, mode: str) -> None:
    context.meta[_MODE] = mode


def image_title(reference: str) -> str:
    """Returns what a bar calls the image: of a URL, the name of its file.

    >>> image_title("https://host/noble/noble.img#sha256=ab")
    'noble.img'
    """
    name = urlsplit(reference).path.rpartition("/")[2] if is_url(reference) else ""
    return masked(name or reference)


@contextmanager
def progress_bar(title: str) -> Iterator[Observer]:
    """Yields an observer that shows the progress on standard error, as `--progress` says.

    With --quiet it shows nothing.
    """
    context = click.get_current_context(silent=True)
    mode = context.meta.get(_MODE, "auto") if context else "auto"
    if mode == "auto":
        # --quiet does not log warnings either.
        is_shown = sys.stderr.isatty() and logging.getLogger().isEnabledFor(logging.WARNING)
        mode = _mode_of_terminal() if is_shown else "none"
    if mode == "none":
        yield NullObserver()
    elif mode == "plain":
        yield _Lines(title)
    else:
        with _Bar(title) as bar:
            yield bar


def _mode_of_terminal() -> str:
    """A bar, unless the terminal cannot redraw a line, or the log has lines too."""
    is_dumb = os.environ.get("TERM") == "dumb"
    return "plain" if is_dumb or logging.getLogger().isEnabledFor(logging.INFO) else "bar"


class _Progress:
    """An observer that shows the progress of one step at a time, not too often."""

    def __init__(self, title: str, pause: float) -> None:
        """`pause`: seconds between two texts."""
        self._title = printable(title, sys.stderr)
        self._pause = pause
        self._shown_at = -math.inf
        self._step = ""
        self._samples: deque[tuple[float, int]] = deque()
        """Times, and the bytes that were done then; the first is where the step began or was resumed."""

    def progress(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()  # another attempt
            self._step = ""
        if self._samples and now - self._shown_at < self._pause and done != total:
            return
        self._samples.append((now, done))
        while now - self._samples[0][0] > _SPEED_SECONDS and len(self._samples) > 2:  # noqa: PLR2004 - a speed needs two
            self._samples.popleft()
        self._shown_at = now
        self._show(self._heading, self._texts(done, total), done / total if total else None)

    def waiting(self, reason: str) -> None:
        self._samples.clear()
        now = time.monotonic()
        if now - self._shown_at >= self._pause:
            self._shown_at = now
            self._show(f"{self._title}: waiting for {printable(reason, sys.stderr)}", [], None)

    def step(self, name: str) -> None:
        self._samples.clear()
        self._step = name
        self._shown_at = time.monotonic()
        self._show(self._heading, [], None)

    @property
    def _heading(self) -> str:
        return f"{self._title}: {self._step}" if self._step else self._title

    def _texts(self, done: int, total: int | None) -> list[str]:
        """The share that is done, the speed and the time left, as far as they are known."""
        (began_at, first), (now, _) = self._samples[0], self._samples[-1]
        speed = (done - first) / (now - began_at) if now > began_at else 0
        texts = [share_text(done, total)]
        if speed:
            texts.append(f"{size_text(int(speed))}/s")
            if total is not None and total >= done:
                texts.append(_time_text(int((total - done) / speed)))
        return texts

    @abstractmethod
    def _show(self, title: str, texts: Sequence[str], share: float | None) -> None:
        """Shows the texts, the most important first. `share`: of the whole, that is done; None: it is not known."""


class _Bar(_Progress):
    """A line of a terminal, drawn again and again over itself, and erased at the end."""

    def __init__(self, title: str) -> None:
        super().__init__(title, _BAR_SECONDS)
        self._drawn = 0
        """Cells of the line that is drawn."""

    def __enter__(self) -> Self:
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._make_way)
        return self

    def __exit__(self, *_: object) -> None:
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._make_way)
        self._draw("")

    @override
    def _show(self, title: str, texts: Sequence[str], share: float | None) -> None:
        # Many terminals wrap after a character in the last cell.
        self._draw(line_text(title, texts, share, max(terminal_width(sys.stderr) - 1, 1)))

    def _draw(self, line: str) -> None:
        cells = cell_length(line)
        blanks = " " * (self._drawn - cells)
        with suppress(OSError, ValueError):
            sys.stderr.write(f"\r{line}{blanks}" if line else f"\r{blanks}\r" if self._drawn else "")
            sys.stderr.flush()
        self._drawn = cells

    def _make_way(self, _record: logging.LogRecord) -> bool:
        """Erases the line before a message of the log is printed."""
        self._draw("")
        return True


class _Lines(_Progress):
    """A line every few seconds, and one for each step."""

    def __init__(self, title: str) -> None:
        super().__init__(title, _LINE_SECONDS)

    @override
    def _show(self, title: str, texts: Sequence[str], share: float | None) -> None:
        percent = [] if share is None else [f"{min(share, 1):.0%}"]
        text = ", ".join((*texts[:1], *percent, *texts[1:2]))
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{title}: {text}\n" if text else f"{title}\n")
            sys.stderr.flush()


def line_text(title: str, texts: Sequence[str], share: float | None, cells: int) -> str:
    """Returns a line of at most so many cells, at least one: the title, a bar, and the texts, the most important first.

    Where there is no room for all, the bar, the last texts and the title's end are left out, in this order.

    >>> line_text("noble", ["1.2 of 3.4 GiB", "35.1 MiB/s", "1:03"], 0.35, 60)
    'noble  [#####------------]  1.2 of 3.4 GiB  35.1 MiB/s  1:03'
    >>> line_text("noble", ["1.2 of 3.4 GiB", "35.1 MiB/s", "1:03"], 0.35, 34)
    'noble  1.2 of 3.4 GiB  35.1 MiB/s'
    >>> line_text("noble", ["1.2 of 3.4 GiB", "35.1 MiB/s", "1:03"], 0.35, 19)
    'no…  1.2 of 3.4 GiB'
    """
    least = min(cell_length(title), _SHORTEST_TITLE)
    while len(texts) > 1 and least + _cells_of(texts) > cells:
        texts = texts[:-1]
    room = cells - _cells_of(texts)
    if room < 1:
        return cut(texts[0], cells)
    parts = [cut(title, room)]
    left = room - cell_length(parts[0]) - len(_GAP)
    if share is not None and left >= _SHORTEST_BAR:
        inner = min(left, _LONGEST_BAR) - 2
        filled = int(inner * min(share, 1))
        parts.append(f"[{'#' * filled}{'-' * (inner - filled)}]")
    return _GAP.join((*parts, *texts))


def _cells_of(texts: Sequence[str]) -> int:
    """Cells of the texts, each with the gap before it."""
    return sum(cell_length(text) + len(_GAP) for text in texts)


def _time_text(seconds: int) -> str:
    """Returns minutes and seconds, or hours and minutes.

    >>> _time_text(63), _time_text(7260)
    ('1:03', '2 h 01')
    """
    if seconds < 3600:  # noqa: PLR2004 - an hour
        return f"{seconds // 60}:{seconds % 60:02}"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02}"
