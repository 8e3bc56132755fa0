"""Files of others in the place of partial data are not touched."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, get_args, get_type_hints

import pytest
from tests.integration.resuming.host import DATA, KEPT, Host

from lading import HandlerRefused, NoHandlerAvailable, TargetFailed, TargetOccupied
from lading.adapters.destinations.file.partial import made_path, part_path
from lading.domain.recovery import Outcome

PART: Final = part_path("vm")
TEMPORARY: Final = (
    PART,
    part_path("vm", "host1"),
    *(made_path(PART, kind) for kind in get_args(get_type_hints(made_path)["kind"])),
)
"""A temporary name of each kind."""


def a_symlink(part: Path, victim: Path) -> None:
    part.symlink_to(victim)


def a_hard_link(part: Path, victim: Path) -> None:
    part.hardlink_to(victim)


def a_fifo(part: Path, victim: Path) -> None:
    os.mkfifo(part)


def a_file(part: Path, victim: Path) -> None:
    part.write_bytes(victim.read_bytes())


def a_folder(part: Path, victim: Path) -> None:
    (part / victim.name).mkdir(parents=True)


@pytest.mark.parametrize("put", [a_symlink, a_hard_link, a_fifo, a_file, a_folder])
def test_a_file_in_the_place_of_partial_data_is_not_touched(
    either: Host, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(KEPT))
    either.cut_off()
    either.part.unlink()
    put(either.part, victim)
    mode, links = os.lstat(either.part).st_mode, victim.stat().st_nlink
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetOccupied)
    assert f"{either.part} exists, and lading has no record of it" in str(failure.decisive)
    assert (os.lstat(either.part).st_mode, victim.stat().st_nlink) == (mode, links)
    assert victim.read_bytes() == bytes(KEPT)
    assert not either.target.exists()
    assert list(either.journal.list()) == []


@contextmanager
def claimed(part: Path) -> Iterator[None]:
    """As by another process that writes to it."""
    with part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_partial_data_of_a_running_process_is_left_to_it(either: Host) -> None:
    either.part.write_bytes(bytes(KEPT))
    with claimed(either.part):
        failure = either.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        assert "fetching to it" in str(failure)
        assert either.part.read_bytes() == bytes(KEPT)


def test_partial_data_that_another_process_resumes_is_not_discarded(either: Host) -> None:
    either.cut_off()
    with claimed(either.part):
        [found] = either.dispatcher.recover(keep=False)
        assert found.outcome is Outcome.UNRESOLVED
        assert "fetching to it" in str(found.reason)
        assert either.part.exists()
    [found] = either.dispatcher.recover(keep=False)
    assert found.outcome is Outcome.UNDONE
    either.assert_nothing_is_left()


def test_a_file_of_another_user_is_not_resumed(either: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    either.cut_off()
    monkeypatch.setattr(os, "geteuid", lambda: either.part.parent.stat().st_uid + 1)
    either.assert_landed(resumed=0)
    assert either.asked() == [None]


def test_an_unnoted_file_is_neither_resumed_nor_removed(either: Host) -> None:
    """Of another program, or of another journal."""
    either.part.write_bytes(DATA[:KEPT])
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetOccupied)
    assert either.part.read_bytes() == DATA[:KEPT]
    either.part.unlink()
    either.assert_landed(resumed=0)


def test_a_temporary_file_of_a_running_process_is_not_touched(either: Host) -> None:
    """A target may be known to two journals."""
    with either.part.open("w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        failure = either.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        assert isinstance(failure.decisive, TargetFailed)
        assert failure.decisive.reason == f"{either.target} cannot be written: another process is fetching to it"
        assert either.part.exists()
    assert list(either.journal.list()) == []


@pytest.mark.parametrize("name", TEMPORARY)
def test_a_target_with_the_name_of_a_temporary_file_is_refused(either: Host, name: str) -> None:
    reserved = either.folder / name
    failure = either.fetch(reserved).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetFailed)
    assert "choose another name" in str(failure.decisive)
    either.fetch().unwrap()
    moved = either.dispatcher.move(str(either.target), str(reserved)).failure()
    assert isinstance(moved, HandlerRefused)
    assert either.target.read_bytes() == DATA
    assert os.listdir(either.folder) == [either.target.name]


def test_partial_data_of_an_earlier_version_is_resumed(either: Host) -> None:
    """It noted that a file is kept, and not which."""
    either.cut_off()
    [intent] = either.journal.list()
    notes = {key: note for key, note in intent.notes.items() if key == "part"}
    either.journal.note(intent.target, notes).unwrap()
    either.assert_landed(resumed=KEPT)
