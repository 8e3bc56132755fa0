"""By what a file and its folder are known again: never by a name, and never by an inode alone."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Failure, Success

from lading import (
    Association,
    Fingerprint,
    Folder,
    Image,
    Landing,
    Location,
    PartialData,
    TargetFailed,
    TargetOccupied,
    Work,
)
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.file.notes import Notes, noted_file, noted_folder
from lading.adapters.destinations.file.partial import part_path
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream import safe_open
from lading.adapters.stream.safe_open import fingerprint, folder_identity, open_regular
from lading.adapters.stream.sources import FileSource
from lading.ports.journal import Intent, Verb

BORN = Fingerprint(device=1, inode=12, size=10, mtime_ns=50, ctime_ns=60, birth_ns=40)
UNBORN = BORN._replace(birth_ns=None)
SAME_FILE = {
    "nothing changed": (BORN, BORN, True),
    "a guest wrote to it": (BORN, BORN._replace(size=20, mtime_ns=90, ctime_ns=90), True),
    "the disk has another number": (BORN, BORN._replace(device=2), True),
    "another inode": (BORN, BORN._replace(inode=13), False),
    "another file got its inode": (BORN, BORN._replace(birth_ns=70), False),
    "recorded by an earlier version": (UNBORN, BORN, True),
    "recorded by an earlier version, and made later": (UNBORN, BORN._replace(birth_ns=61), False),
    "recorded by an earlier version, changed before it was moved": (
        UNBORN._replace(ctime_ns=0), BORN._replace(birth_ns=50), True,
    ),
    "no births here": (UNBORN, UNBORN._replace(size=20, mtime_ns=90), True),
    "no births here, and it is smaller": (UNBORN, UNBORN._replace(size=9), False),
    "its birth is told no more": (BORN, UNBORN, True),
}  # fmt: skip


@pytest.mark.parametrize(("recorded", "found", "same"), SAME_FILE.values(), ids=SAME_FILE)
def test_a_file_is_known_by_its_inode_and_birth(recorded: Fingerprint, found: Fingerprint, *, same: bool) -> None:
    assert recorded.is_same_file(found) == same


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns"])
def test_a_file_is_unchanged_when_its_size_and_times_are(field: str) -> None:
    assert BORN.is_unchanged(BORN._replace(device=2))
    assert not BORN.is_unchanged(BORN._replace(**{field: 99}))
    assert not BORN.is_unchanged(BORN._replace(birth_ns=41))


DISK, OTHER_DISK, NFS = 8 << 8 | 1, 8 << 8 | 17, 45
"""8:1 and 8:17; an anonymous device is 0:45."""
FOLDERS = {
    "the same": (Folder(DISK, 2, 7), Folder(DISK, 2, 7), True),
    "the disk has another number": (Folder(DISK, 2, 7), Folder(OTHER_DISK, 2, 7), True),
    "another inode": (Folder(DISK, 2, 7), Folder(DISK, 3, 7), False),
    "another birth": (Folder(DISK, 2, 7), Folder(DISK, 2, 8), False),
    "no births, another disk": (Folder(DISK, 2), Folder(OTHER_DISK, 2), False),
    "no births, a large number": (Folder(1 << 44, 2), Folder(1 << 45, 2), False),
    "one birth, the same disk": (Folder(DISK, 2), Folder(DISK, 2, 7), True),
    "a device that is numbered when it is mounted": (Folder(NFS, 2), Folder(NFS + 1, 2), True),
    "what was such a device": (Folder(NFS, 2), Folder(DISK, 2), True),
}


@pytest.mark.parametrize(("recorded", "found", "same"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_known_by_its_inode_and_birth(recorded: Folder, found: Folder, *, same: bool) -> None:
    assert recorded.is_same_folder(found) == same


@pytest.mark.parametrize(
    ("device", "there"), [(DISK, True), (OTHER_DISK, False), (NFS, True)], ids=["the same", "another", "numbered"]
)
def test_a_device_number_tells_disks_apart(device: int, *, there: bool) -> None:
    assert BORN._replace(device=DISK).may_be_in(Folder(device, 2)) == there


# What the system tells.


def test_a_file_has_one_fingerprint_by_path_and_by_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ten bytes!")
    (tmp_path / "link").symlink_to(path)
    with path.open("rb") as file:
        assert fingerprint(str(path)) == fingerprint(file.fileno())
    assert fingerprint(str(path)).size == 10
    assert fingerprint(str(tmp_path / "link")).inode == (tmp_path / "link").lstat().st_ino


def test_a_file_keeps_its_birth_and_another_one_has_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = fingerprint(str(path))
    if first.birth_ns is None:
        pytest.skip("this file system tells no births")
    path.rename(tmp_path / "renamed")
    (tmp_path / "renamed").write_bytes(b"changed")
    assert first.is_same_file(fingerprint(str(tmp_path / "renamed")))
    (tmp_path / "renamed").unlink()
    path.write_bytes(b"two")
    assert not first._replace(inode=path.stat().st_ino).is_same_file(fingerprint(str(path)))


def test_a_folder_is_seen_through_a_symlink_and_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file").touch()
    assert folder_identity(str(tmp_path / "link")) == folder_identity(str(tmp_path / "folder"))
    assert [folder_identity(str(tmp_path / name)) for name in ("gone", "file", "file/x")] == [None] * 3


def test_where_no_birth_is_told_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a C library that has no statx, or on another system."""
    monkeypatch.setattr(safe_open, "_statx", lambda: None)
    assert fingerprint(str(tmp_path)).birth_ns is None
    found = folder_identity(str(tmp_path))
    assert found is not None
    assert found.birth_ns is None


# What is done by it.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms"


@pytest.fixture
def transfer() -> FileDestination:
    return FileDestination(MemoryVerifiedFiles())


def landed(transfer: FileDestination, folder: Path) -> Association:
    source = folder.parent / "source"
    source.write_bytes(b"an image")
    image = Image("noble", size=8)
    target = str(folder / "vm")
    landing = transfer.fetch(
        Work(target, image), SourceOpener(lambda _: open_regular(str(source)).map(FileSource).alt(TargetFailed), "copy")
    ).unwrap()
    return landing.recorded_in(Association(target, "file", image, None, datetime.now(UTC)))


def test_what_landed_is_recorded_with_its_folder(folder: Path, transfer: FileDestination) -> None:
    assert landed(transfer, folder).folder == folder_identity(str(folder))


def test_a_stranger_s_file_with_the_inode_of_a_target_stays(folder: Path, transfer: FileDestination) -> None:
    recorded = landed(transfer, folder)
    assert recorded.fingerprint is not None
    if recorded.fingerprint.birth_ns is None:
        pytest.skip("this file system tells no births")
    target = Path(recorded.target)
    target.unlink()
    target.write_bytes(b"precious")
    # As ext4 does: the next file gets the number of the one that is gone.
    reused = recorded.fingerprint._replace(inode=target.stat().st_ino)
    work = Work(recorded.target, recorded.image, association=replace(recorded, fingerprint=reused))
    for refused in (transfer.remove(work), transfer.move(work, str(folder / "other"))):
        assert isinstance(refused.failure(), TargetOccupied)
    assert target.read_bytes() == b"precious"


def another_folder(folder: Path) -> None:
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()


def no_folder(folder: Path) -> None:
    folder.rename(folder.with_name("unmounted"))


UNMOUNTED = [another_folder, no_folder]


@pytest.mark.parametrize("unmount", UNMOUNTED)
def test_nothing_is_done_where_the_folder_is_another_one(
    folder: Path, transfer: FileDestination, unmount: Callable[[Path], None]
) -> None:
    recorded = landed(transfer, folder)
    unmount(folder)
    work = Work(recorded.target, recorded.image, association=recorded)
    answers = [
        transfer.remove(work), transfer.move(work, str(folder.parent / "moved")), transfer.verify(work),
        transfer.fetch(work, SourceOpener(lambda _: pytest.fail("it is opened"), "copy")),
    ]  # fmt: skip
    for answer in answers:
        refusal = answer.failure()
        assert isinstance(refusal, TargetFailed)
        assert "not mounted?" in str(refusal)
        assert f"lading forget {recorded.target}" in str(refusal)
    assert (folder.with_name("unmounted") / "vm").read_bytes() == b"an image"


def test_what_is_forced_goes_by_the_name_alone(folder: Path, transfer: FileDestination) -> None:
    recorded = landed(transfer, folder)
    another_folder(folder)
    (folder / "vm").write_bytes(b"another")
    assert transfer.remove(Work(recorded.target, association=recorded, force=True)) == Success(None)
    assert os.listdir(folder) == []


def test_what_an_earlier_version_recorded_needs_a_folder_and_no_certain_one(
    folder: Path, transfer: FileDestination
) -> None:
    recorded = landed(transfer, folder)
    assert recorded.fingerprint is not None
    earlier = replace(recorded, folder=None, fingerprint=recorded.fingerprint._replace(birth_ns=None))
    work = Work(recorded.target, association=earlier)
    no_folder(folder)
    assert isinstance(transfer.remove(work).failure(), TargetFailed)
    folder.with_name("unmounted").rename(folder)
    assert transfer.remove(work) == Success(None)


def test_what_an_earlier_version_recorded_on_another_disk_is_not_forgotten(
    folder: Path, transfer: FileDestination
) -> None:
    """Beneath its mount point there is a folder, and no file."""
    recorded = landed(transfer, folder)
    assert recorded.fingerprint is not None
    elsewhere = recorded.fingerprint._replace(device=OTHER_DISK, birth_ns=None)
    (folder / "vm").unlink()
    work = Work(recorded.target, association=replace(recorded, folder=None, fingerprint=elsewhere))
    assert "not mounted?" in str(transfer.remove(work).failure())


# What recovery does by it.


def intent(folder: Path, verb: Verb = Verb.FETCH) -> Intent:
    destination = str(folder.parent / "moved") if verb is Verb.MOVE else None
    return Intent(str(folder / "vm"), verb, "file", datetime.now(UTC), Image("noble"), destination=destination)


def noting(journal: MemoryJournal, begun: Intent) -> Notes:
    journal.begin(begun).unwrap()
    return Notes(journal, Work(begun.target, begun.image, intent=begun))


def recover(transfer: FileDestination, journal: MemoryJournal, begun: Intent) -> object:
    noted = journal.pending(begun.target).unwrap()
    return transfer.recover(Work(begun.target, begun.image, intent=noted), keep=True)


@pytest.mark.parametrize("verb", [Verb.FETCH, Verb.MOVE])
@pytest.mark.parametrize("target", ["rbd:vms/disk@1", "/nowhere/at/all/vm"])
def test_of_what_noted_nothing_nothing_can_be_left(transfer: FileDestination, verb: Verb, target: str) -> None:
    begun = Intent(target, verb, "file", datetime.now(UTC), destination="/nowhere/vm")
    assert transfer.recover(Work(target, intent=begun), keep=True) == Success(PartialData())


@pytest.mark.parametrize("unmount", UNMOUNTED)
def test_recovery_settles_nothing_where_the_folder_is_another_one(
    folder: Path, transfer: FileDestination, unmount: Callable[[Path], None]
) -> None:
    journal, begun = MemoryJournal(), intent(folder)
    notes = noting(journal, begun)
    Path(part_path(begun.target)).write_bytes(b"some")
    notes.announce(fingerprint(part_path(begun.target)), part=part_path(begun.target), resumable=True)
    unmount(folder)
    answer = recover(transfer, journal, begun)
    assert isinstance(answer, Failure)
    assert "not mounted?" in str(answer.failure())
    assert os.listdir(folder.with_name("unmounted")) == [".vm.lading-part"]
    if folder.exists():
        folder.rmdir()
    folder.with_name("unmounted").rename(folder)
    assert recover(transfer, journal, begun) == Success(PartialData())
    assert os.listdir(folder) == []


def test_a_move_is_not_settled_where_its_destination_is_not_mounted(folder: Path, transfer: FileDestination) -> None:
    journal = MemoryJournal()
    there = folder.parent / "there"
    there.mkdir()
    begun = replace(intent(folder, Verb.MOVE), destination=str(there / "vm"))
    (folder / "vm").write_bytes(b"a disk")
    noting(journal, begun).moving(fingerprint(begun.target), str(there / "vm"), intact=True)
    (folder / "vm").rename(there / "vm")
    no_folder(there)
    assert isinstance(recover(transfer, journal, begun), Failure)
    folder.with_name("unmounted").rename(there)
    found = recover(transfer, journal, begun)
    assert found == Success(Landing(fingerprint=fingerprint(str(there / "vm")), folder=folder_identity(str(there))))


def test_a_disk_that_a_guest_wrote_to_while_it_was_moved_has_arrived(folder: Path, transfer: FileDestination) -> None:
    journal, begun = MemoryJournal(), intent(folder, Verb.MOVE)
    (folder / "vm").write_bytes(b"a disk")
    file = fingerprint(begun.target)
    if file.birth_ns is None:
        pytest.skip("this file system tells no births")
    noting(journal, begun).moving(file, begun.destination or "", intact=True)
    moved = (folder / "vm").rename(folder.parent / "moved")
    moved.write_bytes(b"a disk, written to")
    found = recover(transfer, journal, begun)
    assert isinstance(found, Success)
    landing = found.unwrap()
    assert isinstance(landing, Landing)
    assert landing.fingerprint is not None
    assert landing.fingerprint.is_same_file(fingerprint(str(moved)))
    assert not landing.fingerprint.is_unchanged(fingerprint(str(moved)))


def test_a_file_that_came_after_a_killed_fetch_is_not_recorded_as_it(folder: Path, transfer: FileDestination) -> None:
    journal, begun = MemoryJournal(), intent(folder)
    notes = noting(journal, begun)
    (folder / "vm").write_bytes(b"an image")
    file = fingerprint(begun.target)
    if file.birth_ns is None:
        pytest.skip("this file system tells no births")
    notes.landed(Landing("copy", 8), file)
    assert isinstance(journal.pending(begun.target).unwrap(), Intent)
    (folder / "vm").unlink()
    (folder / "vm").write_bytes(b"precious")
    os.utime(begun.target, ns=(file.mtime_ns, file.mtime_ns))
    notes.landed(Landing("copy", 8), file._replace(inode=(folder / "vm").stat().st_ino))
    assert recover(transfer, journal, begun) == Success(PartialData())
    assert (folder / "vm").read_bytes() == b"precious"


@pytest.mark.parametrize("content", [b"", b"precious"])
def test_where_files_always_have_names_only_an_empty_one_can_be_left(
    folder: Path, transfer: FileDestination, content: bytes
) -> None:
    """Killed between its making and its noting: what is not empty is another's."""
    journal, begun = MemoryJournal(), intent(folder)
    noting(journal, begun).announce(None, part=part_path(begun.target))
    Path(part_path(begun.target)).write_bytes(content)
    assert recover(transfer, journal, begun) == Success(PartialData())
    assert os.listdir(folder) == [".vm.lading-part"] * bool(content)


@pytest.mark.parametrize("noted", [None, [1, 2, 3], [1, 2, 3, 4, None], [1, 2, 3, 4, 5, 6, 7], ["1"] * 5, "text"])
def test_notes_that_make_no_sense_name_no_file(noted: object) -> None:
    assert noted_file({"file": noted}, "file") is None


@pytest.mark.parametrize("noted", [None, [1, 2], [1, None, 3], {"device": 1}, "text"])
def test_notes_that_make_no_sense_name_no_folder(noted: object) -> None:
    assert noted_folder({"folder": noted}, "folder") is None


def test_what_an_attempt_has_left_stays_noted_in_the_next(folder: Path) -> None:
    journal = MemoryJournal()
    begun = replace(intent(folder), notes={"reading": "attachment", "temporary": list(BORN), "part": {}})
    journal.begin(begun).unwrap()
    work = Work(begun.target, begun.image, Location("file:///x"), intent=begun)
    Notes(journal, work).landed(Landing("copy"), BORN)
    noted = journal.pending(begun.target).unwrap()
    assert noted is not None
    assert set(noted.notes) == {"reading", "temporary", "part", "landed", "folder"}
