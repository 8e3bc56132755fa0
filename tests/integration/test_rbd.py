"""The rbd handler against a real Ceph: what the contract suite doesn't ask."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Failure, Success
from tests.integration.services.ceph import Ceph
from tests.integration.services.fixtures import StartCeph
from tests.rigs.rbd import Pool
from tests.rigs.rig import Folder, setup_of

from lading import (
    Association,
    Digest,
    Dispatcher,
    FetchRequest,
    Image,
    Landing,
    Location,
    Mismatched,
    PartialData,
    State,
    StoreUnavailable,
    TargetFailed,
    TargetOccupied,
    Unconfigured,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.rbd import storage
from lading.adapters.handlers.rbd.handler import RbdHandler
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.storage import PoolStorage
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.journal import Intent, Verb
from lading.ports.observer import NullObserver
from lading.sdk.contracts import DATA, IMAGE

MEBIBYTE = 1 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER_FSID = "00000000-0000-0000-0000-000000000000"


def handler_of(ceph: Ceph, *, user: str = "admin", rules: Rules | None = None) -> RbdHandler:
    transfer = FileDestination(MemoryVerifiedFiles(), rules) if rules else FileDestination(MemoryVerifiedFiles())
    return RbdHandler(RbdHandlerSettings(ceph.conf, user, connect_timeout=2), setup_of(transfer))


def image_of(data: bytes) -> Image:
    return replace(IMAGE, size=len(data), digest=Digest("sha256", hashlib.sha256(data).hexdigest()))


def recorded(handler: RbdHandler, work: Work) -> Work:
    """The work, done and recorded."""
    landing = handler.fetch(work).unwrap()
    blank = Association(work.target, handler.name, work.image, work.location, NOW)
    return replace(work, association=landing.recorded_in(blank))


def new_name() -> str:
    return f"noble-{uuid.uuid4().hex}"


def reason_of(refused: object) -> str:
    """The reason of a refusal, of any kind."""
    assert isinstance(refused, Failure), refused
    reason: str = refused.failure().reason
    return reason


@pytest.fixture
def clone_work(pool: Pool, rbd_location: str) -> Work:
    return Work(pool.target("1"), IMAGE, Location(rbd_location))


# Exports.


@pytest.mark.parametrize("features", ["layering,exclusive-lock,object-map,fast-diff", "layering"])
def test_only_what_is_allocated_is_written_and_the_rest_stays_a_hole(ceph: Ceph, folder: Folder, features: str) -> None:
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


def test_a_disk_must_have_room_for_what_is_allocated_and_no_more(ceph: Ceph, small_disk: Path) -> None:
    thin, thick = new_name(), new_name()
    for name, amount in ((thin, 1), (thick, 9)):
        ceph.rbd("create", "--size", "1G", f"images/{name}")
        write_at(ceph, f"images/{name}", {number << 22: b"x" for number in range(amount)})
    image = Image("id", size=1 << 30, disk_format="raw")
    work = Work(str(small_disk / "1"), image, Location(ceph.snap("images", thick, "snap")))
    assert "needs 37748736 bytes" in reason_of(handler_of(ceph).fetch(work))
    work = replace(work, location=Location(ceph.snap("images", thin, "snap")))
    assert handler_of(ceph).fetch(work).unwrap().size == 1 << 30


def test_what_a_clone_has_of_its_parent_is_exported_too(ceph: Ceph, folder: Folder) -> None:
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


def test_a_snapshot_of_nova_s_has_no_size_and_no_digest_and_is_fetched_unverified(
    ceph: Ceph, folder: Folder, rbd_location: str
) -> None:
    image = Image("snapshot", size=0, disk_format="raw")
    landing = handler_of(ceph).fetch(Work(folder.target("1"), image, Location(rbd_location))).unwrap()
    assert (landing.size, landing.verified) == (len(DATA), False)
    assert folder.content("1") == DATA


def test_bytes_that_are_not_the_image_s_are_refused_and_nothing_is_left(ceph: Ceph, folder: Folder) -> None:
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
def test_a_location_that_cannot_be_read_is_a_refusal_that_says_which_part(
    ceph: Ceph, folder: Folder, pool: Pool, url: str, told: str
) -> None:
    for target in (folder.target("1"), pool.target("1")):
        work = Work(target, IMAGE, Location(url.format(fsid=ceph.fsid)))
        assert told in reason_of(handler_of(ceph).fetch(work))
        assert told in reason_of(handler_of(ceph).preview(work))
    assert folder.names() == pool.names() == []


def test_a_file_gets_no_other_size_than_its_image(ceph: Ceph, folder: Folder, rbd_location: str) -> None:
    work = Work(folder.target("1"), IMAGE, Location(rbd_location), size=1 << 30)
    assert "no other size" in reason_of(handler_of(ceph).fetch(work))


def test_a_snapshot_that_goes_while_it_is_read_is_a_refusal_and_leaves_nothing_that_looks_whole(
    ceph: Ceph, folder: Folder
) -> None:
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
        # Ceph had not let go of its blocks yet: then it is whole.
        assert folder.content("1") == bytes(data)
    else:
        assert folder.names() == []


# Clones.


def test_a_clone_shares_its_parent_s_blocks_and_is_said_to_be_unverified(ceph: Ceph, clone_work: Work) -> None:
    landing = handler_of(ceph).fetch(clone_work).unwrap()
    assert (landing.method, landing.size, landing.verified, landing.digest) == ("clone", len(DATA), False, None)
    where = clone_work.target.removeprefix("rbd:")
    known = json.loads(ceph.rbd("info", where, "--format", "json"))
    assert known["id"] == landing.identity
    assert f"{known['parent']['pool']}/{known['parent']['image']}" in str(clone_work.location)
    used = json.loads(ceph.rbd("du", where, "--format", "json"))["images"][0]
    assert used["used_size"] == 0


def test_a_clone_has_the_requested_size_if_that_is_not_smaller(ceph: Ceph, clone_work: Work) -> None:
    smaller = handler_of(ceph).fetch(replace(clone_work, size=len(DATA) - 1))
    assert f"has {len(DATA)} bytes, more than the {len(DATA) - 1}" in reason_of(smaller)
    landing = handler_of(ceph).fetch(replace(clone_work, size=1 << 30)).unwrap()
    assert landing.size == 1 << 30
    assert json.loads(ceph.rbd("info", clone_work.target.removeprefix("rbd:"), "--format", "json"))["size"] == 1 << 30


def test_what_is_there_with_another_size_than_is_wished_for_is_in_the_way(ceph: Ceph, clone_work: Work) -> None:
    there = recorded(handler_of(ceph), clone_work)
    assert "remove it first" in reason_of(handler_of(ceph).fetch(replace(there, size=1 << 30)))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (replace(IMAGE, disk_format="qcow2"), "the image is qcow2 in bare"),
        (replace(IMAGE, disk_format=None), "the image is unknown in bare"),
        (replace(IMAGE, container_format="ova"), "the image is raw in ova"),
        (replace(IMAGE, size=5), f"has {len(DATA)} bytes, the catalog promises 5"),
    ],
)
def test_only_a_raw_image_of_the_promised_size_is_cloned(
    ceph: Ceph, pool: Pool, clone_work: Work, image: Image, told: str
) -> None:
    work = replace(clone_work, image=image)
    assert told in reason_of(handler_of(ceph).fetch(work))
    assert told in reason_of(handler_of(ceph).preview(work))
    assert pool.names() == []


def test_what_is_said_to_be_raw_and_is_not_is_not_cloned(ceph: Ceph, pool: Pool) -> None:
    location = ceph.put(b"QFI\xfb" + bytes([0, 0, 0, 3]) + bytes(MEBIBYTE), "images", new_name())
    image = Image("id", disk_format="raw")
    refused = handler_of(ceph).fetch(Work(pool.target("1"), image, Location(location))).failure()
    assert isinstance(refused, Mismatched)
    assert pool.names() == []


def test_where_nothing_may_land_unverified_nothing_is_cloned(ceph: Ceph, clone_work: Work) -> None:
    strict = handler_of(ceph, rules=Rules(allow_unverified=False))
    assert "allow_unverified" in reason_of(strict.fetch(clone_work))


def test_an_image_that_is_too_large_is_not_cloned(ceph: Ceph, clone_work: Work, pool: Pool) -> None:
    limited = handler_of(ceph, rules=Rules(max_size=len(DATA) - 1))
    for refused in (limited.preview(clone_work).failure(), limited.fetch(clone_work).failure()):
        assert isinstance(refused, Mismatched)
        assert "[landing] max_size" in refused.reason
    assert pool.names() == []


def test_a_snapshot_that_is_not_protected_is_cloned_only_where_clones_are_of_the_second_version(
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


def test_a_pool_that_there_is_not_can_hold_no_target(ceph: Ceph, rbd_location: str) -> None:
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
def test_a_target_that_names_no_image_in_a_pool_is_refused_with_the_form_that_is_expected(
    ceph: Ceph, rbd_location: str, target: str
) -> None:
    assert "expected rbd:POOL/IMAGE" in reason_of(handler_of(ceph).fetch(Work(target, IMAGE, Location(rbd_location))))


# Removing and moving.


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


def test_a_removal_that_was_cut_off_half_way_is_finished(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), clone_work)
    assert work.association is not None
    # What `rbd rm` leaves when it is killed late: the name, of an image that is gone.
    ceph.command("rados", "-p", pool.spec, "rm", f"rbd_header.{work.association.identity}")
    assert (pool.names(), pool.content("1")) == (["1"], None)
    assert handler_of(ceph).remove(work) == Success(None)
    assert pool.names() == []


def test_another_image_in_its_place_is_neither_removed_nor_moved_unless_forced(
    ceph: Ceph, pool: Pool, clone_work: Work
) -> None:
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


def test_a_clone_moves_to_another_pool_with_its_parent_and_what_was_written_to_it(
    ceph: Ceph, pool: Pool, clone_work: Work
) -> None:
    work, there = recorded(handler_of(ceph), clone_work), new_name()
    write_at(ceph, clone_work.target.removeprefix("rbd:"), {4096: b"x" * 4096})
    landing = handler_of(ceph).move(work, f"rbd:volumes/{there}").unwrap()
    assert pool.names() == []
    known = json.loads(ceph.rbd("info", f"volumes/{there}", "--format", "json"))
    assert (known["id"], known["parent"]["pool"]) == (landing.identity, "images")
    assert ceph.get("volumes", there) == DATA[:4096] + b"x" * 4096 + DATA[8192:]


def test_a_clone_that_is_in_use_leaves_no_pool_and_one_onto_something_else_does_not_either(
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


# Verifying.


def test_a_clone_is_verified_when_it_is_asked_for_and_what_a_guest_wrote_shows(ceph: Ceph, clone_work: Work) -> None:
    work = recorded(handler_of(ceph), replace(clone_work, size=1 << 30))
    found = handler_of(ceph).verify(work).unwrap()
    assert (found.verified, found.digest, found.size) == (True, IMAGE.digest, 1 << 30)
    write_at(ceph, clone_work.target.removeprefix("rbd:"), {0: b"x" * 4096})
    assert "its digest is" in reason_of(handler_of(ceph).verify(work))


def test_a_clone_of_which_nothing_is_promised_as_of_nova_s_snapshots_is_found_unverified(
    ceph: Ceph, clone_work: Work
) -> None:
    work = recorded(handler_of(ceph), replace(clone_work, image=Image("snapshot", size=0, disk_format="raw")))
    assert handler_of(ceph).verify(work).unwrap().digest is None


# What is cut off.


def test_a_clone_that_was_not_finished_is_taken_back(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    half = f"{clone_work.target.removeprefix('rbd:')}.lading-part"
    ceph.rbd("clone", location_spec(clone_work), half)
    assert handler_of(ceph).recover(cut_off(clone_work, {"part": "1.lading-part"}), keep=True) == Success(PartialData())
    assert pool.names() == []


def test_what_nothing_notes_is_not_touched_whatever_its_name(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    pool.occupy("1.lading-part", b"precious")
    assert handler_of(ceph).recover(cut_off(clone_work, {}), keep=True) == Success(PartialData())
    assert "is in the way" in reason_of(handler_of(ceph).fetch(clone_work))
    assert handler_of(ceph).remove(clone_work) == Success(None)
    named_so = replace(clone_work, target=pool.target("1.lading-part"))
    assert "choose another" in reason_of(handler_of(ceph).fetch(named_so))
    assert pool.content("1.lading-part") == b"precious"


def test_of_a_target_that_no_image_can_have_nothing_is_left(ceph: Ceph, clone_work: Work) -> None:
    impossible = replace(clone_work, target="rbd:vms/disk@1")
    assert handler_of(ceph).recover(cut_off(impossible, {}), keep=True) == Success(PartialData())


def test_a_clone_that_had_got_its_name_is_found_to_be_whole(ceph: Ceph, clone_work: Work) -> None:
    landing = handler_of(ceph).fetch(clone_work).unwrap()
    notes = {"clone": landing.identity, "size": landing.size, "inspected_by": landing.inspected_by, "replaced": None}
    assert handler_of(ceph).recover(cut_off(clone_work, notes), keep=True) == Success(landing)
    # One that is not the one that was noted is nothing of ours.
    assert handler_of(ceph).recover(cut_off(clone_work, {"clone": "another"}), keep=True) == Success(PartialData())


def test_what_was_to_be_replaced_comes_back_when_its_replacement_did_not_appear(
    ceph: Ceph, pool: Pool, clone_work: Work
) -> None:
    pool.occupy("1", b"precious")
    old = json.loads(ceph.rbd("info", f"{pool.spec}/1", "--format", "json"))["id"]
    ceph.rbd("trash", "mv", f"{pool.spec}/1")
    ceph.rbd("clone", location_spec(clone_work), f"{pool.spec}/1.lading-part")
    notes = {"part": "1.lading-part", "clone": "whatever", "size": 1, "inspected_by": None, "replaced": old}
    assert handler_of(ceph).recover(cut_off(clone_work, notes), keep=True) == Success(PartialData())
    assert pool.names() == ["1"]
    assert pool.content("1") == b"precious"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_move_that_was_cut_off_is_finished_or_was_none(
    ceph: Ceph, pool: Pool, clone_work: Work, *, elsewhere: bool
) -> None:
    handler, work = handler_of(ceph), recorded(handler_of(ceph), clone_work)
    assert work.association is not None
    destination = f"rbd:volumes/{new_name()}" if elsewhere else pool.target("2")
    begun = replace(cut_off(work, {"moving": work.association.identity}, Verb.MOVE, destination), association=None)
    assert handler.recover(begun, keep=False) == Success(PartialData())
    assert pool.names() == ["1"]
    landing = handler.move(work, destination).unwrap()
    notes = {"moving": work.association.identity, "copied": landing.identity}
    done = cut_off(work, notes if elsewhere else {"moving": landing.identity}, Verb.MOVE, destination)
    assert handler.recover(done, keep=False) == Success(Landing(identity=landing.identity))


@pytest.mark.parametrize(
    ("owner", "step"),
    [(PoolStorage, "clone"), (PoolStorage, "rename"), (storage, "_move_to_trash"), (PoolStorage, "purge")],
)
def test_an_interrupt_at_any_step_leaves_what_was_there_or_the_whole_clone(
    ceph: Ceph, pool: Pool, rbd_location: str, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
) -> None:
    """As a program sees it that embeds the Dispatcher: it goes on, and finds out at the next operation."""
    pool.occupy("1", b"precious")
    journal, associations = MemoryJournal(), MemoryAssociations()
    handler = RbdHandler(
        RbdHandlerSettings(ceph.conf, connect_timeout=2), setup_of(FileDestination(MemoryVerifiedFiles()), journal)
    )
    catalog = MemoryCatalog([replace(IMAGE, locations=[Location(rbd_location)])])
    dispatcher = Dispatcher([handler], catalog, associations, journal=journal)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            dispatcher.fetch(FetchRequest(IMAGE.id, pool.target("1"), force=True))
    list(dispatcher.recover())
    assert list(journal.list()) == []
    assert pool.names() == ["1"]
    known = associations.get(pool.target("1")).unwrap()
    assert pool.content("1") == (b"precious" if known is None else DATA)


def test_what_cannot_be_recorded_is_taken_back(ceph: Ceph, pool: Pool, rbd_location: str) -> None:
    class Full(MemoryAssociations):
        def put(self, association: Association) -> Failure[StoreUnavailable]:
            return Failure(StoreUnavailable("the disk is full"))

    catalog = MemoryCatalog([replace(IMAGE, locations=[Location(rbd_location)])])
    outcome = Dispatcher([handler_of(ceph)], catalog, Full()).fetch(FetchRequest(IMAGE.id, pool.target("1")))
    assert isinstance(outcome.failure(), StoreUnavailable)
    assert pool.names() == []


# Clusters that don't answer, and those that refuse.


def test_a_cluster_that_stops_answering_is_a_refusal_of_everything_and_what_had_come_is_gone_on_with(
    start_ceph: StartCeph, tmp_path: Path
) -> None:
    ceph, folder = start_ceph(), Folder(tmp_path / "files")
    data = os.urandom(96 * MEBIBYTE)
    location = Location(ceph.put(data, "images", "noble"))
    image = replace(image_of(data), locations=[location])
    journal, associations = MemoryJournal(), MemoryAssociations()

    def dispatcher_of(seconds: float) -> Dispatcher:
        settings = RbdHandlerSettings(ceph.conf, connect_timeout=seconds)
        handler = RbdHandler(settings, setup_of(FileDestination(MemoryVerifiedFiles(), journal=journal), journal))
        return Dispatcher([handler], MemoryCatalog([image]), associations, journal=journal)

    # Where it answers, it may take its time: this machine has others to serve.
    patient, dispatcher = dispatcher_of(30), dispatcher_of(1)
    there = patient.fetch(FetchRequest(image.id, "rbd:vms/there")).unwrap()
    assert there.landing.method == "clone"

    class Freezing(NullObserver):
        def progress(self, done: int, total: int | None) -> None:
            if done > 32 * MEBIBYTE:
                ceph.freeze(only_storage=True)

    cut_short = dispatcher.fetch(FetchRequest(image.id, folder.target("1"), observer=Freezing()))
    assert "stopped answering" in str(cut_short.failure())
    assert folder.names() == [".1.lading-part"]
    for only_storage in (True, False):
        ceph.freeze(only_storage=only_storage)
        for refused in (
            dispatcher.fetch(FetchRequest(image.id, folder.target("2"))),
            dispatcher.fetch(FetchRequest(image.id, "rbd:vms/2")),
            dispatcher.verify("rbd:vms/there"),
            dispatcher.remove("rbd:vms/there"),
            dispatcher.move("rbd:vms/there", "rbd:vms/3"),
        ):
            assert "does not answer within 1 s" in str(refused.failure())
        ceph.thaw(only_storage=only_storage)
        assert ceph.images("vms")  # it answers again
    gone_on = patient.fetch(FetchRequest(image.id, folder.target("1"))).unwrap()
    assert gone_on.landing.resumed >= 16 * MEBIBYTE
    assert folder.content("1") == bytes(data)
    # What was asked of it while it was gone it may have done since: the journal knows that nobody knows.
    list(patient.recover())
    assert list(journal.list()) == []
    assert [f"rbd:vms/{each}" for each in ceph.images("vms")] == [
        each.target for each in associations.list(handler="rbd")
    ][1:]
    (left,) = ceph.images("vms")
    assert isinstance(patient.remove(f"rbd:vms/{left}"), Success)


def test_a_key_that_the_cluster_does_not_take_is_a_refusal_that_names_the_user(
    start_ceph: StartCeph, tmp_path: Path
) -> None:
    ceph, folder = start_ceph(auth=True), Folder(tmp_path / "files")
    location = Location(ceph.put(DATA, "images", "noble"))
    ceph.user("reader", mon="profile rbd", osd="profile rbd-read-only pool=images")
    export, clone = Work(folder.target("1"), IMAGE, location), Work("rbd:vms/1", IMAGE, location)
    assert isinstance(handler_of(ceph, user="reader").fetch(export), Success)
    assert "client.reader may not do that" in reason_of(handler_of(ceph, user="reader").fetch(clone))
    nobody = handler_of(ceph, user="nobody").fetch(clone).failure()
    assert isinstance(nobody, Unconfigured)
    assert "client.nobody" in nobody.reason
    ceph.revoke("reader")
    revoked = handler_of(ceph, user="reader").fetch(replace(export, target=folder.target("2"))).failure()
    assert isinstance(revoked, Unconfigured)
    assert "client.reader" in revoked.reason
    assert (folder.names(), ceph.images("vms")) == (["1"], [])


def test_a_configuration_that_is_not_there_is_named(ceph: Ceph, tmp_path: Path, clone_work: Work) -> None:
    settings = RbdHandlerSettings(tmp_path / "ceph.conf")
    handler = RbdHandler(settings, setup_of(FileDestination(MemoryVerifiedFiles())))
    refused = handler.fetch(clone_work).failure()
    assert isinstance(refused, Unconfigured)
    assert f"there is no {tmp_path}/ceph.conf; [handlers.rbd] ceph_conf" in refused.reason


def location_spec(work: Work) -> str:
    """POOL/IMAGE@SNAPSHOT, as Ceph's own programs call it."""
    *_, pool, image, snapshot = str(work.location).split("/")
    return f"{pool}/{image}@{snapshot}"


def cut_off(work: Work, notes: Mapping[str, object], verb: Verb = Verb.FETCH, destination: str | None = None) -> Work:
    """As recovery asks about it."""
    intent = Intent(work.target, verb, "rbd", NOW, work.image, work.location, destination, notes=notes)
    return replace(work, intent=intent)


def write_at(ceph: Ceph, where: str, writes: Mapping[int, bytes]) -> None:
    """Write to an image in a pool, as a guest does."""
    import rados  # noqa: PLC0415 - only where `ceph` has made them importable
    import rbd  # noqa: PLC0415 - likewise

    pool, _, name = where.rpartition("/")
    with (
        rados.Rados(conffile=str(ceph.conf), rados_id="admin") as cluster,
        cluster.open_ioctx(pool) as ioctx,
        rbd.Image(ioctx, name) as image,
    ):
        for offset, data in writes.items():
            image.write(data, offset)
