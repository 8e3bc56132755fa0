"""Disks grow, and the backup of their partition table moves to the new end."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.images import MIB
from tests.integration.conversion.conftest import Opened
from tests.integration.conversion.disks import DISK, disk_with_gpt, image_of, plain
from tests.packages import needs

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.conversion.gpt import move_backup, moved_backup, sector_size
from lading.adapters.formats.conversion.qemu import HEAD, grow, open_disk
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, Unsupported

GROWN = 20 * MIB


@pytest.fixture(autouse=True)
def _needs_qemu() -> None:
    needs("qemu-img", "fdisk")


def problems(disk: bytes, sector: int, make: Callable[[bytes, int], str]) -> str:
    """The answer of `sgdisk -v`, which exits with 0 in any case."""
    needs("sgdisk")
    device = make(disk, sector)
    return subprocess.run(["sgdisk", "-v", device], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.usefixtures("_sandbox")
def test_a_grown_disk_ends_in_zeros(kind: str, tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, kind, tmp_path)
    grown = grow(open_disk(opened(image), kind), GROWN)
    assert grown == open_disk(grown.descriptor, kind)
    assert plain(image, kind) == DISK.ljust(GROWN, b"\0")
    assert image.stat().st_blocks * 512 < 4 * MIB


@pytest.mark.parametrize(("kind", "preallocation"), [("raw", "falloc"), ("qcow2", "metadata"), ("qcow2", "falloc")])
def test_the_growth_is_allocated(kind: str, preallocation: str, tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, kind, tmp_path)
    grow(open_disk(opened(image), kind), GROWN, preallocation=preallocation)
    assert plain(image, kind) == DISK.ljust(GROWN, b"\0")
    assert (image.stat().st_blocks * 512 > GROWN - len(DISK)) is (preallocation == "falloc")


def test_a_disk_of_the_wanted_size_stays_as_it_is(
    tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]
) -> None:
    disk = open_disk(opened(image_of(DISK, "raw", tmp_path)), "raw")
    fake_qemu("exit 1")
    assert grow(disk, len(DISK)) == disk


def test_a_disk_does_not_shrink(tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    with pytest.raises(Refused) as refused:
        grow(disk, MIB)
    assert refused.value.refusal == Mismatched(f"its disk has {exact_size(len(DISK))}, and cannot shrink to 1 MiB")


def test_a_vmdk_does_not_grow(tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "vmdk, monolithicSparse", tmp_path)), "vmdk")
    with pytest.raises(Refused) as refused:
        grow(disk, GROWN)
    assert isinstance(refused.value.refusal, Unsupported)


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.usefixtures("_sandbox")
def test_the_backup_moves_to_the_end_of_an_image(
    sector: int, kind: str, tmp_path: Path, opened: Opened, loop_device: Callable[[bytes, int], str]
) -> None:
    data = disk_with_gpt(sector)
    image = image_of(data, kind, tmp_path)
    assert move_backup(grow(open_disk(opened(image), kind), GROWN))
    disk = plain(image, kind)
    assert "No problems found" in problems(disk, sector, loop_device)
    assert disk[HEAD : 2 * MIB] == data[HEAD : 2 * MIB], "the partition's data"


def test_a_table_of_a_disk_that_has_grown_is_told_from_a_right_one(
    loop_device: Callable[[bytes, int], str],
) -> None:
    assert "No problems found" in problems(disk_with_gpt(), 512, loop_device)
    assert "No problems found" not in problems(disk_with_gpt().ljust(GROWN, b"\0"), 512, loop_device)


@pytest.mark.parametrize(("sector", "size"), [(512, GROWN), (4096, GROWN), (4096, GROWN + 512)])
def test_a_device_gets_a_head_and_a_tail(sector: int, size: int, loop_device: Callable[[bytes, int], str]) -> None:
    data = disk_with_gpt(sector)
    moved = moved_backup(data[:HEAD], size)
    assert moved is not None
    assert (len(moved.head), len(moved.tail)) == (HEAD, 16384 + sector)
    disk = (moved.head + data[HEAD:]).ljust(moved.tail_start, b"\0") + moved.tail
    assert "No problems found" in problems(disk, sector, loop_device)
    assert len(disk) == GROWN


def test_a_backup_at_the_end_stays_there() -> None:
    data = disk_with_gpt()
    moved = moved_backup(data[:HEAD], len(data))
    assert moved is not None
    assert moved.tail == data[moved.tail_start :]


def test_a_disk_without_a_gpt_is_left_alone(tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, "qcow2", tmp_path)
    before = image.read_bytes()
    assert not move_backup(open_disk(opened(image), "qcow2"))
    assert image.read_bytes() == before
    assert sector_size(DISK) is None


@pytest.mark.parametrize("place", [520, 1024 + 40])
@pytest.mark.usefixtures("_sandbox")
def test_a_broken_table_is_refused(place: int) -> None:
    data = bytearray(disk_with_gpt()[:HEAD])
    data[place] ^= 0xFF
    with pytest.raises(Refused) as refused:
        moved_backup(bytes(data), GROWN)
    assert isinstance(refused.value.refusal, Mismatched)
    assert "partition table is broken" in str(refused.value.refusal)
