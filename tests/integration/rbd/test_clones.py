"""Clones in a real Ceph, and how they are verified."""

import json
from dataclasses import replace

import pytest
from returns.result import Success
from tests.integration.rbd.pool import MEBIBYTE, handler_of, new_name, reason_of, recorded, write_at
from tests.integration.services.ceph import Ceph
from tests.integration.services.fixtures import StartCeph
from tests.rigs.rbd import Pool

from lading import Image, Location, Mismatched, TargetFailed, Work
from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.file.destination import Rules
from lading.ports.form import Form
from lading.sdk.contracts import DATA, IMAGE

# Clones.


def test_a_clone_shares_its_parents_blocks_and_is_unverified(ceph: Ceph, clone_work: Work) -> None:
    landing = handler_of(ceph).fetch(clone_work).unwrap()
    assert (landing.method, landing.size, landing.verified, landing.digest) == ("clone", len(DATA), False, None)
    where = clone_work.target.removeprefix("rbd:")
    known = json.loads(ceph.rbd("info", where, "--format", "json"))
    assert known["id"] == landing.identity
    assert f"{known['parent']['pool']}/{known['parent']['image']}" in str(clone_work.location)
    used = json.loads(ceph.rbd("du", where, "--format", "json"))["images"][0]
    assert used["used_size"] == 0


def test_a_clone_has_the_wished_size_but_not_less_than_its_image(ceph: Ceph, clone_work: Work) -> None:
    smaller = handler_of(ceph).fetch(replace(clone_work, form=Form(size=len(DATA) - 1)))
    assert f"has {exact_size(len(DATA))}, more than the {exact_size(len(DATA) - 1)}" in reason_of(smaller)
    landing = handler_of(ceph).fetch(replace(clone_work, form=Form(size=1 << 30))).unwrap()
    assert landing.size == 1 << 30
    assert json.loads(ceph.rbd("info", clone_work.target.removeprefix("rbd:"), "--format", "json"))["size"] == 1 << 30


def test_a_clone_of_another_size_occupies_the_target(ceph: Ceph, clone_work: Work) -> None:
    there = recorded(handler_of(ceph), clone_work)
    assert "remove it first" in reason_of(handler_of(ceph).fetch(replace(there, form=Form(size=1 << 30))))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (replace(IMAGE, disk_format="qcow2"), "the image is qcow2 in bare"),
        (replace(IMAGE, disk_format=None), "the image is unknown in bare"),
        (replace(IMAGE, container_format="ova"), "the image is raw in ova"),
        (replace(IMAGE, size=5), f"size mismatch: expected 5 bytes, found {exact_size(len(DATA))}"),
    ],
)
def test_only_a_raw_image_of_the_promised_size_is_cloned(
    ceph: Ceph, pool: Pool, clone_work: Work, image: Image, told: str
) -> None:
    work = replace(clone_work, image=image)
    assert told in reason_of(handler_of(ceph).fetch(work))
    assert told in reason_of(handler_of(ceph).preview(work))
    assert pool.names() == []


def test_an_image_that_is_raw_in_name_only_is_not_cloned(ceph: Ceph, pool: Pool) -> None:
    location = ceph.put(b"QFI\xfb" + bytes([0, 0, 0, 3]) + bytes(MEBIBYTE), "images", new_name())
    image = Image("id", disk_format="raw")
    refused = handler_of(ceph).fetch(Work(pool.target("1"), image, Location(location))).failure()
    assert isinstance(refused, Mismatched)
    assert pool.names() == []


def test_nothing_is_cloned_where_verification_is_required(ceph: Ceph, clone_work: Work) -> None:
    strict = handler_of(ceph, rules=Rules(allow_unverified=False))
    assert "allow_unverified" in reason_of(strict.fetch(clone_work))


def test_an_image_that_is_too_large_is_not_cloned(ceph: Ceph, clone_work: Work, pool: Pool) -> None:
    limited = handler_of(ceph, rules=Rules(max_size=len(DATA) - 1))
    for refused in (limited.preview(clone_work).failure(), limited.fetch(clone_work).failure()):
        assert isinstance(refused, Mismatched)
        assert "[landing] max_size" in str(refused)
    assert pool.names() == []


def test_an_unprotected_snapshot_is_cloned_by_clone_v2_only(
    start_ceph: StartCeph,
) -> None:
    ceph = start_ceph()
    location = ceph.put(DATA, "images", "noble", protect=False)
    ceph.rbd("namespace", "create", "vms/blue")
    apart = Work("rbd:vms/blue/2", IMAGE, Location(ceph.put(DATA, "images", "other")))
    work = Work("rbd:vms/1", IMAGE, Location(location))
    assert "images/noble@snap is not protected" in reason_of(handler_of(ceph).fetch(work))
    assert "images/noble@snap is not protected" in reason_of(handler_of(ceph).preview(work))
    assert "another namespace" in reason_of(handler_of(ceph).fetch(apart))
    assert ceph.images("vms") == []
    ceph.ceph("osd", "set-require-min-compat-client", "mimic")
    assert isinstance(handler_of(ceph).preview(work), Success)
    assert handler_of(ceph).fetch(work).unwrap().method == "clone"
    assert handler_of(ceph).fetch(apart).unwrap().method == "clone"
    assert (ceph.get("vms", "1"), ceph.get("vms/blue", "2")) == (DATA, DATA)


def test_a_target_in_a_missing_pool_is_refused(ceph: Ceph, rbd_location: str) -> None:
    refused = handler_of(ceph).fetch(Work("rbd:nowhere/1", IMAGE, Location(rbd_location))).failure()
    assert refused == TargetFailed("there is no pool nowhere")


@pytest.mark.parametrize(
    "target",
    [
        "rbd:",
        "rbd:vms",
        "rbd:vms/",
        "rbd:/1",
        "rbd:vms//1",
        "rbd:a/b/c/d",
        "rbd:vms/1@s",
        "rbd:vms/\udcff",
        "rbd:v\0/1",
    ],
)
def test_a_malformed_target_is_refused_with_the_expected_form(ceph: Ceph, rbd_location: str, target: str) -> None:
    assert "expected rbd:POOL/IMAGE" in reason_of(handler_of(ceph).fetch(Work(target, IMAGE, Location(rbd_location))))


# Verifying.


def test_verification_of_a_clone_finds_what_a_guest_wrote(ceph: Ceph, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), replace(clone_work, form=Form(size=1 << 30)))
    found = handler_of(ceph).verify(work).unwrap()
    assert (found.verified, found.digest, found.size) == (True, IMAGE.digest, 1 << 30)
    write_at(ceph, clone_work.target.removeprefix("rbd:"), {0: b"x" * 4096})
    assert "digest mismatch" in reason_of(handler_of(ceph).verify(work))


def test_a_clone_without_a_digest_is_found_unverified(ceph: Ceph, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), replace(clone_work, image=Image("snapshot", size=0, disk_format="raw")))
    assert handler_of(ceph).verify(work).unwrap().digest is None
