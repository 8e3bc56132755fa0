"""A part of a disk is copied into an image: exactly that part, over whatever was there."""

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


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk, streamOptimized", "vhd, fixed"])
@pytest.mark.usefixtures("_sandbox")
def test_the_head_of_a_disk_is_read(kind: str, tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, kind, tmp_path)), IMAGES[kind][0])
    assert head_of(disk) == DISK[:HEAD]


def test_a_target_smaller_than_the_window_is_refused(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "small").write_bytes(DIRT[: 2 * MIB])
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    with pytest.raises(Refused):
        copy_window(disk, Disk(opened(tmp_path / "small"), "raw", 2 * MIB), HEAD, disk.size, print)
    assert (tmp_path / "small").read_bytes() == DIRT[: 2 * MIB]


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
