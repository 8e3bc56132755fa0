"""Every format and subformat that can be converted becomes raw and qcow2 with the same content."""

import os
from pathlib import Path

import pytest
from tests.integration.conversion.conftest import Opened
from tests.integration.conversion.disks import DISK, IMAGES, disk_with_gpt, image_of, plain
from tests.packages import needs

from lading.adapters.formats.conversion.qemu import convert, converted_by, head_of, open_disk
from lading.adapters.formats.inspection import Inspection
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, Unsupported


@pytest.fixture(autouse=True)
def _needs_qemu() -> None:
    needs("qemu-img")


@pytest.mark.parametrize("to", ["raw", "qcow2"])
@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.usefixtures("_sandbox")
def test_the_content_stays_the_same(kind: str, to: str, tmp_path: Path, opened: Opened) -> None:
    image, target, reached = image_of(DISK, kind, tmp_path), tmp_path / "target", list[int]()
    disk = open_disk(opened(image), IMAGES[kind][0])
    made = convert(disk, opened(target), to, reached.append)
    assert (disk.size, made.size, made.format) == (len(DISK), len(DISK), to)
    assert plain(target, to) == DISK
    assert reached[-1] == len(DISK)
    assert target.stat().st_blocks * 512 < len(DISK) / 2, "zeros are holes"


@pytest.mark.parametrize("kind", IMAGES)
def test_an_inspection_tells_the_size_of_the_disk(kind: str, tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, kind, tmp_path)
    inspection = Inspection(footer=True)
    inspection.feed(image.read_bytes())
    assert inspection.virtual_size(image.stat().st_size) == open_disk(opened(image), IMAGES[kind][0]).size == len(DISK)


def test_a_partitioned_disk_has_its_files_size(tmp_path: Path, opened: Opened) -> None:
    data = disk_with_gpt()
    (tmp_path / "image").write_bytes(data)
    inspection = Inspection()
    inspection.feed(data)
    assert inspection.formats() == {"gpt"}
    assert inspection.virtual_size(len(data)) == open_disk(opened(tmp_path / "image"), "gpt").size == len(data)


def test_a_disk_has_whole_sectors(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "image").write_bytes(DISK[:1_000_001])
    disk = open_disk(opened(tmp_path / "image"), "raw")
    convert(disk, opened(tmp_path / "target"), "raw", print)
    assert (tmp_path / "target").read_bytes() == DISK[:1_000_001].ljust(disk.size, b"\0")
    assert disk.size == 1_000_448


@pytest.mark.parametrize("kind", IMAGES)
def test_the_head_is_the_first_mebibyte(kind: str, tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, kind, tmp_path)), IMAGES[kind][0])
    assert head_of(disk) == DISK[: 1 << 20]


def test_the_head_of_a_small_disk_is_all_of_it(tmp_path: Path, opened: Opened) -> None:
    assert head_of(open_disk(opened(image_of(DISK[:4096], "qcow2", tmp_path)), "qcow2")) == DISK[:4096]


@pytest.mark.parametrize(
    ("to", "preallocation"),
    [("raw", "falloc"), ("raw", "full"), ("qcow2", "metadata"), ("qcow2", "falloc"), ("qcow2", "full")],
)
def test_preallocation_keeps_the_content(to: str, preallocation: str, tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    convert(disk, opened(tmp_path / "target"), to, print, preallocation=preallocation)
    assert plain(tmp_path / "target", to) == DISK
    if preallocation != "metadata":
        assert (tmp_path / "target").stat().st_blocks * 512 >= len(DISK)


def test_raw_has_no_metadata_to_allocate(tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    with pytest.raises(Refused) as refused:
        convert(disk, opened(tmp_path / "target"), "raw", print, preallocation="metadata")
    assert refused.value.refusal == Unsupported("raw has no preallocation metadata, only off, falloc, full")


def test_vmdk_cannot_be_made(tmp_path: Path, opened: Opened) -> None:
    disk = open_disk(opened(image_of(DISK, "qcow2", tmp_path)), "qcow2")
    with pytest.raises(Refused) as refused:
        convert(disk, opened(tmp_path / "target"), "vmdk", print)
    assert refused.value.refusal == Unsupported("no image can be converted to vmdk, only to raw or qcow2")


def test_luks_cannot_be_converted(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(Refused) as refused:
        open_disk(opened(tmp_path / "image"), "luks")
    assert isinstance(refused.value.refusal, Unsupported)
    assert "format luks cannot be converted, only gpt, iso, qcow2, raw" in str(refused.value.refusal)


@pytest.mark.parametrize("kind", ["qcow2", "qcow2, compressed", "vmdk, streamOptimized", "vhd, dynamic", "vhdx"])
@pytest.mark.usefixtures("_sandbox")
def test_an_image_that_is_cut_short_is_refused(kind: str, tmp_path: Path, opened: Opened) -> None:
    image = image_of(DISK, kind, tmp_path)
    os.truncate(image, image.stat().st_size // 2)
    with pytest.raises(Refused) as refused:
        convert(open_disk(opened(image), IMAGES[kind][0]), opened(tmp_path / "target"), "raw", print)
    assert isinstance(refused.value.refusal, Mismatched)
    assert "/dev/fd" not in str(refused.value.refusal)


def test_an_image_of_another_format_is_named_in_the_refusal(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(Refused) as refused:
        open_disk(opened(image_of(DISK, "vdi", tmp_path)), "qcow2")
    assert refused.value.refusal == Mismatched(
        "qemu-img failed: Could not open the image: Image is not in qcow2 format"
    )


def test_the_tool_is_recorded_with_its_version() -> None:
    converted_by.cache_clear()
    assert converted_by().startswith("qemu-img ")
    assert converted_by().split()[1][0].isdigit()
