"""The progress bar."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lading.adapters.cli.output import printable
from lading.ports.observer import NullObserver, Observer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(title: str) -> Iterator[Observer]:
    """Yields an observer that shows a progress bar (bytes, rate, time left) when standard error is a terminal.

    With --quiet, which does not log warnings either, it shows nothing.
    """
    if not sys.stderr.isatty() or not logging.getLogger().isEnabledFor(logging.WARNING):
        yield NullObserver()
        return
    bar = _Bar(title)
    try:
        yield bar
    finally:
        bar.close()


class _Bar:
    """The bar appears with the first progress and disappears at the end."""

    def __init__(self, title: str) -> None:
        self._title = printable(title, sys.stderr)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def progress(self, done: int, total: int | None) -> None:
        if self._progress is None or self._task is None:
            self._progress, self._task = self._draw()
        self._progress.update(self._task, completed=done, total=total, description=self._title)

    def waiting(self, reason: str) -> None:
        if self._progress is None or self._task is None:
            self._progress, self._task = self._draw()
        text = f"{self._title}: waiting for {printable(reason)}"
        self._progress.update(self._task, completed=0, total=None, description=text, refresh=True)

    def _draw(self) -> "tuple[Progress, TaskID]":
        # Imported late: a command without a progress bar starts faster.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        progress.start()
        return progress, progress.add_task(self._title, total=None)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
