"""Disks that a running program has locked are not taken away."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from returns.result import Success

from lading import Image, Location, TargetInUse, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.file.in_use import is_in_use
from lading.adapters.handlers.file import FileHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles

Lading = Callable[..., subprocess.CompletedProcess[str]]
MEBIBYTE = 1 << 20


@contextmanager
def running_guest(disk: Path, *options: str) -> Iterator[None]:
    """QEMU's block layer has the disk open, as it has a running guest's, and has said so."""
    if shutil.which("qemu-io") is None:
        pytest.skip("needs qemu-io, of qemu-utils")
    with subprocess.Popen(
        ["qemu-io", *options, "-f", "raw", str(disk)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as guest:
        assert guest.stdin is not None
        assert guest.stdout is not None
        guest.stdin.write("length\n")
        guest.stdin.flush()
        # What comes first is the prompt, and the disk is open when it comes.
        assert "MiB" in guest.stdout.readline()
        yield
        guest.stdin.close()


@pytest.fixture
def noble(host: Path, lading: Lading) -> Path:
    """A disk that was fetched."""
    (host / "images" / "noble.img").write_bytes(bytes(MEBIBYTE) + os.urandom(MEBIBYTE))
    assert lading("catalog", "add", "images/noble.img").returncode == 0
    assert lading("fetch", "noble", "vms/1").returncode == 0
    return host / "vms" / "1"


@pytest.mark.parametrize("options", [(), ("-r",)], ids=["writing", "only reading"])
def test_a_running_guest_s_disk_is_not_removed(lading: Lading, noble: Path, options: tuple[str, ...]) -> None:
    with running_guest(noble, *options):
        for forced in ([], ["--force"]):
            refused = lading("rm", "vms/1", *forced)
            assert (refused.returncode, "is in use" in refused.stderr) == (5, True)
            assert noble.exists()
        assert lading("show", "vms/1").returncode == 0
    assert lading("rm", "vms/1").returncode == 0
    assert not noble.exists()


def test_a_running_guest_s_disk_goes_when_that_is_meant(lading: Lading, noble: Path) -> None:
    with running_guest(noble):
        assert lading("rm", "vms/1", "--even-if-in-use").returncode == 0
    assert not noble.exists()


def test_a_running_guest_s_disk_is_not_replaced(lading: Lading, noble: Path) -> None:
    inode = noble.stat().st_ino
    with running_guest(noble):
        for command in ("explain", "fetch"):
            refused = lading(command, "noble", "vms/1", "--force")
            assert (refused.returncode, "is in use" in refused.stdout + refused.stderr) == (5, True)
        assert noble.stat().st_ino == inode
        assert lading("explain", "noble", "vms/1", "--force", "--even-if-in-use").returncode == 0
        assert lading("fetch", "noble", "vms/1", "--force", "--even-if-in-use").returncode == 0
    assert noble.stat().st_ino != inode


def test_a_running_guest_s_disk_leaves_no_file_system(lading: Lading, noble: Path, small_disk: Path) -> None:
    with running_guest(noble):
        refused = lading("mv", "vms/1", str(small_disk / "1"))
        assert (refused.returncode, "is in use" in refused.stderr) == (5, True)
        assert (noble.exists(), os.listdir(small_disk)) == (True, [])
        assert lading("mv", "vms/1", "vms/2").returncode == 0, "its name is the guest's no matter"
        assert lading("mv", "vms/2", str(small_disk / "1"), "--even-if-in-use").returncode == 0


def test_a_guest_that_starts_while_its_disk_is_copied_away_keeps_it(tmp_path: Path, small_disk: Path) -> None:
    disk = tmp_path / "vm"
    disk.write_bytes(os.urandom(2 * MEBIBYTE))
    guests: list[AbstractContextManager[None]] = []

    class Guest:
        def progress(self, done: int, total: int | None) -> None:
            if not guests:
                guests.append(running_guest(disk))
                guests[0].__enter__()

    transfer = FileDestination(MemoryVerifiedFiles())
    refused = transfer.move(Work(str(disk), observer=Guest()), str(small_disk / "vm"))
    guests[0].__exit__(None, None, None)
    assert isinstance(refused.failure(), TargetInUse)
    assert (disk.exists(), os.listdir(small_disk)) == (True, [])


def test_a_guest_that_starts_while_its_disk_is_replaced_keeps_it(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "vm"
    source.write_bytes(os.urandom(2 * MEBIBYTE))
    disk.write_bytes(b"a guest's")
    guests: list[BinaryIO] = []

    class Guest:
        def progress(self, done: int, total: int | None) -> None:
            if not guests:
                guests.append(disk.open("rb"))
                fcntl.flock(guests[0], fcntl.LOCK_SH)

    handler = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles()))
    work = Work(str(disk), Image("id"), Location(f"file://{source}"), force=True, observer=Guest())
    assert isinstance(handler.fetch(work).failure(), TargetInUse)
    guests[0].close()
    assert disk.read_bytes() == b"a guest's"


def test_only_what_is_locked_is_in_use(tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.write_bytes(b"bytes")
    link.symlink_to(disk)
    with disk.open("r+b") as opened:
        assert not is_in_use(str(disk)), "being open is no lock"
        for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            fcntl.flock(opened, kind)
            assert is_in_use(str(disk))
            assert not is_in_use(str(link)), "who takes a link away takes no disk away"
            fcntl.flock(opened, fcntl.LOCK_UN)
            assert not is_in_use(str(disk))
    assert not is_in_use(str(tmp_path))
    assert not is_in_use(str(tmp_path / "missing"))


def test_looking_leaves_no_lock(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"bytes")
    assert [is_in_use(str(disk)) for _ in range(2)] == [False, False]


def test_what_was_just_fetched_is_not_in_use_by_a_child_of_the_program(tmp_path: Path) -> None:
    """A child has its parent's open files, and with them the lock of a file under its temporary name."""
    source, disk = tmp_path / "source", tmp_path / "vm"
    source.write_bytes(os.urandom(2 * MEBIBYTE))
    ending, end = os.pipe()
    children: list[int] = []

    class Program:
        def progress(self, done: int, total: int | None) -> None:
            if not children and (child := os.fork()):
                children.append(child)
            elif not children:
                os.close(end)
                os.read(ending, 1)
                os._exit(0)

    transfer = FileDestination(MemoryVerifiedFiles())
    handler = FileHandler([tmp_path], transfer)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(os, "O_TMPFILE")
        work = Work(str(disk), Image("id"), Location(f"file://{source}"), observer=Program())
        assert isinstance(handler.fetch(work), Success)
    try:
        assert transfer.remove(Work(str(disk))) == Success(None)
    finally:
        os.close(end)
        os.close(ending)
        os.waitpid(children[0], 0)
