"""Exports of a real Ceph's images to files."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.integration.rbd.pool import MEBIBYTE, handler_of, image_of, new_name, reason_of, write_at
from tests.integration.services.ceph import Ceph
from tests.rigs.rbd import Pool
from tests.rigs.rig import Folder

from lading import Image, Location, Mismatched, Work
from lading.adapters.destinations.rules import Rules
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.form import Form
from lading.ports.observer import NullObserver
from lading.sdk.contracts import DATA, IMAGE

OTHER_FSID = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("features", ["layering,exclusive-lock,object-map,fast-diff", "layering"])
def test_only_allocated_bytes_are_written_and_the_rest_is_a_hole(ceph: Ceph, folder: Folder, features: str) -> None:
    """With a map of the image's objects, and without."""
    name = new_name()
    ceph.rbd("create", "--size", "256M", "--image-feature", features, f"images/{name}")
    data = os.urandom(MEBIBYTE)
    write_at(ceph, f"images/{name}", {5 * MEBIBYTE + 4096: data, 200 * MEBIBYTE: data})
    location = ceph.snap("images", name, "snap")
    whole = bytearray(256 * MEBIBYTE)
    for offset in (5 * MEBIBYTE + 4096, 200 * MEBIBYTE):
        whole[offset : offset + MEBIBYTE] = data
    work = Work(folder.target("1"), image_of(bytes(whole)), Location(location))
    landing = handler_of(ceph).fetch(work).unwrap()
    assert (landing.size, landing.verified, landing.method) == (256 * MEBIBYTE, True, "export")
    assert os.stat(work.target).st_blocks * 512 <= 3 * MEBIBYTE
    assert Path(work.target).read_bytes() == bytes(whole)


def test_a_disk_needs_space_for_the_allocated_bytes_only(ceph: Ceph, small_disk: Path) -> None:
    thin, thick = new_name(), new_name()
    for name, amount in ((thin, 1), (thick, 9)):
        ceph.rbd("create", "--size", "1G", f"images/{name}")
        write_at(ceph, f"images/{name}", {number << 22: b"x" for number in range(amount)})
    image = Image("id", size=1 << 30, disk_format="raw")
    work = Work(str(small_disk / "1"), image, Location(ceph.snap("images", thick, "snap")))
    assert "needs 36.0 MiB" in reason_of(handler_of(ceph).fetch(work))
    work = replace(work, location=Location(ceph.snap("images", thin, "snap")))
    assert handler_of(ceph).fetch(work).unwrap().size == 1 << 30


def test_an_export_of_a_clone_has_the_bytes_of_its_parent(ceph: Ceph, folder: Folder) -> None:
    parent, child = new_name(), new_name()
    data = bytearray(os.urandom(9 * MEBIBYTE))
    ceph.put(bytes(data), "images", parent)
    ceph.rbd("clone", f"images/{parent}@snap", f"images/{child}")
    changed = os.urandom(8192)
    write_at(ceph, f"images/{child}", {4 * MEBIBYTE + 4096: changed})
    data[4 * MEBIBYTE + 4096 : 4 * MEBIBYTE + 4096 + 8192] = changed
    location = ceph.snap("images", child, "snap")
    landing = handler_of(ceph).fetch(Work(folder.target("1"), image_of(bytes(data)), Location(location))).unwrap()
    assert landing.verified
    assert folder.content("1") == bytes(data)


def test_a_snapshot_without_size_and_digest_is_fetched_unverified(
    ceph: Ceph, folder: Folder, rbd_location: str
) -> None:
    image = Image("snapshot", size=0, disk_format="raw")
    landing = handler_of(ceph).fetch(Work(folder.target("1"), image, Location(rbd_location))).unwrap()
    assert (landing.size, landing.verified) == (len(DATA), False)
    assert folder.content("1") == DATA


def test_wrong_bytes_are_refused_and_leave_nothing(ceph: Ceph, folder: Folder) -> None:
    location = ceph.put(b"\1" * len(DATA), "images", new_name())
    refused = handler_of(ceph).fetch(Work(folder.target("1"), IMAGE, Location(location))).failure()
    assert isinstance(refused, Mismatched)
    assert folder.names() == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rbd://noble", "neither a cluster nor a snapshot"),
        ("rbd://a/b/c", "no snapshot in a pool"),
        ("rbd://a/b/c/", "no snapshot in a pool"),
        ("rbd://a/b/c%00/d", "no snapshot in a pool"),
        (f"rbd://{OTHER_FSID}/images/noble/snap", f"in the cluster {OTHER_FSID}"),
        ("rbd://{fsid}/nowhere/noble/snap", "there is no pool nowhere"),
        ("rbd://{fsid}/images/nobody/snap", "there is no snapshot snap of an image images/nobody"),
    ],
)
def test_a_refusal_says_which_part_of_a_location_is_missing(
    ceph: Ceph, folder: Folder, pool: Pool, url: str, told: str
) -> None:
    for target in (folder.target("1"), pool.target("1")):
        work = Work(target, IMAGE, Location(url.format(fsid=ceph.fsid)))
        assert told in reason_of(handler_of(ceph).fetch(work))
        assert told in reason_of(handler_of(ceph).preview(work))
    assert folder.names() == pool.names() == []


def test_an_exported_image_grows(ceph: Ceph, folder: Folder, rbd_location: str) -> None:
    work = Work(folder.target("1"), IMAGE, Location(rbd_location), form=Form(size=16 << 20))
    landing = handler_of(ceph).fetch(work).unwrap()
    assert (landing.size, landing.verified) == (16 << 20, True)
    assert Path(work.target).read_bytes() == DATA.ljust(16 << 20, b"\0")


def test_a_snapshot_removed_while_it_is_read_leaves_nothing_whole(ceph: Ceph, folder: Folder) -> None:
    name, data = new_name(), os.urandom(200 * MEBIBYTE)
    location = ceph.put(data, "images", name, protect=False)

    class Removing(NullObserver):
        done = False

        def progress(self, done: int, total: int | None) -> None:
            if not self.done:
                self.done = True
                ceph.rbd("snap", "rm", "--no-progress", f"images/{name}@snap")

    work = Work(folder.target("1"), image_of(data), Location(location), observer=Removing())
    outcome = handler_of(ceph).fetch(work)
    if isinstance(outcome, Success):
        # Ceph had not released its blocks yet: then it is whole.
        assert folder.content("1") == bytes(data)
    else:
        assert folder.names() == []


def test_a_snapshot_that_was_verified_is_known_in_exports_and_clones(
    ceph: Ceph, folder: Folder, pool: Pool, rbd_location: str
) -> None:
    verified = MemoryVerifiedFiles()
    handler = handler_of(ceph, rules=Rules(allow_unverified=False), verified=verified)
    clone = Work(pool.target("1"), IMAGE, Location(rbd_location))
    assert "allow_unverified" in reason_of(handler.fetch(clone))
    assert handler.fetch(replace(clone, target=folder.target("1"))).unwrap().verified
    # An image with another digest is refused without a byte read, and this one is not hashed again.
    expected = IMAGE.expected_digest
    assert expected is not None
    wrong = replace(IMAGE, digest=replace(expected, value="0" * len(expected.value)))
    assert "digest mismatch" in reason_of(handler.fetch(replace(clone, target=folder.target("2"), image=wrong)))
    landing = handler.fetch(clone).unwrap()
    assert (landing.digest, landing.verified) == (IMAGE.digest, True)
    assert handler.fetch(replace(clone, target=folder.target("2"), reverify=True)).unwrap().verified
