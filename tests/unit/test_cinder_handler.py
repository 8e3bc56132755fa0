"""The cinder handler beside a stand-in for Cinder: block devices, and answers that a real one gives seldom."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token
from returns.result import Success
from tests.faults import Faults, redirect
from tests.rigs.rig import setup_of

from lading import Association, Digest, Location, Scope, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.cinder import attachments, connector, names
from lading.adapters.handlers.cinder import handler as cinder_module
from lading.adapters.handlers.cinder.api import Cinder
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.names import is_left_over, permanent_mark, process_mark, volume_of, volume_target
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.errors import Refused
from lading.domain.cost import Cost
from lading.domain.handler import PartialData, State
from lading.domain.refusals import Mismatched, TargetOccupied, Unavailable, Unconfigured, Unsupported
from lading.ports.journal import Intent, Verb
from lading.sdk.contracts import DATA, IMAGE

NOW = datetime.now(UTC)
HOST = "compute-1"
GIBIBYTE = 1 << 30


class StandIn:
    """As much of Cinder's API as is asked for, over volumes that are devices of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volumes: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.instead: dict[tuple[str, str], tuple[int, object]] = {}
        """What is answered instead, by method and a pattern of paths."""
        self.connection: dict[str, object] = {"driver_volume_type": "local"}
        self.page = 1000
        self.url = ""

    def put(self, data: bytes = DATA, **fields: object) -> str:
        """A volume with these bytes: its id."""
        volume_id = str(uuid.uuid4())
        with (self.folder / volume_id).open("wb") as device:
            device.write(data)
            device.truncate(GIBIBYTE)
        known = {"id": volume_id, "name": "image", "status": "available", "size": 1, "metadata": {}, "attachments": []}
        self.volumes[volume_id] = {**known, **fields}
        return volume_id

    def answer(self, method: str, target: str, body: Any) -> tuple[int, object]:  # noqa: ANN401, PLR0911 - JSON; one each
        parts = urlsplit(target)
        self.asked.append((method, parts.path))
        for (verb, pattern), instead in self.instead.items():
            if verb == method and re.fullmatch(pattern, parts.path):
                return instead
        match method, parts.path.strip("/").split("/"):
            case "GET", ["volumes", "detail"]:
                return self._list(parse_qs(parts.query))
            case "POST", ["volumes"]:
                asked = body["volume"]
                with (self.folder / asked.pop("source_volid")).open("rb") as source:
                    return 202, {"volume": self.volumes[self.put(source.read(len(DATA)), **asked)]}
            case method, ["volumes", volume_id] if volume_id in self.volumes:
                return self._volume(method, volume_id, body)
            case "GET", ["attachments"]:
                (of,) = parse_qs(parts.query)["volume_id"]
                return 200, {"attachments": [each for each in self.attachments.values() if each["volume_id"] == of]}
            case "POST", ["attachments"]:
                return self._reserve(body["attachment"]["volume_uuid"])
            case method, ["attachments", attachment_id, *_] if attachment_id in self.attachments:
                return self._attachment(method, attachment_id, body)
        return 404, {}

    def _list(self, query: dict[str, list[str]]) -> tuple[int, object]:
        found = list(self.volumes.values())
        if "name" in query:
            found = [each for each in found if each["name"] == query["name"][0]]
        if "metadata" in query:
            wanted = json.loads(query["metadata"][0])
            found = [each for each in found if wanted.items() <= each["metadata"].items()]
        if "marker" in query:
            found = found[[each["id"] for each in found].index(query["marker"][0]) + 1 :]
        links = [{"rel": "next", "href": "…"}] if len(found) > self.page else []
        return 200, {"volumes": found[: self.page], "volumes_links": links}

    def _volume(self, method: str, volume_id: str, body: Any) -> tuple[int, object]:  # noqa: ANN401 - JSON
        if method == "DELETE":
            del self.volumes[volume_id]
            return 202, None
        if method == "PUT":
            self.volumes[volume_id].update(body["volume"])
        return 200, {"volume": self.volumes[volume_id]}

    def _reserve(self, volume_id: str) -> tuple[int, object]:
        volume = self.volumes[volume_id]
        if volume["status"] != "available" and not volume.get("multiattach"):
            return 400, {}
        self.volumes[volume_id]["status"] = "reserved"
        made: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "volume_id": volume_id,
            "instance": None,
            "connection_info": {},
        }
        self.attachments[made["id"]] = made
        return 200, {"attachment": made}

    def _attachment(self, method: str, attachment_id: str, body: Any) -> tuple[int, object]:  # noqa: ANN401 - JSON
        attachment = self.attachments[attachment_id]
        volume = self.volumes[attachment["volume_id"]]
        if method == "DELETE":
            del self.attachments[attachment_id]
            others = [each for each in volume["attachments"] if each["attachment_id"] != attachment_id]
            volume.update(status="in-use" if others else "available", attachments=others)
        if method == "PUT":
            attachment["connection_info"] = {"device_path": str(self.folder / volume["id"]), **self.connection}
            attachment["mark"] = body["attachment"]["connector"]["mountpoint"]
        if method == "POST":
            shown = {"attachment_id": attachment_id, "device": attachment["mark"], "host_name": HOST, "server_id": None}
            volume.update(status="in-use", attachments=[*volume["attachments"], shown])
        return 200, {"attachment": attachment}


@pytest.fixture
def cinder(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path / "devices")
    stand_in.folder.mkdir()

    class Served(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = stand_in.answer(self.command, self.path, json.loads(data) if data else None)
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - as http.server wants them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        server.daemon_threads = True
        server.block_on_close = False
        stand_in.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield stand_in
        server.shutdown()
        thread.join()


@pytest.fixture
def connect(cinder: StandIn) -> Iterator[Callable[[], Adapter]]:
    sessions: list[Session] = []

    def connected() -> Adapter:
        sessions.append(Session(auth=Token(cinder.url, "token")))
        return Adapter(sessions[-1], service_type="block-storage")

    yield connected
    for each in sessions:
        each.session.close()


@pytest.fixture
def handler(connect: Callable[[], Adapter]) -> CinderHandler:
    settings = CinderHandlerSettings(host=HOST, timeout=2)
    return CinderHandler(settings, setup_of(FileDestination(MemoryVerifiedFiles())), connect)


@pytest.fixture
def work(cinder: StandIn, tmp_path: Path) -> Work:
    """To a file."""
    return Work(str(tmp_path / "vm"), IMAGE, Location(f"cinder://gold/{cinder.put()}"))


@pytest.fixture
def cloning(work: Work) -> Work:
    """To a volume."""
    return replace(work, target="cinder:vm-1")


def volume(work: Work) -> str:
    assert work.location is not None
    return volume_of(work.location).unwrap()


def recorded(handler: CinderHandler, work: Work) -> Work:
    blank = Association(work.target, "cinder", work.image, work.location, NOW)
    return replace(work, association=handler.fetch(work).unwrap().recorded_in(blank))


# Devices with a path


def test_a_device_is_read_as_far_as_the_image_goes(cinder: StandIn, handler: CinderHandler, work: Work) -> None:
    assert handler.fetch(work).unwrap().verified
    assert Path(work.target).read_bytes() == DATA
    assert cinder.attachments == {}


def test_a_device_is_handed_over_and_left_to_whoever_uses_it(
    cinder: StandIn, handler: CinderHandler, cloning: Work
) -> None:
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
        assert "[landing] max_size" in refused.reason
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
    assert "cannot be read: No such file" in refused.reason
    assert cinder.attachments == {}
    assert cinder.volumes[volume(work)]["status"] == "available"


def test_what_os_brick_cannot_connect_is_detached_again(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    cinder.connection = {"driver_volume_type": "iscsi", "target_portal": "127.0.0.1:1", "auth_password": "hunter2"}
    refused = handler.fetch(cloning).failure()
    assert "os-brick cannot connect it by iscsi" in refused.reason
    assert "hunter2" not in refused.reason
    assert (list(cinder.volumes), cinder.attachments) == ([volume(cloning)], {})


@pytest.mark.parametrize(
    ("connection", "told"),
    [
        ({"driver_volume_type": "nfs"}, "protocol nfs makes no device"),
        ({"driver_volume_type": "local", "encrypted": True}, "is encrypted"),
        ({"driver_volume_type": None}, "protocol (none) makes no device"),
    ],
)
def test_volumes_that_are_no_devices_or_encrypted_are_refused(
    cinder: StandIn, handler: CinderHandler, work: Work, connection: dict[str, object], told: str
) -> None:
    cinder.connection = connection
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unsupported)
    assert told in refused.reason
    assert cinder.attachments == {}


def test_volumes_in_a_ceph_need_its_bindings_and_say_so(
    cinder: StandIn, handler: CinderHandler, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    cinder.connection = {"driver_volume_type": "rbd"}
    monkeypatch.setattr(connector, "find_spec", lambda _: None)
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unconfigured)
    assert "python3-rados and python3-rbd are missing" in refused.reason
    assert cinder.attachments == {}


def test_what_takes_root_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as raised, connector._brick_errors("os-brick cannot connect it"):  # noqa: SLF001
        raise PermissionError
    assert isinstance(raised.value.refusal, Unconfigured)
    assert "run lading as root, or set [handlers.cinder] root_helper" in raised.value.refusal.reason


def test_what_had_come_before_ctrl_c_is_gone_on_from(
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


# What Cinder says


@pytest.mark.parametrize("status", ["error", "awaiting-transfer", "deleting"])
def test_a_volume_that_is_in_no_state_for_it_is_refused_by_its_state(
    cinder: StandIn, handler: CinderHandler, work: Work, status: str
) -> None:
    cinder.volumes[volume(work)]["status"] = status
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unavailable)
    assert f"is {status}; expected available" in refused.reason


def test_a_volume_that_does_not_come_to_rest_is_given_up_in_time(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)]["status"] = "attaching"
    assert "still attaching after 2 s" in handler.fetch(work).failure().reason


def test_a_clone_that_fails_is_gone_again(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    put = cinder.put
    cinder.put = lambda data, **fields: put(data, **{**fields, "status": "error"})  # type: ignore[method-assign]
    assert "is error" in handler.fetch(cloning).failure().reason
    assert list(cinder.volumes) == [volume(cloning)]


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ((401, {}), "does not accept the credentials"),
        ((403, {}), "may not do that"),
        ((500, {"computeFault": {"message": "token=hunter2"}}), "HTTP 500"),
        ((200, b"<html>"), "is it a Cinder?"),
        ((200, {}), "is it a Cinder?"),
        ((200, {"volume": {"id": 1}}), "is it a Cinder?"),
        ((200, {"volume": "x"}), "is it a Cinder?"),
    ],
)
def test_answers_that_are_no_help_are_refusals(
    cinder: StandIn, handler: CinderHandler, work: Work, instead: tuple[int, object], told: str
) -> None:
    cinder.instead["GET", "/volumes/.*"] = instead
    refused = handler.fetch(work).failure()
    assert told in refused.reason
    assert refused.scope is Scope.LOCATION
    assert "hunter2" not in refused.reason


@pytest.mark.parametrize("verb", [("PUT", "/attachments/.*"), ("POST", "/attachments/.*")])
def test_whatever_goes_wrong_on_the_way_nothing_stays_attached(
    cinder: StandIn, handler: CinderHandler, work: Work, cloning: Work, verb: tuple[str, str]
) -> None:
    cinder.instead[verb] = (500, {})
    for each in (work, cloning):
        assert "HTTP 500" in handler.fetch(each).failure().reason
    assert (list(cinder.volumes), cinder.attachments) == ([volume(work)], {})


def test_what_cannot_be_detached_is_a_warning_that_names_it(
    cinder: StandIn, handler: CinderHandler, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    cinder.instead["DELETE", "/attachments/.*"] = (500, {})
    with caplog.at_level(logging.WARNING):
        assert handler.fetch(work).unwrap().verified
    assert f"volume {volume(work)} may stay attached to this host" in caplog.text


def test_a_volume_smaller_than_its_image_is_a_mismatch(handler: CinderHandler, work: Work, cloning: Work) -> None:
    large = replace(IMAGE, size=GIBIBYTE + 1)
    for each in (work, cloning):
        assert isinstance(handler.fetch(replace(each, image=large)).failure(), Mismatched)


def test_where_the_catalog_knows_no_size_what_glance_wrote_down_counts(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)]["metadata"] = {"image_size": "1000"}
    image = replace(IMAGE, size=0, digest=None)
    assert handler.fetch(replace(work, image=image)).unwrap().size == 1000


def test_no_token_is_sent_where_a_redirect_leads() -> None:
    with Faults() as server, Faults() as other:
        server.answer("/volumes/1", redirect(other.url("/volumes/1"), 307))
        with pytest.raises(Refused, match="HTTP 307"):
            Cinder(lambda: Adapter(Session(Token(server.url(""), "secret")), "block-storage"), 5).known("1")
        assert other.requests == []


def test_all_pages_of_a_list_are_read(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    works = [recorded(handler, replace(cloning, target=f"cinder:vm-{number}")) for number in range(3)]
    cinder.page = 1
    cinder.asked.clear()
    handler.prepare([each.association for each in works if each.association])
    assert cinder.asked == [("GET", "/volumes/detail")] * 3


TAKEN = {"attachment_id": "a", "device": "/dev/vdb", "host_name": None, "server_id": "vm"}


def test_a_volume_that_can_be_shared_is_attached_beside_others(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)].update(status="in-use", multiattach=True, attachments=[TAKEN])
    assert handler.fetch(work).unwrap().verified
    assert cinder.volumes[volume(work)]["attachments"] == [TAKEN]
    assert ("POST", "/volumes") not in cinder.asked


def test_one_that_cannot_and_of_which_there_is_no_clone_is_refused_with_who_has_it(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)].update(status="in-use", attachments=[TAKEN])
    cinder.instead["POST", "/volumes"] = (500, {})
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unavailable)
    assert f"volume {volume(work)} is in-use, attached to server vm, and cannot be cloned" in refused.reason


def test_what_others_have_let_go_of_meanwhile_is_attached(
    cinder: StandIn, handler: CinderHandler, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, late = cinder.answer, ["once"]

    def answer_late(method: str, target: str, body: object) -> tuple[int, object]:
        if late and (method, target) == ("POST", "/attachments"):
            late.clear()
            return 400, {}
        return answer(method, target, body)

    monkeypatch.setattr(cinder, "answer", answer_late)
    assert handler.fetch(work).unwrap().verified
    assert ("POST", "/volumes") not in cinder.asked


@pytest.mark.parametrize("status", ["reserved", "in-use", "uploading"])
def test_by_force_nothing_is_replaced_that_others_are_at(
    cinder: StandIn, handler: CinderHandler, cloning: Work, status: str
) -> None:
    other = cinder.put(b"precious", name="vm-1", status=status)
    refused = handler.fetch(replace(cloning, force=True)).failure()
    assert isinstance(refused, TargetOccupied)
    assert refused.reason == f"cinder:vm-1 is {status}, and cannot be replaced"
    assert set(cinder.volumes) == {volume(cloning), other}


# What is not asked


def test_without_volumes_to_attach_nothing_is_asked_and_nothing_loaded(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    handler.prepare([Association(work.target, "cinder", IMAGE, work.location, NOW)])
    assert cinder.asked == []
    code = """import sys
from lading.adapters.handlers.cinder.handler import CinderHandler
print(*{each.partition(".")[0] for each in sys.modules} & {"os_brick", "keystoneauth1", "openstack", "requests"})"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_foreseeing_attaches_and_makes_nothing(
    cinder: StandIn, handler: CinderHandler, work: Work, cloning: Work
) -> None:
    assert handler.preview(work) == Success(f"attaches the volume and reads {len(DATA)} bytes")
    assert handler.preview(cloning) == Success(f"clones volume {volume(work)} to one of 1 GiB, and attaches that")
    assert {method for method, _ in cinder.asked} == {"GET"}


def test_loading_os_brick_leaves_forking_as_it_was(handler: CinderHandler, work: Work) -> None:
    assert isinstance(handler.fetch(work), Success)
    subprocess.run(["true"], check=True)
    if (child := os.fork()) == 0:
        os._exit(0)  # eventlet would have warned, which is an error here
    os.waitpid(child, 0)


# What it is told


def test_without_its_packages_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cinder_module, "find_spec", lambda _: None)
    setup = HandlerSetup(Table({}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
    with pytest.raises(ModuleNotFoundError, match=r"os-brick .*pip install 'lading\[cinder\]'"):
        CinderHandler.from_setup(setup)


def test_without_a_cloud_it_says_where_to_name_one(work: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    setup = HandlerSetup(
        Table({"cloud": "nowhere"}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal()
    )
    refused = CinderHandler.from_setup(setup).fetch(work).failure()
    assert isinstance(refused, Unconfigured)
    assert "[handlers.cinder] cloud" in refused.reason


def test_it_costs_a_clone_or_the_storage_s_network(handler: CinderHandler) -> None:
    assert handler.cost("cinder:vm") is Cost.CLONE
    assert handler.cost("/vms/1") is handler.cost("") is Cost.STORAGE_NETWORK


@pytest.mark.parametrize(
    "url", ["cinder://", "cinder://noble", "cinder://a/b/0b2e7a4c-2f58-4c7a-9d0f-5c0a6a2f8d11", "cinder:///x/../y"]
)
def test_locations_that_name_no_volume_are_declined(handler: CinderHandler, work: Work, url: str) -> None:
    for target in (work.target, "cinder:vm"):
        refused = handler.fetch(replace(work, target=target, location=Location(url))).failure()
        assert isinstance(refused, Unsupported)
        assert "names no volume" in refused.reason


@pytest.mark.parametrize("target", ["cinder:", "cinder: vm", "cinder://vm", f"cinder:{'x' * 250}"])
def test_targets_that_name_no_volume_are_declined(handler: CinderHandler, work: Work, target: str) -> None:
    assert isinstance(volume_target(target).failure(), Unsupported)
    assert isinstance(handler.fetch(replace(work, target=target)).failure(), Unsupported)


def test_a_mark_tells_whether_its_process_is_gone() -> None:
    mark, here = process_mark(HOST), str(os.getpid())
    assert not is_left_over(mark, HOST)
    assert is_left_over(mark.replace(here, "1"), HOST)  # another process has that number
    assert is_left_over(mark.replace(here, "4194305"), HOST)  # more than there can be
    assert not is_left_over(mark.replace(here, "1"), "compute-2")
    assert not is_left_over(mark.replace(here, "1"), "compute")
    for other in (permanent_mark(HOST), "/dev/vdb", "", f"lading {HOST} x y"):
        assert not is_left_over(other, HOST)


def test_where_no_process_can_be_told_from_another_none_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = process_mark(HOST)
    monkeypatch.setattr(names, "boot_id", lambda: None)
    assert not is_left_over(mark, HOST)
    assert not is_left_over(mark.replace(str(os.getpid()), "4194305"), HOST)


@pytest.mark.parametrize("start", ["another start", ""])
def test_a_start_of_the_host_that_is_not_known_is_not_the_same_one(
    handler: CinderHandler, cloning: Work, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(attachments, "boot", lambda: "")
    work = recorded(handler, cloning)
    monkeypatch.setattr(attachments, "boot", lambda: start)
    assert handler.report(work).unwrap().state is State.DETACHED
