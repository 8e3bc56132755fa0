"""Redirects and credentials."""

from pathlib import Path
from urllib.parse import quote

import pytest
from returns.result import Failure, Success
from tests.faulty_server import CUT, FaultyServer, Reply, redirect
from tests.integration.http_handler.served import DATA, IMAGE, MEBIBYTE, WHOLE, fetch, handler

from lading import Location, Unavailable, Unsupported, Work
from lading.adapters.codec.sizes import size_text
from lading.adapters.web.http import HttpOptions, HttpRefused, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream


def test_a_redirect_is_followed(server: FaultyServer, target: Path) -> None:
    server.answer("/b", WHOLE)
    assert isinstance(fetch(target, server.answer("/a", redirect("/b"))), Success)


@pytest.mark.parametrize("told", ["/noble image", "/nobl\xc3\xa9.img", " /b "])
def test_a_redirect_that_is_not_percent_encoded_is_followed(server: FaultyServer, target: Path, told: str) -> None:
    server.answer(quote(told.strip().encode("latin-1")), WHOLE)
    url = server.answer("/a", f"HTTP/1.1 302 Found\r\nLocation: {told}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    assert isinstance(fetch(target, url), Success)


def test_a_loop_of_redirects_ends(server: FaultyServer, target: Path) -> None:
    assert "redirects" in str(fetch(target, server.answer("/a", redirect("/a"))).failure())


@pytest.mark.parametrize("onward", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "gopher:x"])
def test_a_redirect_to_another_scheme_is_refused(server: FaultyServer, target: Path, onward: str) -> None:
    assert isinstance(fetch(target, server.answer("/a", redirect(onward))).failure(), Unavailable)


def test_credentials_of_a_url_are_sent_to_its_origin_only(server: FaultyServer, target: Path) -> None:
    with FaultyServer() as other:
        other.answer("/b", WHOLE)
        server.answer("/a", redirect("/c"))
        server.answer("/c", redirect(other.url("/b")))
        assert isinstance(fetch(target, server.url("/a", userinfo="user:pa%2Fss")), Success)
        sent = [request.headers.get("authorization") for request in (*server.requests, *other.requests)]
    assert sent == ["Basic dXNlcjpwYS9zcw==", "Basic dXNlcjpwYS9zcw==", None]


def test_no_refusal_shows_credentials(server: FaultyServer, target: Path) -> None:
    server.answer("/a", Reply(b"", status=403))
    for url in (server.url("/a?sig=hunter2", userinfo="user:hunter2"), "http://user:hunter2@127.0.0.1:1/x"):
        assert "hunter2" not in str(fetch(target, url))


@pytest.mark.parametrize(
    "url", ["http:///x", "http://[::1/x", "https://", "http://user:hunter2@host:port/x", "http://hunter2\u2100@host/x"]
)
def test_a_text_that_is_no_url_is_refused(target: Path, url: str) -> None:
    refused = fetch(target, url).failure()
    assert isinstance(refused, Unsupported)
    assert "hunter2" not in str(refused)


def test_a_preview_tells_the_way_of_transfer(server: FaultyServer, target: Path) -> None:
    location = Location(server.answer("/x", WHOLE))
    assert handler().preview(Work(str(target), IMAGE, location)) == Success(f"downloads {size_text(len(DATA))}")
    assert isinstance(handler().preview(Work(str(target), IMAGE, Location(server.url("/none")))), Failure)
    assert isinstance(handler().preview(Work(str(target), IMAGE)), Failure)
    assert not target.exists()


def test_a_rejected_token_is_renewed_once_and_the_read_resumes(server: FaultyServer) -> None:
    stale = Reply(b"", status=401, headers=[("WWW-Authenticate", "Bearer")])
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), stale, WHOLE)
    refusals: list[HttpRefused] = []

    def renew(refused: HttpRefused) -> Origin:
        refusals.append(refused)
        return Origin(url, {"X-Auth-Token": "fresh"})

    mirrors = Mirrors([Origin(url, {"X-Auth-Token": "stale"})], HttpOptions(), renew=renew, first_wait=0.001)
    assert everything(RemoteStream(mirrors)) == DATA
    assert [(each.status, each.challenges) for each in refusals] == [(401, ("Bearer",))]
    assert [request.headers["x-auth-token"] for request in server.requests] == ["stale", "stale", "fresh"]


def test_a_new_token_that_is_rejected_too_is_a_failure(server: FaultyServer) -> None:
    url = server.answer("/x", Reply(b"", status=401))
    mirrors = Mirrors([Origin(url)], HttpOptions(), renew=lambda _: Origin(url), first_wait=0.001)
    with pytest.raises(HttpRefused, match="401"):
        everything(RemoteStream(mirrors))
    assert len(server.requests) == 2


def everything(stream: RemoteStream) -> bytes:
    found, buffer = bytearray(), memoryview(bytearray(MEBIBYTE))
    while count := stream.readinto(buffer):
        found += buffer[:count]
    stream.close()
    return bytes(found)
