"""The http handler against a real nginx."""

import hashlib
import os
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from returns.result import Result, Success
from tests.integration.services.certificates import Certificates, certificates
from tests.integration.services.nginx import Nginx

from lading import Digest, Image, Landing, Location, Refusal, Unavailable, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web import remote, segments
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.network import DIRECT, Named, NetworkPolicy

DATA = os.urandom((3 << 20) + 5)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))


@pytest.fixture
def name(nginx: Nginx, request: pytest.FixtureRequest) -> str:
    """A file of the test's own that nginx serves."""
    name = f"{abs(hash(request.node.name))}.img"
    (nginx.folder / name).write_bytes(DATA)
    return name


def fetch(target: Path, *urls: str, network: NetworkPolicy = DIRECT, connections: int = 1) -> Result[Landing, Refusal]:
    handler = HttpHandler(
        HttpOptions(5, 5, network), FileDestination(MemoryVerifiedFiles()), connections=connections, first_wait=0.01
    )
    locations = [Location(url) for url in urls]
    return handler.fetch(Work(str(target), replace(IMAGE, locations=locations), locations[0]))


def trusting(certificates: Certificates) -> NetworkPolicy:
    return NetworkPolicy(ca_file=Named(str(certificates.authority), "a test"))


def test_a_plain_url_is_fetched_over_one_connection(nginx: Nginx, name: str, tmp_path: Path) -> None:
    assert fetch(tmp_path / "vm", nginx.url(name)).unwrap().verified
    assert (tmp_path / "vm").read_bytes() == DATA
    assert len(nginx.accesses(name, at_least=1)) == 1


def test_tls_is_verified_and_a_certificate_of_one_s_own_is_trusted_when_that_is_said(
    nginx: Nginx, name: str, tmp_path: Path
) -> None:
    url = nginx.url(name, tls=True)
    refused = fetch(tmp_path / "vm", url).failure()
    assert isinstance(refused, Unavailable)
    assert "certificate" in str(refused).lower()
    ours = trusting(nginx.certificates)
    assert isinstance(fetch(tmp_path / "vm", url, network=ours), Success)


class TlsServer:
    """Gives every request the same bytes, and then closes without the farewell of TLS."""

    def __init__(self, ours: Certificates, answer: bytes) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(ours.server, ours.key)
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self.connections = 0

    def _serve(self) -> None:
        with suppress(OSError):  # the end of the test
            while True:
                wire, _ = self._listener.accept()
                self.connections += 1
                with suppress(OSError), wire, self._tls.wrap_socket(wire, server_side=True) as secured:
                    secured.recv(65536)
                    secured.sendall(self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def test_a_certificate_that_is_wrong_for_good_is_tried_once(tmp_path: Path) -> None:
    with TlsServer(certificates(tmp_path), b"") as server:
        refused = fetch(tmp_path / "vm", server.url).failure()
    assert "certificate" in str(refused).lower()
    assert server.connections == 1


def test_without_a_digest_an_end_without_tls_s_farewell_is_none(tmp_path: Path) -> None:
    """Whoever is in between can end a connection, and so an image whose length nobody told."""
    ours = certificates(tmp_path)
    handler = HttpHandler(HttpOptions(5, 5, trusting(ours)), FileDestination(MemoryVerifiedFiles()), first_wait=0.01)
    with TlsServer(ours, b"HTTP/1.0 200 OK\r\n\r\n" + DATA) as server:
        work = Work(str(tmp_path / "vm"), Image("id"), Location(server.url))
        assert "broke off" in str(handler.fetch(work).failure())
        assert isinstance(handler.fetch(replace(work, image=replace(IMAGE, size=None))), Success)


def test_a_redirect_from_https_to_http_is_not_followed(nginx: Nginx, name: str, tmp_path: Path) -> None:
    ours = trusting(nginx.certificates)
    refused = fetch(tmp_path / "vm", nginx.url(f"elsewhere/{name}", tls=True), network=ours)
    assert "https to http" in str(refused)


def test_credentials_in_the_url_open_what_is_private(nginx: Nginx, name: str, tmp_path: Path) -> None:
    user, password = nginx.credentials
    assert isinstance(fetch(tmp_path / "vm", nginx.url(f"private/{name}")).failure(), Unavailable)
    assert isinstance(fetch(tmp_path / "vm", nginx.url(f"private/{name}", userinfo=f"{user}:{password}")), Success)


@pytest.mark.parametrize("prefix", ["moved", "elsewhere", "whole"])
def test_redirects_and_servers_without_ranges_are_no_obstacle(
    nginx: Nginx, name: str, tmp_path: Path, prefix: str
) -> None:
    assert isinstance(fetch(tmp_path / "vm", nginx.url(f"{prefix}/{name}")), Success)
    assert (tmp_path / "vm").read_bytes() == DATA


def test_a_loop_of_redirects_is_a_refusal(nginx: Nginx, name: str, tmp_path: Path) -> None:
    assert "redirects" in str(fetch(tmp_path / "vm", nginx.url(f"looping/{name}")).failure())


def test_a_server_that_gives_each_connection_little_is_asked_by_several(
    nginx: Nginx, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_TRIAL", 1 << 18)
    monkeypatch.setattr(remote, "_TRIAL_SECONDS", 0.5)
    monkeypatch.setattr(remote, "CHUNK", 1 << 17)
    monkeypatch.setattr(segments, "CHUNK", 1 << 17)
    monkeypatch.setattr("lading.adapters.stream.pipeline.CHUNK", 1 << 17)
    big = DATA[: 3 << 20]
    (nginx.folder / name).write_bytes(big)
    image = replace(IMAGE, size=len(big), digest=Digest("sha512", hashlib.sha512(big).hexdigest()))
    handler = HttpHandler(HttpOptions(5, 10), FileDestination(MemoryVerifiedFiles()), connections=8)
    work = Work(str(tmp_path / "vm"), image, Location(nginx.url(f"slow/{name}")))
    assert isinstance(handler.fetch(work), Success)
    assert (tmp_path / "vm").read_bytes() == big
    assert nginx.log.entries(name, at_least=2, where=lambda each: each.range)
