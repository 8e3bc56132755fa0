"""Commands on a disk that is full or gets full: a clear refusal, nothing left, and they work once there is room."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.disk.forking import Forks

Lading = Callable[..., subprocess.CompletedProcess[str]]
KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
SHORT = "expected 2.0 MiB free on the disk of"
ADVICE = "free some space on its disk and try again"


@pytest.fixture
def lading(host: Path, environment: dict[str, str], forks: Sequence[Forks]) -> Lading:
    """Runs the command, without its start."""
    return lambda *arguments: forks[0].run(*arguments, folder=host, variables=environment)


@pytest.fixture
def noble(host: Path, lading: Lading) -> Path:
    """An image of 2 MiB in the catalog, under the name noble."""
    path = host / "images" / "noble.img"
    path.write_bytes(os.urandom(2 * MEBIBYTE))
    assert lading("catalog", "add", "images/noble.img").returncode == 0
    return path


def fill(disk: Path, *, but: int = 0) -> Path:
    """The file that takes all the disk's room but that many bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4 * KIBIBYTE))
        except OSError:
            file.truncate(file.tell() - but)
    return filler


def refusal(done: subprocess.CompletedProcess[str], code: int, words: str) -> bool:
    """Whether that is what it says, in at most three lines."""
    assert (done.returncode, words in done.stderr, len(done.stderr.splitlines()) <= 3) == (code, True, True), (
        done.stderr
    )
    return True


@pytest.mark.parametrize("room", [0, MEBIBYTE], ids=["full before the start", "full half-way"])
def test_a_fetch_to_a_full_disk_is_refused_and_works_when_there_is_room(
    lading: Lading, noble: Path, small_disk: Path, room: int
) -> None:
    filler = fill(small_disk, but=room)
    for _ in range(2):  # what the first left would be in the second's way
        assert refusal(lading("fetch", "noble", "small/1"), 11, SHORT)
    assert os.listdir(small_disk) == [filler.name]
    assert lading("ls").stdout == ""
    filler.unlink()
    assert lading("fetch", "noble", "small/1").returncode == 0
    assert (small_disk / "1").read_bytes() == noble.read_bytes()


def test_a_forced_fetch_to_a_full_disk_leaves_what_was_there(lading: Lading, noble: Path, small_disk: Path) -> None:
    (small_disk / "1").write_bytes(b"precious")
    filler = fill(small_disk, but=MEBIBYTE)
    assert refusal(lading("fetch", "noble", "small/1", "--force"), 11, SHORT)
    assert (small_disk / "1").read_bytes() == b"precious"
    filler.unlink()
    assert lading("fetch", "noble", "small/1", "--force").returncode == 0
    assert (small_disk / "1").read_bytes() == noble.read_bytes()


def test_a_move_to_a_full_disk_is_refused_and_works_when_there_is_room(
    lading: Lading, noble: Path, host: Path, small_disk: Path
) -> None:
    assert lading("fetch", "noble", "vms/1").returncode == 0
    filler = fill(small_disk, but=MEBIBYTE)
    assert refusal(lading("mv", "vms/1", "small/1"), 11, "small/1 cannot be written: No space left on device")
    assert os.listdir(small_disk) == [filler.name]
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()
    filler.unlink()
    assert lading("mv", "vms/1", "small/1").returncode == 0
    assert (small_disk / "1").read_bytes() == noble.read_bytes()
    assert os.listdir(host / "vms") == []


@pytest.mark.parametrize("room", [0, 12 * KIBIBYTE, 40 * KIBIBYTE])
def test_a_fetch_that_cannot_be_recorded_is_undone_and_works_when_there_is_room(
    lading: Lading, noble: Path, host: Path, small_disk: Path, environment: dict[str, str], room: int
) -> None:
    environment["LADING_ASSOCIATIONS__PATH"] = str(small_disk / "state.sqlite")
    filler = fill(small_disk, but=room)
    for _ in range(2):
        done = lading("fetch", "noble", "vms/1")
        assert done.returncode == 7
        assert "state.sqlite cannot be used" in done.stderr
        assert len(done.stderr.splitlines()) == 2
    assert os.listdir(host / "vms") == []
    filler.unlink()
    assert lading("fetch", "noble", "vms/1").returncode == 0
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()


@pytest.mark.parametrize("room", [0, 40 * KIBIBYTE])
@pytest.mark.parametrize("command", [["fetch", "noble", "vms/2"], ["mv", "vms/1", "vms/2"], ["rm", "vms/1"]])
def test_what_a_full_database_cannot_record_works_when_there_is_room(
    lading: Lading,
    noble: Path,
    host: Path,
    small_disk: Path,
    environment: dict[str, str],
    command: list[str],
    room: int,
) -> None:
    environment["LADING_ASSOCIATIONS__PATH"] = str(small_disk / "state.sqlite")
    assert lading("fetch", "noble", "vms/1").returncode == 0
    filler = fill(small_disk, but=room)
    assert refusal(lading(*command), 7, ADVICE)
    assert os.listdir(host / "vms") == ["1"]
    filler.unlink()
    assert lading(*command).returncode == 0
