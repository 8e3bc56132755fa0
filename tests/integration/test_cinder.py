"""A real Cinder, its volumes in a real Ceph: attachments, clones, and what is left of those that were cut off."""

import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure, Success
from tests.integration.services.cinder import Cinder
from tests.integration.services.fixtures import StartCinder, StartKeystone
from tests.integration.services.glance import Glance
from tests.integration.services.keystone import CINDER, Keystone
from tests.rigs.cinder import HOST, VolumeNames, connecting
from tests.rigs.rig import Folder, setup_of

from lading import Association, Digest, Location, Mismatched, Unavailable, Work
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.names import process_mark
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.handlers.cinder.storage import VolumeStorage
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.domain.handler import Landing, PartialData
from lading.domain.refusals import TargetFailed, TargetOccupied, Unsupported
from lading.ports.association import State
from lading.ports.form import Form
from lading.ports.journal import Intent, Verb
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

NOW = datetime.now(UTC)
GIBIBYTE = 1 << 30


def fetched(bench: HandlerRig, **changes: Any) -> Work:  # noqa: ANN401 - of any field
    """The work, done and recorded."""
    work = replace(bench.work, **changes)
    landing = bench.handler.fetch(work).unwrap()
    blank = Association(work.target, bench.handler.name, work.image, work.location, NOW)
    return replace(work, association=landing.recorded_in(blank))


def identity(work: Work) -> str:
    assert work.association is not None
    assert work.association.identity is not None
    return work.association.identity


def attach(cinder: Cinder, volume: str, host: str = "elsewhere", mark: str = "/dev/vdb") -> str:
    """Attach a volume as somebody else does: the attachment's id."""
    asked = {"volume_uuid": volume, "mode": "rw", "connector": {"host": host, "mountpoint": mark}}
    made = cinder.ask("POST", "/attachments", {"attachment": asked}).expect(200).json()["attachment"]["id"]
    cinder.ask("POST", f"/attachments/{made}/action", {"os-complete": None}).expect(204)
    return str(made)


def detach(cinder: Cinder, volume: str) -> None:
    for each in cinder.attachments(volume):
        cinder.ask("DELETE", f"/attachments/{each['id']}").expect(200)


@pytest.fixture
def handler(cinder_handler: CinderHandler) -> CinderHandler:
    return cinder_handler


@pytest.fixture
def no_more_volumes(cinder: Cinder, storage_keystone: Keystone) -> Iterator[None]:
    """The project's quota has no room for another volume."""
    token = storage_keystone.ask("GET", "/auth/tokens", headers={"X-Subject-Token": storage_keystone.token(CINDER)})
    project = token.json()["token"]["project"]["id"]

    def limit(volumes: int) -> None:
        cinder.ask("PUT", f"/os-quota-sets/{project}", {"quota_set": {"volumes": volumes}}).expect(200)

    used = cinder.ask("GET", f"/os-quota-sets/{project}?usage=True").expect(200).json()["quota_set"]["volumes"]
    limit(used["in_use"] + used["reserved"])
    yield
    limit(-1)


# To a file


def test_nothing_is_attached_any_more_when_a_volume_has_been_read(
    cinder: Cinder, cinder_rig: HandlerRig, image_volume: str
) -> None:
    landing = cinder_rig.handler.fetch(cinder_rig.work).unwrap()
    assert (landing.method, landing.verified) == ("read", True)
    assert cinder.attachments(image_volume) == []
    assert cinder.show(image_volume)["status"] == "available"


def test_nor_when_its_bytes_are_others_than_promised(cinder: Cinder, cinder_rig: HandlerRig, image_volume: str) -> None:
    image = replace(IMAGE, digest=Digest("sha256", "0" * 64))
    refused = cinder_rig.handler.fetch(replace(cinder_rig.work, image=image)).failure()
    assert isinstance(refused, Mismatched)
    assert cinder.attachments(image_volume) == []
    assert cinder_rig.place.names() == []


def test_nor_after_ctrl_c(cinder: Cinder, cinder_rig: HandlerRig, image_volume: str) -> None:
    class Impatient:
        def progress(self, done: int, total: int | None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cinder_rig.handler.fetch(replace(cinder_rig.work, observer=Impatient()))
    assert cinder.attachments(image_volume) == []


def test_what_others_have_attached_is_read_from_a_clone_that_is_gone_afterwards(
    cinder: Cinder, cinder_rig: HandlerRig, image_volume: str
) -> None:
    held = attach(cinder, image_volume)
    before = {each["id"] for each in cinder.volumes()}
    assert cinder_rig.handler.fetch(cinder_rig.work).unwrap().verified
    assert [each["id"] for each in cinder.attachments(image_volume)] == [held]
    assert {each["id"] for each in cinder.volumes()} == before


def test_what_others_have_attached_and_cannot_be_cloned_is_refused_at_once(
    cinder: Cinder, cinder_rig: HandlerRig, image_volume: str, no_more_volumes: None
) -> None:
    held = attach(cinder, image_volume)
    before, began = {each["id"] for each in cinder.volumes()}, time.monotonic()
    refused = cinder_rig.handler.fetch(cinder_rig.work).failure()
    assert time.monotonic() - began < 20, "it waited for its timeout"
    assert isinstance(refused, Unavailable)
    assert f"volume {image_volume} is in-use, attached to host elsewhere" in str(refused)
    assert "quota" in str(refused)
    assert [each["id"] for each in cinder.attachments(image_volume)] == [held]
    assert {each["id"] for each in cinder.volumes()} == before
    assert cinder_rig.place.names() == []


def test_what_a_reader_that_was_killed_had_attached_is_let_go(
    cinder: Cinder, cinder_rig: HandlerRig, image_volume: str, no_more_volumes: None
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    attach(cinder, image_volume, HOST, process_mark(HOST).replace(f" {os.getpid()} ", f" {gone.pid} "))
    assert cinder_rig.handler.fetch(cinder_rig.work).unwrap().verified
    assert cinder.attachments(image_volume) == []


def test_recovery_lets_go_of_what_was_attached_and_noted_only(
    cinder: Cinder, handler: CinderHandler, cinder_rig: HandlerRig, image_volume: str
) -> None:
    asked = {"attachment": {"volume_uuid": image_volume}}
    made = cinder.ask("POST", "/attachments", asked).expect(200).json()["attachment"]["id"]
    work = cinder_rig.work
    intent = Intent(work.target, Verb.FETCH, "cinder", NOW, work.image, work.location, notes={"reading": made})
    assert handler.recover(replace(work, intent=intent), keep=True) == Success(PartialData())
    assert cinder.show(image_volume)["status"] == "available"


def test_a_file_grows(cinder_rig: HandlerRig) -> None:
    work = replace(cinder_rig.work, form=Form(size=GIBIBYTE))
    assert cinder_rig.handler.fetch(work).unwrap().size == GIBIBYTE


@pytest.mark.parametrize("url", ["cinder://gold/{}", "cinder://{}"])
def test_a_volume_that_is_not_there_is_a_refusal(cinder_rig: HandlerRig, url: str) -> None:
    missing = str(uuid.uuid4())
    refused = cinder_rig.handler.fetch(replace(cinder_rig.work, location=Location(url.format(missing)))).failure()
    assert refused == Unavailable(f"there is no volume {missing}, or not for these credentials")


# To a volume


def test_a_clone_is_attached_to_this_host_and_told_so(cinder: Cinder, cinder_volume_rig: HandlerRig) -> None:
    work = fetched(cinder_volume_rig)
    volume = cinder.show(identity(work))
    (attachment,) = volume["attachments"]
    assert (volume["status"], attachment["host_name"]) == ("in-use", HOST)
    assert isinstance(cinder_volume_rig.handler, CinderHandler)
    report = cinder_volume_rig.handler.report(work).unwrap()
    assert report.state is State.INTACT
    assert report.details["volume"] == volume["id"]
    assert (report.details["attached"], report.details["device"]) == (HOST, f"rbd:volumes/volume-{volume['id']}")


def test_a_larger_one_has_as_many_gibibytes_as_it_takes(cinder: Cinder, cinder_volume_rig: HandlerRig) -> None:
    work = fetched(cinder_volume_rig, form=Form(size=GIBIBYTE + 1))
    assert cinder.show(identity(work))["size"] == 2
    assert work.association
    assert work.association.size == 2 * GIBIBYTE
    small = replace(cinder_volume_rig.work, form=Form(size=10), target=cinder_volume_rig.place.target("2"))
    assert isinstance(cinder_volume_rig.handler.fetch(small).failure(), Unsupported)


def test_only_raw_images_are_cloned_and_only_those_that_are(
    cinder_volume_rig: HandlerRig, cinder: Cinder, storage_keystone: Keystone, volume_names: VolumeNames
) -> None:
    handler, work = cinder_volume_rig.handler, cinder_volume_rig.work
    refused = handler.fetch(replace(work, image=replace(IMAGE, disk_format="qcow2"))).failure()
    assert isinstance(refused, Unsupported)
    lying = b"QFI\xfb\x00\x00\x00\x03" + bytes(504)
    volume = cinder.create(lying, name=f"{volume_names.prefix}-lying", token=storage_keystone.kept_token(CINDER))
    refused = handler.fetch(replace(work, location=Location(f"cinder://{volume['id']}"))).failure()
    assert isinstance(refused, Mismatched)
    assert volume_names.names() == ["lying"]


def test_what_was_detached_behind_its_back_is_told_and_attached_again_at_the_next_start(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig
) -> None:
    work = fetched(cinder_volume_rig)
    assert work.association is not None
    detach(cinder, identity(work))
    report = handler.report(work).unwrap()
    assert (report.state, report.details["attached"]) == (
        State.DETACHED,
        "no; lading attaches it again at its next start",
    )
    handler.prepare([work.association])
    assert handler.report(work).unwrap().state is State.INTACT
    attachments = cinder.attachments(identity(work))
    handler.prepare([work.association])
    assert cinder.attachments(identity(work)) == attachments


def test_what_was_cut_off_while_it_was_attached_again_is_attached_in_the_end(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.adapters.handlers.cinder.attachments._PATIENCE", 0.3)
    work = fetched(cinder_volume_rig)
    assert work.association is not None
    detach(cinder, identity(work))
    cinder.ask("POST", "/attachments", {"attachment": {"volume_uuid": identity(work)}}).expect(200)
    handler.prepare([work.association])
    assert handler.report(work).unwrap().state is State.INTACT


def test_what_cannot_be_attached_again_is_a_warning_and_the_others_are(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig, caplog: pytest.LogCaptureFixture
) -> None:
    first = fetched(cinder_volume_rig)
    second = fetched(cinder_volume_rig, target=cinder_volume_rig.place.target("2"))
    gone = replace(first.association, identity=str(uuid.uuid4()), target="cinder:gone")  # type: ignore[type-var]
    for each in (first, second):
        detach(cinder, identity(each))
    attach(cinder, identity(first))
    with caplog.at_level(logging.WARNING):
        handler.prepare([each for each in (gone, first.association, second.association) if each])
    assert len(caplog.messages) == 2
    assert "cinder:gone" in caplog.messages[0]
    assert f"{first.target} cannot be attached: volume {identity(first)} cannot be" in caplog.messages[1]
    assert "attached to host elsewhere" in caplog.messages[1]
    assert handler.report(second).unwrap().state is State.INTACT


def test_what_others_have_attached_is_not_removed(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig
) -> None:
    work = fetched(cinder_volume_rig)
    detach(cinder, identity(work))
    attach(cinder, identity(work))
    refused = handler.remove(work).failure()
    assert isinstance(refused, TargetFailed)
    assert "attached to host elsewhere" in str(refused)
    assert cinder.show(identity(work))["status"] == "in-use"
    assert isinstance(handler.fetch(replace(work, force=True)).failure(), TargetOccupied)


def test_another_volume_of_that_name_is_neither_removed_nor_moved(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig, volume_names: VolumeNames
) -> None:
    work = fetched(cinder_volume_rig)
    detach(cinder, identity(work))
    cinder.delete(identity(work))
    assert handler.report(work).unwrap().state is State.MISSING
    volume_names.occupy("1", b"precious")
    assert handler.report(work).unwrap().state is State.CHANGED
    assert isinstance(handler.verify(work).failure(), Mismatched)
    for refused in (handler.remove(work), handler.move(work, volume_names.target("2"))):
        assert isinstance(refused.failure(), TargetOccupied)
    assert volume_names.content("1") == b"precious"
    assert handler.remove(replace(work, force=True)) == Success(None)
    assert volume_names.names() == []


def test_a_volume_is_verified_by_reading_it(
    cinder: Cinder, handler: CinderHandler, cinder_volume_rig: HandlerRig
) -> None:
    work = fetched(cinder_volume_rig)
    landing = handler.verify(work).unwrap()
    assert (landing.digest, landing.verified, landing.identity) == (IMAGE.digest, True, identity(work))
    cinder.write(identity(work), b"another")
    assert isinstance(handler.verify(work).failure(), Mismatched)


def test_volumes_are_not_moved_to_files(handler: CinderHandler, cinder_volume_rig: HandlerRig, folder: Folder) -> None:
    work = fetched(cinder_volume_rig)
    assert isinstance(handler.move(work, folder.target("1")).failure(), Unsupported)


def test_a_quota_without_room_is_a_refusal_that_says_so(cinder_volume_rig: HandlerRig, no_more_volumes: None) -> None:
    refused = cinder_volume_rig.handler.fetch(cinder_volume_rig.work).failure()
    assert isinstance(refused, TargetFailed)
    assert "quota" in str(refused)
    assert cinder_volume_rig.place.names() == []


def test_nothing_is_cloned_where_all_must_be_verified(
    cinder_volume_rig: HandlerRig, storage_keystone: Keystone
) -> None:
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(allow_unverified=False))
    handler = CinderHandler(CinderHandlerSettings(host=HOST), setup_of(transfer), connecting(storage_keystone))
    assert isinstance(handler.fetch(cinder_volume_rig.work).failure(), Unsupported)


# Cut off


class Killed(BaseException):
    """The process is gone: nothing is cleaned up any more."""


def killed(monkeypatch: pytest.MonkeyPatch, owner: type, verb: str, act: Callable[[], object]) -> None:
    """Act, and be gone just before this verb is called."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, verb, die)
        patched.setattr(VolumeStorage, "discard", die)
        with pytest.raises(Killed):
            act()


@pytest.mark.parametrize(
    ("owner", "verb", "is_whole"),
    [(Attachments, "attach", False), (VolumeStorage, "publish", False), (None, "", True)],
    ids=["before it is attached", "before it has its name", "before it is recorded"],
)
def test_a_clone_that_was_cut_off_is_recognised_or_gone(
    cinder_volume_rig: HandlerRig,
    storage_keystone: Keystone,
    transfer: FileDestination,
    volume_names: VolumeNames,
    monkeypatch: pytest.MonkeyPatch,
    owner: type | None,
    verb: str,
    is_whole: bool,
) -> None:
    journal, work = MemoryJournal(), cinder_volume_rig.work
    settings = CinderHandlerSettings(host=HOST, timeout=20)
    handler = CinderHandler(settings, setup_of(transfer, journal), connecting(storage_keystone))
    intent = Intent(work.target, Verb.FETCH, "cinder", NOW, work.image, work.location)
    journal.begin(intent)
    work = replace(work, intent=intent)
    if owner is None:
        assert isinstance(handler.fetch(work), Success)
    else:
        killed(monkeypatch, owner, verb, lambda: handler.fetch(work))
        assert volume_names.names() == ["1.lading-part"]
    found = handler.recover(replace(work, intent=journal.pending(work.target).unwrap()), keep=True).unwrap()
    assert isinstance(found, Landing) is is_whole
    assert volume_names.names() == (["1"] if is_whole else [])


def test_a_move_that_was_cut_off_is_recognised_or_did_not_happen(
    cinder_volume_rig: HandlerRig, storage_keystone: Keystone, transfer: FileDestination, volume_names: VolumeNames
) -> None:
    journal = MemoryJournal()
    handler = CinderHandler(CinderHandlerSettings(host=HOST), setup_of(transfer, journal), connecting(storage_keystone))
    work = fetched(replace(cinder_volume_rig, handler=handler))
    there = volume_names.target("2")
    intent = Intent(work.target, Verb.MOVE, "cinder", NOW, work.image, work.location, there)
    journal.begin(intent)
    work = replace(work, intent=intent)
    assert handler.recover(work, keep=False) == Success(PartialData())
    assert isinstance(handler.move(work, there), Success)
    after = replace(work, intent=journal.pending(work.target).unwrap())
    assert handler.recover(after, keep=False) == Success(Landing(identity=identity(work)))


# A Cinder that isn't there


def test_a_cinder_that_is_stopped_or_silent_is_a_refusal_in_time(
    start_cinder: StartCinder, start_keystone: StartKeystone, transfer: FileDestination, folder: Folder
) -> None:
    keystone = start_keystone()
    cinder = start_cinder(keystone)
    settings = CinderHandlerSettings(host=HOST, timeout=0.5)
    handler = CinderHandler(settings, setup_of(transfer), connecting(keystone))
    location = Location(f"cinder://{uuid.uuid4()}")
    works = [Work(folder.target("1"), IMAGE, location), Work("cinder:vm", IMAGE, location)]
    blank = Association("cinder:vm", "cinder", IMAGE, location, NOW, identity=str(uuid.uuid4()))
    for harm in (cinder.freeze, cinder.stop):
        harm()
        began = time.monotonic()
        for work in works:
            assert isinstance(handler.fetch(work).failure(), Unavailable)
            assert isinstance(handler.preview(work).failure(), Unavailable)
        for answer in (handler.remove(replace(works[1], association=blank)), handler.report(works[1])):
            assert isinstance(answer, Failure)
        handler.prepare([blank])
        assert time.monotonic() - began < 60
    assert folder.names() == []


# The command, and Glance


@pytest.fixture
def command(
    glance_stores: Glance, cinder: Cinder, storage_keystone: Keystone, tmp_path: Path
) -> Callable[..., "subprocess.Popen[str]"]:
    """Begins a command as an operator would."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(cinder.ceph.python_path),
        "LADING_CATALOG__KIND": "glance",
        "LADING_HANDLERS__ORDER": "cinder",
        "LADING_HANDLERS__CINDER__HOST": HOST,
        **storage_keystone.variables(CINDER),
    }

    def begin(*arguments: str) -> "subprocess.Popen[str]":
        line = [sys.executable, "-m", "lading", *arguments, "--json"]
        return subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.fixture
def lading(command: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Any]:
    """What a command printed, which must have succeeded."""

    def run(*arguments: str) -> Any:  # noqa: ANN401 - JSON
        running = command(*arguments)
        printed, complained = running.communicate(timeout=60)
        assert (complained, running.returncode) == ("", 0)
        return json.loads(printed)

    return run


def test_what_glance_keeps_in_cinder_is_read_cloned_shown_moved_and_removed(
    glance_stores: Glance, cinder: Cinder, volume_names: VolumeNames, tmp_path: Path, lading: Callable[..., Any]
) -> None:
    image = glance_stores.create(DATA, store="cinder")
    url = glance_stores.locations(image["id"])["cinder"]
    told = lading("fetch", image["id"], str(tmp_path / "vm"))
    assert (told["handler"], told["method"], told["verified"]) == ("cinder", "read", True)
    assert (tmp_path / "vm").read_bytes() == DATA
    target, there = volume_names.target("1"), volume_names.target("2")
    assert lading("fetch", image["id"], target)["location"] == url
    volume = lading("show", target)
    assert (volume["state"], volume["details"]["attached"]) == ("intact", HOST)
    detach(cinder, volume["details"]["volume"])
    assert lading("show", target)["state"] == "detached"
    lading("mv", target, there)  # a start, which attaches it again
    assert lading("show", there)["state"] == "intact"
    assert lading("fetch", image["id"], there)["present"]
    assert lading("verify", there)["state"] == "intact"
    for each in (there, str(tmp_path / "vm")):
        lading("rm", each)
    assert volume_names.names() == []
    assert cinder.attachments(url.rpartition("/")[2]) == []


@pytest.mark.parametrize("moment", ["cloned", "attached"])
def test_a_clone_whose_fetch_was_killed_is_gone_after_the_next_start(
    glance_stores: Glance,
    cinder: Cinder,
    volume_names: VolumeNames,
    command: Callable[..., "subprocess.Popen[str]"],
    lading: Callable[..., Any],
    moment: str,
) -> None:
    image = glance_stores.create(DATA, store="cinder")
    with command("fetch", image["id"], volume_names.target("1")) as running:
        give_up = time.monotonic() + 60
        while running.poll() is None and (
            not (made := [each for each in cinder.volumes() if each["name"].startswith(volume_names.prefix)])
            or (moment == "attached" and not cinder.attachments(made[0]["id"]))
        ):
            assert time.monotonic() < give_up
        running.kill()
    # It may come to its end before it is killed.
    outcome = "finished" if running.returncode == 0 else lading("recover")["outcome"]
    assert outcome in {"finished", "undone"}
    assert volume_names.names() == (["1"] if outcome == "finished" else [])
