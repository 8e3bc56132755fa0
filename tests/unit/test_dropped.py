"""Locks that an interrupt dropped."""

import errno
import fcntl
import gc
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from lading.adapters.stream.dropped import retry_collected


@pytest.fixture(autouse=True)
def collected_by_nobody_else() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def lock(file: FileIO) -> None:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_was_dropped_within_a_cycle_is_locked_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "vm").touch()
    cycle: list[object] = [FileIO(tmp_path / "vm")]
    cycle.append(cycle)
    fcntl.flock(cycle[0], fcntl.LOCK_EX)  # type: ignore[arg-type]
    del cycle
    with FileIO(tmp_path / "vm") as file:
        with pytest.raises(BlockingIOError):
            lock(file)
        with pytest.warns(ResourceWarning, match="unclosed file"):
            retry_collected(lambda: lock(file))


def test_what_is_held_stays_locked(tmp_path: Path) -> None:
    (tmp_path / "vm").touch()
    with FileIO(tmp_path / "vm") as held, FileIO(tmp_path / "vm") as file:
        lock(held)
        with pytest.raises(BlockingIOError):
            retry_collected(lambda: lock(file))


def test_another_failure_comes_at_once() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        retry_collected(fail)
    assert len(calls) == 1
