"""Progress on standard error: what a bar and plain lines show."""

import io
import logging
from types import SimpleNamespace

import click
import pytest
from rich.cells import cell_len

from lading.adapters.cli.progress import line_text, progress_bar, progress_option
from lading.ports.observer import NullObserver, Observer, SupportsSteps, SupportsWaiting, report_step

MIB = 1 << 20


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("lading.adapters.cli.progress.time", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    print_to(terminal, monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    return terminal


def print_to(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the stream the module's standard error; pytest replaces that of the process."""
    monkeypatch.setattr("lading.adapters.cli.progress.sys", SimpleNamespace(stderr=stream))


def lines_of(terminal: io.StringIO) -> list[str]:
    """The lines that were drawn over each other, without the blanks that erase."""
    return [line.rstrip() for line in terminal.getvalue().split("\r") if line.strip()]


def transfer(observer: Observer, clock: Clock) -> None:
    """Resumes 3 GiB at 1 GiB, at 100 MiB a second."""
    for done in range(1024, 3072, 100):
        observer.progress(done * MIB, 3072 * MIB)
        clock.now += 1


def test_a_bar_has_one_unit_and_does_not_count_resumed_bytes(terminal: Terminal, clock: Clock) -> None:
    with progress_bar("noble\x1b[2J") as observer:
        transfer(observer, clock)
    first, second, *_ = lines_of(terminal)
    assert first == r"noble\x1b[2J  [#############---------------------------]  1.0 of 3.0 GiB"
    assert second == r"noble\x1b[2J  [##########------------------]  1.1 of 3.0 GiB  100.0 MiB/s  0:19"
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_the_bar_says_what_it_waits_for_and_which_step_it_is_at(terminal: Terminal, clock: Clock) -> None:
    with progress_bar("noble") as observer:
        assert isinstance(observer, SupportsWaiting)
        observer.waiting("process 4242, which fetches the same image (40.0 of 150.0 MiB)")
        report_step(observer, "converting to raw")
        observer.progress(5 * MIB, 10 * MIB)
        observer.progress(0, 10 * MIB)
    waiting, step, share, next_attempt = lines_of(terminal)
    assert waiting == "noble: waiting for process 4242, which fetches the same image (40.0 of 150.0 M…"
    assert step == "noble: converting to raw"
    assert share == "noble: converting to raw  [#################-----------------]  5.0 of 10.0 MiB"
    assert next_attempt.startswith("noble  [----")


@pytest.mark.parametrize("columns", [1, 10, 20, 40, 80, 200])
def test_no_line_is_as_wide_as_the_terminal(
    terminal: Terminal, clock: Clock, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with progress_bar("日本語-noble-server-cloudimg-amd64") as observer:
        transfer(observer, clock)
        assert isinstance(observer, SupportsWaiting)
        observer.waiting("process 4242, which fetches the same image (40.0 of 150.0 MiB)")
    assert max(map(cell_len, terminal.getvalue().split("\r"))) <= max(columns - 1, 1)


def test_a_narrow_line_keeps_the_share() -> None:
    assert line_text("noble", ["1.2 of 3.4 GiB"], 0.5, 8) == "1.2 of…"


def test_a_message_of_the_log_begins_on_a_line_of_its_own(terminal: Terminal, clock: Clock) -> None:
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with progress_bar("noble") as observer:
            observer.progress(1, 2)
            logging.getLogger("lading").warning("it is slow")
        logging.getLogger("lading").warning("it is over")
    finally:
        logging.getLogger().removeHandler(handler)
    drawn = "noble  [####################--------------------]  1 of 2 B"
    assert terminal.getvalue() == f"\r{drawn}\r{' ' * len(drawn)}\rit is slow\nit is over\n"


def command_of() -> click.Command:
    @click.command()
    @progress_option
    def fetch() -> None:
        with progress_bar("noble") as observer:
            for done in range(0, 10 * MIB, MIB):
                observer.progress(done, 10 * MIB)
            report_step(observer, "flushing")

    return fetch


def test_plain_lines_come_seldom_and_tell_the_steps(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    log = io.StringIO()
    print_to(log, monkeypatch)
    command_of().main(["--progress", "plain"], standalone_mode=False)
    assert log.getvalue() == "noble: 0.0 of 10.0 MiB, 0%\nnoble: flushing\n"


def test_a_plain_line_comes_every_few_seconds(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    log = io.StringIO()
    print_to(log, monkeypatch)
    with click.Context(click.Command("fetch")) as context:
        context.meta["lading.progress"] = "plain"
        with progress_bar("noble") as observer:
            transfer(observer, clock)
    seconds = log.getvalue().splitlines()
    assert seconds[:2] == ["noble: 1.0 of 3.0 GiB, 33%", "noble: 1.5 of 3.0 GiB, 50%, 100.0 MiB/s"]
    assert len(seconds) == 5


@pytest.mark.parametrize("arguments", [[], ["--progress", "none"], ["--progress", "auto"]])
def test_elsewhere_nothing_is_shown(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    print_to(pipe, monkeypatch)
    command_of().main(arguments, standalone_mode=False)
    assert pipe.getvalue() == ""


def test_a_dumb_terminal_gets_lines(terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with progress_bar("noble") as observer:
        observer.progress(1, 2)
    assert terminal.getvalue() == "noble: 1 of 2 B, 50%\n"


def test_an_observer_without_steps_is_not_told_of_them() -> None:
    observer = NullObserver()
    report_step(observer, "flushing")
    assert not isinstance(observer, SupportsSteps)
