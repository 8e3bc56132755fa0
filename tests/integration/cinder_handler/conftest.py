"""Fixtures of the tests beside a stand-in for Cinder."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token
from tests.integration.cinder_handler.stand_in import HOST, StandIn
from tests.rigs.rig import setup_of

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.sdk.contracts import IMAGE


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
