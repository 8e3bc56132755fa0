"""A part of a disk is copied into a device or an image: exactly that part, over whatever was there."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.images import MIB
from tests.integration.conversion.conftest import Opened
from tests.integration.conversion.disks import DISK, IMAGES, image_of, plain
from tests.packages import needs

from lading.adapters.formats.conversion.qemu import HEAD, Disk, copy_window, head_of, open_disk
from lading.adapters.stream.errors import Refused

DIRT = random.Random(7).randbytes(6 * MIB)


@pytest.fixture(autouse=True)
def _needs_qemu() -> None:
    needs("qemu-img")


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk, streamOptimized", "vhd, fixed"])
@pytest.mark.usefixtures("_sandbox")
def test_a_device_gets_all_but_the_head(
    kind: str, sector: int, tmp_path: Path, opened: Opened, loop_device: Callable[[bytes, int], str]
) -> None:
    device = Path(loop_device(DIRT, sector))
    disk, target = open_disk(opened(image_of(DISK, kind, tmp_path)), IMAGES[kind][0]), opened(device)
    reached: list[int] = []
    copy_window(disk, Disk(target, "raw", len(DIRT)), HEAD, disk.size, reached.append)
    expected = DIRT[:HEAD] + DISK[HEAD:] + DIRT[len(DISK) :]
    assert device.read_bytes() == expected
    assert reached[-1] == len(DISK) - HEAD
    assert head_of(disk) + expected[HEAD : len(DISK)] == DISK


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_disk_need_not_end_with_a_devices_sector(
    sector: int, tmp_path: Path, opened: Opened, loop_device: Callable[[bytes, int], str]
) -> None:
    data = DISK[: 2 * MIB + 5 * 512]
    device = Path(loop_device(DIRT, sector))
    disk, target = open_disk(opened(image_of(data, "qcow2", tmp_path)), "qcow2"), opened(device)
    copy_window(disk, Disk(target, "raw", len(DIRT)), HEAD, disk.size, print)
    assert device.read_bytes() == DIRT[:HEAD] + data[HEAD:] + DIRT[len(data) :]


def test_a_device_that_is_zero_gets_only_the_data(
    tmp_path: Path, opened: Opened, loop_device: Callable[[bytes, int], str]
) -> None:
    device = Path(loop_device(bytes(6 * MIB), 512))
    disk, target = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2"), opened(device)
    copy_window(disk, Disk(target, "raw", 6 * MIB), HEAD, disk.size, print, is_zeroed=True)
    assert device.read_bytes() == bytes(HEAD) + DISK[HEAD:] + bytes(2 * MIB)


def test_a_device_smaller_than_the_disk_is_refused(
    tmp_path: Path, opened: Opened, loop_device: Callable[[bytes, int], str]
) -> None:
    device = Path(loop_device(DIRT[: 2 * MIB], 512))
    disk, target = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2"), opened(device)
    with pytest.raises(Refused):
        copy_window(disk, Disk(target, "raw", 2 * MIB), HEAD, disk.size, print)
    assert device.read_bytes() == DIRT[: 2 * MIB]


@pytest.mark.usefixtures("_sandbox")
def test_an_image_gets_a_part_of_a_disk(tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, "qcow2", tmp_path)
    (tmp_path / "other").write_bytes(DIRT[: len(DISK)])
    other = open_disk(opened(tmp_path / "other"), "raw")
    copy_window(other, open_disk(opened(image), "qcow2"), 512, 3 * 512, print)
    assert plain(image, "qcow2") == DISK[:512] + DIRT[512 : 3 * 512] + DISK[3 * 512 :]


def test_an_empty_window_starts_no_tool(tmp_path: Path, opened: Opened, fake_qemu: Callable[[str], None]) -> None:
    fake_qemu("exit 1")
    disk = Disk(opened(tmp_path / "image"), "raw", MIB)
    copy_window(disk, disk, MIB, MIB, print)


def test_the_head_of_a_device_is_read(opened: Opened, loop_device: Callable[[bytes, int], str]) -> None:
    device = Path(loop_device(DIRT, 512))
    assert head_of(Disk(opened(device), "raw", len(DIRT))) == DIRT[:HEAD]
    assert device.read_bytes() == DIRT
