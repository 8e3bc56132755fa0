"""Block devices are attached, read, and detached again."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from keystoneauth1.adapter import Adapter
from returns.result import Success
from tests.integration.cinder_handler.stand_in import HOST, NOW, StandIn, recorded, volume
from tests.rigs.rig import setup_of

from lading import Digest, Location, Work
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.cinder import attachments, connector
from lading.adapters.handlers.cinder.api import Cinder
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.errors import Refused
from lading.domain.handler import PartialData
from lading.domain.refusals import Mismatched, Unconfigured, Unsupported
from lading.ports.association import State
from lading.ports.journal import Intent, Verb
from lading.sdk.contracts import DATA, IMAGE


def test_a_device_is_read_as_far_as_the_image_goes(cinder: StandIn, handler: CinderHandler, work: Work) -> None:
    assert handler.fetch(work).unwrap().verified
    assert Path(work.target).read_bytes() == DATA
    assert cinder.attachments == {}


def test_a_device_stays_attached_for_its_user(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    work = recorded(handler, cloning)
    assert work.association
    device = cinder.folder / str(work.association.identity)
    report = handler.report(work).unwrap()
    assert (report.state, report.details["device"]) == (State.INTACT, str(device))
    assert handler.verify(work).unwrap().verified
    assert handler.remove(work) == Success(None)
    assert (list(cinder.volumes), cinder.attachments) == ([volume(cloning)], {})


@pytest.mark.parametrize("size", [len(DATA), None])
def test_an_image_that_is_too_large_is_not_cloned(
    connect: Callable[[], Adapter], cinder: StandIn, cloning: Work, size: int | None
) -> None:
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(max_size=len(DATA) - 1))
    limited = CinderHandler(CinderHandlerSettings(host=HOST), setup_of(transfer), connect)
    work = replace(cloning, image=replace(IMAGE, size=size))
    for refused in (limited.preview(work).failure(), limited.fetch(work).failure()):
        assert isinstance(refused, Mismatched)
        assert "[landing] max_size" in str(refused)
    assert list(cinder.volumes) == [volume(cloning)]


def test_a_device_is_connected_again_when_the_host_was_restarted(
    cinder: StandIn, handler: CinderHandler, cloning: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = recorded(handler, cloning)
    assert work.association
    monkeypatch.setattr(attachments, "boot", lambda: "another start")
    report = handler.report(work).unwrap()
    assert report.state is State.DETACHED
    assert report.details["attached"].startswith("no, the host was restarted")
    before = dict(cinder.attachments)
    handler.prepare([work.association])
    assert handler.report(work).unwrap().state is State.INTACT
    assert cinder.attachments == before


def test_a_device_that_cannot_be_read_is_a_refusal_and_is_detached(
    cinder: StandIn, handler: CinderHandler, work: Work, cloning: Work
) -> None:
    (cinder.folder / volume(work)).unlink()
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unconfigured)
    assert "cannot be read: No such file" in str(refused)
    assert cinder.attachments == {}
    assert cinder.volumes[volume(work)]["status"] == "available"


def test_a_volume_that_os_brick_cannot_connect_is_detached(
    cinder: StandIn, handler: CinderHandler, cloning: Work
) -> None:
    cinder.connection = {"driver_volume_type": "iscsi", "target_portal": "127.0.0.1:1", "auth_password": "hunter2"}
    refused = handler.fetch(cloning).failure()
    assert "os-brick cannot connect it by iscsi" in str(refused)
    assert "hunter2" not in str(refused)
    assert (list(cinder.volumes), cinder.attachments) == ([volume(cloning)], {})


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        ({"driver_volume_type": "nfs"}, "protocol nfs makes no device"),
        ({"driver_volume_type": "local", "encrypted": True}, "is encrypted"),
        ({"driver_volume_type": None}, "protocol (none) makes no device"),
    ],
)
def test_volumes_without_a_device_and_encrypted_ones_are_refused(
    cinder: StandIn, handler: CinderHandler, work: Work, connection: dict[str, object], told: str
) -> None:
    cinder.connection = connection
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unsupported)
    assert told in str(refused)
    assert cinder.attachments == {}


def test_volumes_in_a_ceph_need_its_bindings_and_say_so(
    cinder: StandIn, handler: CinderHandler, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    cinder.connection = {"driver_volume_type": "rbd"}
    monkeypatch.setattr(connector, "find_spec", lambda _: None)
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unconfigured)
    assert "python3-rados and python3-rbd are missing" in str(refused)
    assert cinder.attachments == {}


def test_a_step_that_needs_root_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as raised, connector._brick_errors("os-brick cannot connect it"):  # noqa: SLF001
        raise PermissionError
    assert isinstance(raised.value.refusal, Unconfigured)
    assert "run lading as root, or set [handlers.cinder] root_helper" in str(raised.value.refusal)


def test_a_fetch_that_ctrl_c_interrupted_is_resumed(
    cinder: StandIn, tmp_path: Path, handler: CinderHandler, connect: Callable[[], Adapter]
) -> None:
    data, journal = os.urandom(3 << 20), MemoryJournal()
    image = replace(IMAGE, size=len(data), digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    work = Work(str(tmp_path / "vm"), image, Location(f"cinder://{cinder.put(data)}"))
    transfer = FileDestination(MemoryVerifiedFiles(), journal=journal)
    handler = CinderHandler(CinderHandlerSettings(host=HOST), setup_of(transfer, journal), connect)

    class Impatient:
        def progress(self, done: int, total: int | None) -> None:
            if done > 2 << 20:
                raise KeyboardInterrupt

    journal.begin(Intent(work.target, Verb.FETCH, "cinder", NOW, image, work.location))
    intent = journal.pending(work.target).unwrap()
    with pytest.raises(KeyboardInterrupt):
        handler.fetch(replace(work, intent=intent, observer=Impatient()))
    assert cinder.attachments == {}
    kept = replace(work, intent=journal.pending(work.target).unwrap())
    assert handler.recover(kept, keep=True).unwrap() == PartialData(2 << 20)
    landing = handler.fetch(kept).unwrap()
    assert (landing.resumed, landing.verified) == (2 << 20, True)


def test_ctrl_c_while_a_volume_is_reserved_leaves_nothing_reserved(
    cinder: StandIn, handler: CinderHandler, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = Cinder.reserve

    def interrupted(self: Cinder, volume_id: str, mode: str) -> str:
        reserve(self, volume_id, mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(Cinder, "reserve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        handler.fetch(work)
    assert cinder.volumes[volume(work)]["status"] == "available"


def test_a_clone_is_replaced_by_force(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    work = recorded(handler, cloning)
    assert work.association
    landing = handler.fetch(replace(work, force=True)).unwrap()
    assert landing.identity != work.association.identity
    assert set(cinder.volumes) == {volume(work), landing.identity}
    assert [each["volume_id"] for each in cinder.attachments.values()] == [landing.identity]
