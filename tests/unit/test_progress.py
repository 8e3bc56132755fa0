"""The progress bar, with the version of rich that is installed."""

import pytest

from lading.adapters.cli.progress import progress_bar
from lading.ports.observer import NullObserver


def test_on_a_terminal_a_bar_names_the_image_and_nothing_else_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_bar("noble\x1b[2J") as observer:
        observer.progress(1 << 20, 3 << 20)
        observer.progress(3 << 20, 3 << 20)
    assert r"noble\x1b[2J" in capsys.readouterr().err


def test_in_a_pipe_nobody_watches() -> None:
    with progress_bar("noble") as observer:
        assert isinstance(observer, NullObserver)
