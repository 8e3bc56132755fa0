"""Packed and converted images that are refused, on full disks too: the reason is said, and nothing is left."""

import bz2
import gzip
import lzma
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.images import MIB
from tests.images import qcow2 as small_qcow2
from tests.integration.chain.host import ChainHost, Images, sha256
from tests.integration.test_full_disk import fill
from tests.packages import needs
from tests.packed import tar_of

from lading.adapters.codec.sizes import exact_size

TEXT: Final = b"no zeros, and packed it is small" * (6 * MIB // 32)
"""6 MiB."""
BOMB: Final = bz2.compress(bytes(10 * MIB)) * 30


@pytest.fixture(params=["file", "http"])
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small_host(quick_folder: Path, small_disk: Path, forks: Sequence[Forks], faulty_server: FaultyServer) -> ChainHost:
    """A host whose targets are on a disk of 8 MiB."""
    needs("qemu-img")
    return ChainHost(quick_folder, forks[0], faulty_server, small_disk)


# What was shipped is not what was promised.


def test_a_wrong_digest_of_what_was_shipped_is_refused(chain_host: ChainHost, order: str) -> None:
    chain_host.add("noble", gzip.compress(TEXT), os_hash_value="0" * 64)
    assert "digest mismatch" in chain_host.refused("noble", "--format", "qcow2", order=order)
    chain_host.assert_nothing()


def test_a_wrong_digest_of_the_content_is_refused(chain_host: ChainHost, order: str) -> None:
    chain_host.add("noble", gzip.compress(TEXT), content_hash_algo="sha256", content_hash_value="0" * 64)
    said = chain_host.refused("noble", "--format", "qcow2", order=order)
    assert f"found sha256:{sha256(TEXT)[:12]}…" in said
    chain_host.assert_nothing()


def test_a_wrong_digest_of_the_content_of_an_image_that_is_not_packed_is_refused(
    chain_host: ChainHost, order: str
) -> None:
    none: dict[str, object] = {"os_hash_algo": None, "os_hash_value": None}
    chain_host.add("noble", TEXT, content_hash_algo="sha256", content_hash_value="0" * 64, **none)
    assert "digest mismatch" in chain_host.refused("noble", "--format", "qcow2", order=order)
    chain_host.assert_nothing()


def test_a_wrong_size_of_the_content_is_refused(chain_host: ChainHost, order: str) -> None:
    chain_host.add("noble", gzip.compress(TEXT), content_size=len(TEXT) + 1)
    told = f"expected {exact_size(len(TEXT) + 1)}, found {exact_size(len(TEXT))}"
    assert told in chain_host.refused("noble", order=order)


@pytest.mark.parametrize(
    ("shipped", "reason"),
    [
        (gzip.compress(TEXT)[:-9], "incomplete"),
        (lzma.compress(TEXT)[:-30], "incomplete"),
        (bz2.compress(TEXT)[:100], "incomplete"),
        (gzip.compress(TEXT) + b"garbage", "other bytes follow"),
        (lzma.compress(TEXT) + b"garbage", "other bytes follow"),
        (gzip.compress(TEXT)[:-8] + b"\0" * 8, "damaged"),
        (gzip.compress(small_qcow2(backing=b"/etc/passwd", backing_offset=512)), "unsafe"),
        (gzip.compress(b"<?xml ?>" + bytes(10_000)), "not a disk image"),
    ],
)
def test_a_damaged_stream_is_refused(chain_host: ChainHost, order: str, shipped: bytes, reason: str) -> None:
    chain_host.add("noble", shipped)
    assert reason in chain_host.refused("noble", order=order)
    chain_host.assert_nothing()


@pytest.mark.parametrize("setting", ["MAX_UNPACKED", "MAX_SIZE"])
def test_a_bomb_is_refused(chain_host: ChainHost, order: str, setting: str) -> None:
    chain_host.add("noble", BOMB)
    chain_host.settings[f"LADING_LANDING__{setting}"] = str(64 * MIB)
    said = chain_host.refused("noble", order=order)
    assert "expected at most 64 MiB, found more" in said
    chain_host.assert_nothing()


@pytest.mark.parametrize("packing", ["", "xz"])
def test_a_disk_larger_than_allowed_is_refused(chain_host: ChainHost, images: Images, order: str, packing: str) -> None:
    chain_host.add("noble", images.packed("qcow2", packing))
    chain_host.settings["LADING_LANDING__MAX_UNPACKED"] = str(3 * MIB)
    assert "found 4 MiB" in chain_host.refused("noble", "--format", "raw", order=order)
    chain_host.settings["LADING_LANDING__MAX_UNPACKED"] = str(5 * MIB)
    said = chain_host.refused("noble", "--format", "raw", "--size", str(8 * MIB), order=order)
    assert "found 8 MiB" in said
    chain_host.assert_nothing()


def test_a_disk_is_not_made_smaller_than_qemu_sees_it(chain_host: ChainHost, order: str) -> None:
    """A VHD's header tells 20,000,000 bytes; QEMU goes by its geometry: 20,019,200."""
    disk, image = chain_host.top / "disk", chain_host.top / "image"
    disk.write_bytes(TEXT + bytes(20_000_000 - len(TEXT)))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", disk, image], check=True)
    chain_host.add("noble", image.read_bytes(), disk_format="vhd")
    said = chain_host.refused("noble", "--format", "raw", "--size", "20000256", order=order)
    assert "its disk has 19.1 MiB (20019200 bytes), more than the 19.1 MiB (20000256 bytes) requested" in said
    assert chain_host.fetch("noble", "--format", "raw", "--size", "20019200", order=order)["size"] == 20019200


def test_a_disk_of_half_a_sector_grows_to_whole_ones(chain_host: ChainHost, order: str) -> None:
    data = random.Random(3).randbytes(MIB + 100)
    chain_host.add("noble", data, disk_format="raw")
    assert "whole sectors" in chain_host.refused("noble", "--size", str(2 * MIB + 100), order=order)
    assert chain_host.fetch("noble", "--format", "qcow2", order=order)["virtual_size"] == MIB + 512
    chain_host.fetch("noble", "--size", str(2 * MIB), "--force", order=order)
    assert chain_host.target.read_bytes() == data + bytes(MIB - 100)
    assert "has no GPT" in chain_host.refused("noble", "--fix-gpt", "--force", order=order)
    chain_host.assert_whole()


def test_without_inspection_only_the_images_own_form_can_be_had(chain_host: ChainHost, order: str) -> None:
    chain_host.add("noble", TEXT)
    chain_host.settings["LADING_LANDING__INSPECT"] = "false"
    assert "its format is not inspected" in chain_host.refused("noble", "--format", "raw", order=order)
    assert chain_host.asked("noble") == []
    assert chain_host.run("explain", "noble", str(chain_host.target), "--format", "raw", order=order).returncode == 4
    chain_host.fetch("noble", order=order)


def test_of_several_disks_in_an_archive_one_is_chosen_by_name(chain_host: ChainHost, order: str) -> None:
    disks = {"a.raw": TEXT[:MIB], "b.raw": TEXT[: 2 * MIB]}
    chain_host.add("noble", gzip.compress(tar_of(*disks.items())))
    said = chain_host.refused("noble", order=order)
    assert "a.raw" in said
    assert "b.raw" in said
    assert "c.raw" in chain_host.refused("noble", "--member", "c.raw", order=order)
    for name, content in disks.items():
        target = chain_host.vms / name
        # The first is no copy of the second.
        assert chain_host.fetch("noble", "--member", name, order=order, target=target)["copied_from"] is None
        assert target.read_bytes() == content
    chain_host.assert_whole(names=list(disks))


# A full disk.


@pytest.mark.parametrize(("order", "checks"), [("http", "true"), ("file", "false")], ids=["known before", "on the way"])
@pytest.mark.parametrize(
    ("kind", "packing", "options", "room"),
    [
        ("raw", "gz", "", 3),
        ("raw", "zip", "", 3),
        ("qcow2", "", "--format raw", 3),
        ("qcow2", "gz", "--format qcow2 --preallocation falloc", 3),
        ("raw", "", "--format raw --preallocation full", 5),
        ("qcow2", "gz", f"--format raw --preallocation falloc --size {64 * MIB}", 7),
        ("qcow2", "gz", f"--preallocation metadata --size {1 << 40}", 7),
    ],
)
def test_a_disk_that_gets_full_is_refused_and_it_works_when_there_is_room(
    small_host: ChainHost, order: str, checks: str, kind: str, packing: str, options: str, room: int
) -> None:
    disk, image = small_host.top / "disk", small_host.top / "image"
    disk.write_bytes(TEXT)
    if kind == "qcow2":
        subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    shipped = image.read_bytes() if kind == "qcow2" else TEXT
    if packing == "zip":
        needs("zip")
        subprocess.run(["zip", "-q", "x.zip", "disk"], cwd=small_host.top, check=True)
        shipped = (small_host.top / "x.zip").read_bytes()
    elif packing:
        shipped = gzip.compress(shipped)
    small_host.add("noble", shipped)
    small_host.settings["LADING_LANDING__REQUIRE_SPACE"] = checks
    filler = fill(small_host.vms, but=room * MIB)
    for _ in range(2):  # what the first left would be in the second's way
        said = small_host.refused("noble", *options.split(), order=order)
        assert "No space left on device" in said or (checks == "true" and "free on the disk of" in said)
    filler.unlink()
    small_host.assert_nothing()
    if "size" not in options and "full" not in options:
        small_host.fetch("noble", *options.split(), order=order)
        small_host.assert_whole()


@pytest.mark.parametrize("order", ["http", "file"])
@pytest.mark.parametrize(
    ("kind", "packing", "options", "room"),
    [
        ("raw", "", "--format raw --preallocation full", 5),
        ("raw", "", f"--format raw --preallocation falloc --size {64 * MIB}", 7),
        ("raw", "gz", f"--format raw --preallocation full --size {64 * MIB}", 7),
        ("qcow2", "", f"--format raw --preallocation falloc --size {64 * MIB}", 7),
        ("qcow2", "gz", f"--format qcow2 --preallocation full --size {64 * MIB}", 7),
        ("raw", "gz", "", 3),
    ],
)
def test_a_preview_ends_as_the_fetch_where_space_is_lacking(
    small_host: ChainHost, order: str, kind: str, packing: str, options: str, room: int
) -> None:
    disk, image = small_host.top / "disk", small_host.top / "image"
    disk.write_bytes(TEXT)
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    shipped = image.read_bytes() if kind == "qcow2" else TEXT
    small_host.add("noble", gzip.compress(shipped) if packing else shipped, content_size=len(shipped))
    filler = fill(small_host.vms, but=room * MIB)
    said = small_host.refused("noble", *options.split(), order=order)
    assert "free on the disk of" in said
    # Allocated zeros take space, whatever the setting.
    assert ("[landing] require_space = false" in said) == ("--preallocation" not in options)
    explained = small_host.run("explain", "noble", str(small_host.target), *options.split(), order=order)
    assert explained.returncode == 11
    assert "too little free space" in explained.stdout
    filler.unlink()


@pytest.mark.parametrize(("data", "code"), [(TEXT[: 2 * MIB], 0), (TEXT, 11)], ids=["fits", "too large"])
@pytest.mark.parametrize(("shipped", "wanted"), [("raw", "qcow2"), ("qcow2", "raw")])
def test_a_preview_of_a_conversion_counts_the_data_of_a_file(
    small_host: ChainHost, data: bytes, code: int, shipped: str, wanted: str
) -> None:
    """A file of this host is converted where it is: the disk's data needs space, neither its holes nor the file."""
    disk, image = small_host.top / "disk", small_host.top / "images" / "noble"
    disk.write_bytes(data)
    os.truncate(disk, 64 * MIB)
    packed = ["-c"] if shipped == "qcow2" else []
    small_host.add("noble", b"", size=None, os_hash_algo=None, os_hash_value=None)
    subprocess.run(["qemu-img", "convert", *packed, "-f", "raw", "-O", shipped, disk, image], check=True)
    fill(small_host.vms, but=4 * MIB)
    for command in ("explain", "fetch"):
        done = small_host.run(command, "noble", str(small_host.target), "--format", wanted)
        assert done.returncode == code, (done.stdout, done.stderr)
