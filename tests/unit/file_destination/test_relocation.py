"""The landed file itself is removed or moved, and no other."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.unit.file_destination.landings import DATA, landed

from lading import TargetFailed, TargetOccupied, Work
from lading.adapters.destinations.file import no_replace, relocation
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.file.target_state import is_intact
from lading.adapters.stream.safe_open import fingerprint


def test_removing_a_missing_file_is_no_failure(folder: Path, destination: FileDestination) -> None:
    (folder / "vm").write_bytes(DATA)
    for _ in range(2):
        assert destination.remove(Work(str(folder / "vm"))) == Success(None)
        assert os.listdir(folder) == []


def test_a_removal_that_cannot_be_flushed_says_that_it_is_removed(
    folder: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (folder / "vm").write_bytes(DATA)
    monkeypatch.setattr(os, "fsync", refuse)
    refused = destination.remove(Work(str(folder / "vm"))).failure()
    assert refused.reason.startswith(f"{folder}/vm is removed, but its folder cannot be flushed: Input/output error")
    monkeypatch.undo()
    assert destination.remove(Work(str(folder / "vm"))) == Success(None)


def test_a_folder_is_not_removed(folder: Path, destination: FileDestination) -> None:
    assert isinstance(destination.remove(Work(str(folder))).failure(), TargetOccupied)


def test_moving_gives_the_file_its_new_name_and_no_other(
    folder: Path, elsewhere: Path, destination: FileDestination
) -> None:
    (folder / "vm").write_bytes(DATA)
    landing = destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).unwrap()
    assert (os.listdir(folder), os.listdir(elsewhere)) == ([], ["vm"])
    assert (elsewhere / "vm").read_bytes() == DATA
    assert landing.fingerprint is not None
    assert landing.fingerprint.ctime_ns == (elsewhere / "vm").stat().st_ctime_ns


def test_moving_overwrites_nothing(folder: Path, elsewhere: Path, destination: FileDestination) -> None:
    (folder / "vm").write_bytes(DATA)
    (elsewhere / "vm").write_bytes(b"precious")
    assert isinstance(destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").read_bytes() == DATA
    assert (elsewhere / "vm").read_bytes() == b"precious"


def test_a_missing_file_cannot_be_moved(folder: Path, elsewhere: Path, destination: FileDestination) -> None:
    refused = destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert os.listdir(elsewhere) == []


def test_a_file_that_was_changed_before_a_move_is_not_intact_after_it(
    folder: Path, elsewhere: Path, destination: FileDestination
) -> None:
    for name, change in (("intact", None), ("changed", b"a guest wrote here")):
        association = landed(destination, folder / name)
        if change:
            with (folder / name).open("r+b") as disk:
                disk.write(change)
        work = Work(str(folder / name), association=association)
        moved = destination.move(work, str(elsewhere / name)).unwrap()
        recorded = replace(
            association, target=str(elsewhere / name), fingerprint=moved.fingerprint, folder=moved.folder
        )
        assert is_intact(recorded, fingerprint(str(elsewhere / name))) == (change is None)
        assert destination.remove(Work(recorded.target, association=recorded)) == Success(None)


def test_another_file_than_was_fetched_is_neither_removed_nor_moved(
    folder: Path, elsewhere: Path, destination: FileDestination
) -> None:
    association = landed(destination, folder / "vm")
    (folder / "vm").rename(folder / "kept")
    (folder / "vm").write_bytes(b"precious")
    work = Work(str(folder / "vm"), association=association)
    assert isinstance(destination.remove(work).failure(), TargetOccupied)
    assert isinstance(destination.move(work, str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").read_bytes() == b"precious"
    assert destination.remove(replace(work, force=True)) == Success(None)


def test_a_symlink_in_its_place_is_neither_removed_nor_followed(
    folder: Path, elsewhere: Path, destination: FileDestination
) -> None:
    association = landed(destination, folder / "vm")
    (folder / "vm").rename(folder / "kept")
    (folder / "vm").symlink_to("kept")
    work = Work(str(folder / "vm"), association=association)
    assert isinstance(destination.remove(work).failure(), TargetOccupied)
    assert isinstance(destination.move(work, str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").is_symlink()


def test_a_disk_that_is_written_to_while_it_is_copied_away_stays(
    folder: Path, tmp_path: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vm").write_bytes(DATA)

    def refuse(source: str, destination: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    class Guest:
        def progress(self, done: int, total: int | None) -> None:
            with (folder / "vm").open("r+b") as disk:
                disk.write(b"a guest wrote here")

    monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    refused = destination.move(Work(str(folder / "vm"), observer=Guest()), str(tmp_path / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert (folder / "vm").exists()
    assert not (tmp_path / "vm").exists()


def test_a_file_that_cannot_be_unlinked_is_not_moved(
    folder: Path, elsewhere: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vm").write_bytes(DATA)
    unlink = os.unlink

    def refuse(path: str, **given: int) -> None:
        if str(path) == str(folder / "vm"):
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        unlink(path, **given)

    def rename(source: str, destination: str, folder: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", source)

    monkeypatch.setattr(os, "unlink", refuse)
    if no_replace._renameat2.__module__ == no_replace.__name__:  # noqa: SLF001 - the system's, which asks no unlink
        monkeypatch.setattr(no_replace, "_renameat2", rename)
    refused = destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert (folder / "vm").read_bytes() == DATA
    assert os.listdir(elsewhere) == []


def test_a_move_that_cannot_be_undone_reports_why_it_failed(
    folder: Path,
    tmp_path: Path,
    destination: FileDestination,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (folder / "vm").write_bytes(DATA)

    def refuse(path: str) -> None:
        (folder / "vm").write_bytes(b"another's")
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(relocation, "flush_folder", refuse)
    refused = destination.move(Work(str(folder / "vm")), str(tmp_path / "vm")).failure()
    assert "Input/output error" in refused.reason
    assert f"{folder}/vm stays at {tmp_path}/vm" in caplog.text
    assert (tmp_path / "vm").read_bytes() == DATA


def test_a_name_that_is_removed_in_spite_of_an_error_is_a_move(
    folder: Path, elsewhere: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of NFS answers so to a request that is repeated because its answer was lost."""
    (folder / "vm").write_bytes(DATA)
    unlink = os.unlink

    def twice(path: str, **given: int) -> None:
        unlink(path, **given)
        if str(path) == str(folder / "vm"):
            unlink(path, **given)

    monkeypatch.setattr(os, "unlink", twice)
    destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).unwrap()
    assert (elsewhere / "vm").read_bytes() == DATA
    assert os.listdir(folder) == []


def test_a_move_to_another_file_system_keeps_the_mode(
    folder: Path, elsewhere: Path, destination: FileDestination
) -> None:
    (folder / "vm").write_bytes(DATA)
    (folder / "vm").chmod(0o640)
    destination.move(Work(str(folder / "vm")), str(elsewhere / "vm")).unwrap()
    assert (elsewhere / "vm").stat().st_mode & 0o7777 == 0o640
