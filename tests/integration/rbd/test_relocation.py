"""Clones in a real Ceph are removed and moved."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from returns.result import Success
from tests.integration.rbd.pool import handler_of, new_name, reason_of, recorded, write_at
from tests.integration.services.ceph import Ceph
from tests.rigs.rbd import Pool

from lading import Mismatched, State, TargetOccupied, Work
from lading.sdk.contracts import DATA


@pytest.fixture
def opened() -> Iterator[Callable[[Ceph, str], None]]:
    """Opens an image to write, as a guest's QEMU does, until the test ends."""
    import rados  # noqa: PLC0415 - only where `ceph` has made them importable
    import rbd  # noqa: PLC0415 - likewise

    held: list[tuple[object, object, object]] = []

    def open_it(ceph: Ceph, where: str) -> None:
        pool, _, name = where.rpartition("/")
        cluster = rados.Rados(conffile=str(ceph.conf), rados_id="admin")
        cluster.connect()
        ioctx = cluster.open_ioctx(pool)
        held.append((rbd.Image(ioctx, name), ioctx, cluster))

    yield open_it
    for image, ioctx, cluster in held:
        image.close()  # type: ignore[attr-defined]  # the bindings have no types
        ioctx.close()  # type: ignore[attr-defined]
        cluster.shutdown()  # type: ignore[attr-defined]


def test_a_clone_that_is_in_use_goes_to_the_trash(
    ceph: Ceph, pool: Pool, clone_work: Work, opened: Callable[[Ceph, str], None]
) -> None:
    work = recorded(handler_of(ceph), clone_work)
    opened(ceph, clone_work.target.removeprefix("rbd:"))
    assert handler_of(ceph).report(work).unwrap().details["opened by"] != "nobody"
    assert handler_of(ceph).remove(work) == Success(None)
    assert pool.names() == ["trash: 1"]


def test_a_clone_with_snapshots_goes_to_the_trash_with_them(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), clone_work)
    ceph.snap(pool.spec, "1", "mine", protect=False)
    assert handler_of(ceph).remove(work) == Success(None)
    assert pool.names() == ["trash: 1"]


def test_an_interrupted_removal_is_finished(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), clone_work)
    assert work.association is not None
    # What `rbd rm` leaves when it is killed late: the name, of an image that is gone.
    ceph.command("rados", "-p", pool.spec, "rm", f"rbd_header.{work.association.identity}")
    assert (pool.names(), pool.content("1")) == (["1"], None)
    assert handler_of(ceph).remove(work) == Success(None)
    assert pool.names() == []


def test_only_force_removes_or_moves_another_image_in_its_place(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    handler, work = handler_of(ceph), recorded(handler_of(ceph), clone_work)
    pool.clear("1")
    pool.occupy("1", b"precious")
    assert isinstance(handler.remove(work).failure(), TargetOccupied)
    assert isinstance(handler.move(work, pool.target("2")).failure(), TargetOccupied)
    assert isinstance(handler.fetch(work).failure(), TargetOccupied)
    assert isinstance(handler.verify(work).failure(), Mismatched)
    assert handler.report(work).unwrap().state is State.CHANGED
    assert pool.content("1") == b"precious"
    assert handler.remove(replace(work, force=True)) == Success(None)
    assert pool.names() == []
    assert handler.report(work).unwrap().state is State.MISSING
    assert "is gone" in reason_of(handler.verify(work))
    assert "is gone" in reason_of(handler.move(work, pool.target("2")))


def test_a_clone_moves_to_another_pool_with_all_its_bytes(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    work, there = recorded(handler_of(ceph), clone_work), new_name()
    write_at(ceph, clone_work.target.removeprefix("rbd:"), {4096: b"x" * 4096})
    landing = handler_of(ceph).move(work, f"rbd:volumes/{there}").unwrap()
    assert pool.names() == []
    known = json.loads(ceph.rbd("info", f"volumes/{there}", "--format", "json"))
    assert (known["id"], known["parent"]["pool"]) == (landing.identity, "images")
    assert ceph.get("volumes", there) == DATA[:4096] + b"x" * 4096 + DATA[8192:]


def test_a_clone_in_use_and_one_onto_another_image_are_not_moved(
    ceph: Ceph, pool: Pool, clone_work: Work, opened: Callable[[Ceph, str], None]
) -> None:
    work, taken = recorded(handler_of(ceph), clone_work), new_name()
    ceph.rbd("create", "--size", "1M", f"volumes/{taken}")
    assert isinstance(handler_of(ceph).move(work, f"rbd:volumes/{taken}").failure(), TargetOccupied)
    assert "no pool nowhere" in reason_of(handler_of(ceph).move(work, "rbd:nowhere/1"))
    assert "expected rbd:POOL/IMAGE" in reason_of(handler_of(ceph).move(work, "/vms/1"))
    opened(ceph, clone_work.target.removeprefix("rbd:"))
    assert "is in use" in reason_of(handler_of(ceph).move(work, f"rbd:volumes/{new_name()}"))
    assert pool.names() == ["1"]
