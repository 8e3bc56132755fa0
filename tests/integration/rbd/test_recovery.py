"""Interrupted clones in a real Ceph are finished or rolled back."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from returns.result import Failure, Success
from tests.integration.rbd.pool import NOW, handler_of, new_name, reason_of, recorded
from tests.integration.services.ceph import Ceph
from tests.rigs.rbd import Pool
from tests.rigs.rig import setup_of

from lading import Association, Dispatcher, FetchRequest, Landing, Location, PartialData, StoreUnavailable, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.rbd import storage
from lading.adapters.handlers.rbd.handler import RbdHandler
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.storage import PoolStorage
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.journal import Intent, Verb
from lading.sdk.contracts import DATA, IMAGE


def test_an_unfinished_clone_is_rolled_back(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    half = f"{clone_work.target.removeprefix('rbd:')}.lading-part"
    ceph.rbd("clone", location_spec(clone_work), half)
    assert handler_of(ceph).recover(cut_off(clone_work, {"part": "1.lading-part"}), keep=True) == Success(PartialData())
    assert pool.names() == []


def test_an_unnoted_image_is_not_touched_whatever_its_name(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    pool.occupy("1.lading-part", b"precious")
    assert handler_of(ceph).recover(cut_off(clone_work, {}), keep=True) == Success(PartialData())
    assert "lading has no record of it; rename or delete it" in reason_of(handler_of(ceph).fetch(clone_work))
    assert handler_of(ceph).remove(clone_work) == Success(None)
    named_so = replace(clone_work, target=pool.target("1.lading-part"))
    assert "choose another" in reason_of(handler_of(ceph).fetch(named_so))
    assert pool.content("1.lading-part") == b"precious"


def test_an_impossible_target_leaves_nothing_to_recover(ceph: Ceph, clone_work: Work) -> None:
    impossible = replace(clone_work, target="rbd:vms/disk@1")
    assert handler_of(ceph).recover(cut_off(impossible, {}), keep=True) == Success(PartialData())


def test_recovery_finds_a_clone_that_has_its_name_whole(ceph: Ceph, clone_work: Work) -> None:
    landing = handler_of(ceph).fetch(clone_work).unwrap()
    notes = {"clone": landing.identity, "size": landing.size, "inspected_by": landing.inspected_by, "replaced": None}
    assert handler_of(ceph).recover(cut_off(clone_work, notes), keep=True) == Success(landing)
    # One that is not the one that was noted is nothing of ours.
    assert handler_of(ceph).recover(cut_off(clone_work, {"clone": "another"}), keep=True) == Success(PartialData())


def test_an_image_comes_back_if_its_replacement_did_not_appear(ceph: Ceph, pool: Pool, clone_work: Work) -> None:
    pool.occupy("1", b"precious")
    old = json.loads(ceph.rbd("info", f"{pool.spec}/1", "--format", "json"))["id"]
    ceph.rbd("trash", "mv", f"{pool.spec}/1")
    ceph.rbd("clone", location_spec(clone_work), f"{pool.spec}/1.lading-part")
    notes = {"part": "1.lading-part", "clone": "whatever", "size": 1, "inspected_by": None, "replaced": old}
    assert handler_of(ceph).recover(cut_off(clone_work, notes), keep=True) == Success(PartialData())
    assert pool.names() == ["1"]
    assert pool.content("1") == b"precious"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_interrupted_move_is_finished_or_undone(
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
def test_an_interrupt_leaves_what_was_there_or_the_whole_clone(
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


def test_a_clone_that_cannot_be_recorded_is_rolled_back(ceph: Ceph, pool: Pool, rbd_location: str) -> None:
    class Full(MemoryAssociations):
        def put(self, association: Association) -> Failure[StoreUnavailable]:
            return Failure(StoreUnavailable("the disk is full"))

    catalog = MemoryCatalog([replace(IMAGE, locations=[Location(rbd_location)])])
    outcome = Dispatcher([handler_of(ceph)], catalog, Full()).fetch(FetchRequest(IMAGE.id, pool.target("1")))
    assert isinstance(outcome.failure(), StoreUnavailable)
    assert pool.names() == []


def location_spec(work: Work) -> str:
    """POOL/IMAGE@SNAPSHOT, as Ceph's own programs call it."""
    *_, pool, image, snapshot = str(work.location).split("/")
    return f"{pool}/{image}@{snapshot}"


def cut_off(work: Work, notes: Mapping[str, object], verb: Verb = Verb.FETCH, destination: str | None = None) -> Work:
    """As recovery asks about it."""
    intent = Intent(work.target, verb, "rbd", NOW, work.image, work.location, destination, notes=notes)
    return replace(work, intent=intent)
