"""Which images have their disks elsewhere, and where."""

import json

import pytest

from lading import Image
from lading.domain.volume_backed import disks_elsewhere

BOOT = {
    "boot_index": 0, "source_type": "snapshot", "destination_type": "volume", "snapshot_id": "8f", "volume_size": 10,
    "volume_id": None, "image_id": None, "no_device": None,
}  # fmt: skip
"""As Nova 30 writes it."""
DATA = {**BOOT, "boot_index": None, "snapshot_id": "9a"}


def volume_backed(mapping: object, size: int | None = 0) -> Image:
    return Image("1", size=size, properties={"block_device_mapping": mapping, "bdm_v2": "True"})


@pytest.mark.parametrize("size", [0, None])
@pytest.mark.parametrize("mapping", [[DATA, BOOT], json.dumps([DATA, BOOT])])
def test_the_volume_snapshots_are_named_the_boot_disk_first(mapping: object, size: int | None) -> None:
    assert disks_elsewhere(volume_backed(mapping, size)) == ("volume snapshot 8f", "volume snapshot 9a")


def test_an_image_with_data_has_its_disk() -> None:
    assert disks_elsewhere(volume_backed([BOOT], 10)) is None


@pytest.mark.parametrize("mapping", [None, "", "[]", [], [{**BOOT, "no_device": True}]])
def test_an_image_of_no_bytes_without_a_mapping_is_just_that(mapping: object) -> None:
    assert disks_elsewhere(volume_backed(mapping)) is None
    assert disks_elsewhere(Image("1", size=0)) is None


@pytest.mark.parametrize(
    ("device", "place"),
    [
        ({"source_type": "volume", "volume_id": "7c"}, ("volume 7c",)),
        ({"source_type": "image", "image_id": "6d"}, ("image 6d",)),
        ({"source_type": "blank"}, ()),
        ({"snapshot_id": 5}, ()),
    ],
)
def test_a_disk_may_be_made_of_something_else(device: object, place: tuple[str, ...]) -> None:
    assert disks_elsewhere(volume_backed([device])) == place


@pytest.mark.parametrize("mapping", ["no JSON", "5", '"text"', "{}", 5, "[" * 100_000])
def test_a_mapping_that_cannot_be_read_is_one_all_the_same(mapping: object) -> None:
    assert disks_elsewhere(volume_backed(mapping)) == ()
