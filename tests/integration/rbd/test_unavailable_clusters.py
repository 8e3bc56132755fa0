"""Clusters that do not answer, and those that refuse."""

import os
from dataclasses import replace
from pathlib import Path

from returns.result import Success
from tests.integration.rbd.pool import MEBIBYTE, handler_of, image_of, reason_of
from tests.integration.services.ceph import Ceph
from tests.integration.services.fixtures import StartCeph
from tests.rigs.rig import Folder, setup_of

from lading import Dispatcher, FetchRequest, Location, Unconfigured, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.rbd.handler import RbdHandler
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.observer import NullObserver
from lading.sdk.contracts import DATA, IMAGE


def test_a_cluster_that_stops_is_a_refusal_and_the_fetch_is_resumed(start_ceph: StartCeph, tmp_path: Path) -> None:
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


def test_a_rejected_key_is_a_refusal_that_names_the_user(start_ceph: StartCeph, tmp_path: Path) -> None:
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
    assert f"there is no {tmp_path}/ceph.conf; [handlers.rbd] ceph_conf" in str(refused)
