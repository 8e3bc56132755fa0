"""The swift handler: what locations say, who is sent which credentials, and servers that misbehave."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.faulty_server import CUT, STALL, FaultyServer, Reply, busy, redirect

from lading import Context, Digest, Image, Landing, Location, Refusal, Unavailable, Unsupported, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers import swift
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.handlers.swift import SwiftHandler, SwiftHandlerSettings, SwiftObject
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles

DATA = os.urandom((1 << 20) + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))
SECRET = "hun/ter2"  # noqa: S105 - it opens nothing
WHOLE = Reply(DATA)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Where one signs in by Swift's own way, to be told of the account `/v1/AUTH_x` and the token `first`."""
    with FaultyServer() as running:
        running.answer("/auth/v1.0", signed_in(running, "first"))
        yield running


def signed_in(server: FaultyServer, token: str) -> Reply:
    return Reply(headers=[("X-Auth-Token", token), ("X-Storage-Url", server.url("/v1/AUTH_x"))])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "vm"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert [name for name in os.listdir(tmp_path) if name != "vm"] == []


def fetch(target: Path, url: str, *hosts: str, token: str | None = None, stall: float = 5) -> Result[Landing, Refusal]:
    settings = SwiftHandlerSettings(hosts=hosts, connect_seconds=5, stall_seconds=stall)
    handler = SwiftHandler(settings, FileDestination(MemoryVerifiedFiles()), first_wait=0.001)
    return handler.fetch(Work(str(target), IMAGE, Location(url), context=Context(token=token)))


def at(server: FaultyServer) -> str:
    return server.url("").removeprefix("http://").rstrip("/")


def own(server: FaultyServer, path: str = "images/noble") -> str:
    """A location by whose credentials one signs in."""
    return f"swift+http://account%3Auser:{SECRET}@{at(server)}/auth/v1.0/{path}"


# Locations.


@pytest.mark.parametrize(
    ("url", "server", "credentials"),
    [
        ("swift://a%3Au:k@auth.example/v3/images/noble", "https://auth.example/v3", ("a:u", "k")),
        ("swift+https://a:u:k@Auth.Example:5000/v3/images/noble", "https://auth.example:5000/v3", ("a:u", "k")),
        ("SWIFT+HTTP://a:u:k@[::1]:5000/images/noble", "http://[::1]:5000", ("a:u", "k")),
        ("swift://My%20Project%3Aj%40b:k%3A%2F/e%40y@h/v1.0/images/noble", "https://h/v1.0", ("My Project:j@b", "k://e@y")),
        ("swift+https://store.example/v1/AUTH_x/images/noble", "https://store.example/v1/AUTH_x", None),
        ("swift://store.example/swift/v1/images/noble", "https://store.example/swift/v1", None),
    ],
)  # fmt: skip
def test_a_location_is_read_as_glance_writes_it(url: str, server: str, credentials: tuple[str, str] | None) -> None:
    assert SwiftObject.of(Location(url)) == SwiftObject(server, "images", "noble", credentials)
    assert "k" not in repr(SwiftObject.of(Location(url)))


@pytest.mark.parametrize(
    "url",
    [
        "swift://",
        "swift://host",
        "swift://host/container",
        "swift://host/container/",
        "swift:///container/object",
        "swift://host/v1/../container/object",
        "swift://host/v1/container/..",
        "swift://host/v1/container/object?x=1",
        "swift://host/v1/container/object#x",
        "swift+ftp://host/v1/container/object",
        "swift://host:port/v1/container/object",
        "swift://ho st/v1/container/object",
        "swift://***@host/v1/container/object",
        f"swift://{SECRET}@host/v1/container/object",
        f"swift://:{SECRET}@host/v1/container/object",
        f"swift://a%0D%0AX:{SECRET}@host/v1/container/object",
        f"swift://account:{SECRET}@host/v3/container/object",
        f"swift://http://a:u:{SECRET}@host/v1/container/object@x",
    ],
)
def test_what_is_no_location_is_refused_without_showing_it(target: Path, url: str) -> None:
    refused = fetch(target, url, "host").failure()
    assert isinstance(refused, Unsupported)
    assert "hun" not in str(refused)


def test_what_only_glance_can_find_is_refused_with_the_reason(target: Path) -> None:
    refused = fetch(target, "swift+config://ref1/glance/noble").failure()
    assert refused == Unsupported("only Glance's own configuration names its server and credentials")


# Who is sent what.


def test_one_signs_in_where_the_location_says_and_reads_where_that_says(server: FaultyServer, target: Path) -> None:
    server.answer("/v1/AUTH_x/images/noble", WHOLE)
    assert fetch(target, own(server), at(server)).unwrap().verified
    signing, reading = server.requests
    assert (signing.headers["x-auth-user"], signing.headers["x-auth-key"]) == ("account:user", SECRET)
    assert reading.headers["x-auth-token"] == "first"
    assert "x-auth-key" not in reading.headers


def test_names_are_quoted_as_they_stand(server: FaultyServer, target: Path) -> None:
    server.answer("/v1/AUTH_x/a%20b/c%2520%C3%BC", WHOLE)
    assert isinstance(fetch(target, own(server, "a b/c%20ü"), at(server)), Success)


def test_nobody_is_sent_anything_unless_listed(server: FaultyServer, target: Path) -> None:
    refused = fetch(target, own(server), "elsewhere.example").failure()
    assert isinstance(refused, Unavailable)
    assert "[handlers.swift] hosts" in str(refused)
    assert server.requests == []


def test_neither_a_key_nor_a_token_is_told_to_whom_a_redirect_leads(server: FaultyServer, target: Path) -> None:
    with FaultyServer() as other:
        for path in ("/auth/v1.0", "/v1/AUTH_x/images/noble"):
            other.answer(path, WHOLE)
        server.answer("/v1/AUTH_x/images/noble", redirect(other.url("/v1/AUTH_x/images/noble")))
        assert "redirects" in str(fetch(target, own(server), at(server)).failure())
        server.answer("/auth/v1.0", redirect(other.url("/auth/v1.0")))
        assert isinstance(fetch(target, own(server), at(server)).failure(), Unavailable)
        assert other.requests == []


def test_a_request_s_own_token_goes_to_listed_accounts(server: FaultyServer, target: Path) -> None:
    server.answer("/v1/AUTH_y/images/noble", WHOLE)
    url = f"swift+http://{at(server)}/v1/AUTH_y/images/noble"
    assert fetch(target, url, "127.0.0.1", token="mine").unwrap().verified
    assert [request.headers["x-auth-token"] for request in server.requests] == ["mine"]


# Servers that misbehave.


def test_a_token_that_expires_on_the_way_is_replaced(server: FaultyServer, target: Path) -> None:
    server.answer("/auth/v1.0", signed_in(server, "first"), signed_in(server, "second"))
    server.answer("/v1/AUTH_x/images/noble", Reply(DATA, after=1000, then=CUT), Reply(b"", status=401), WHOLE)
    assert fetch(target, own(server), at(server)).unwrap().verified
    read = server.requests_for("/v1/AUTH_x/images/noble")
    assert [request.headers["x-auth-token"] for request in read] == ["first", "first", "second"]
    assert [request.range for request in read] == [None, "bytes=1000-", "bytes=1000-"]


def test_a_fresh_token_that_is_not_to_be_had_is_a_refusal(server: FaultyServer, target: Path) -> None:
    server.answer("/auth/v1.0", signed_in(server, "first"), Reply(SECRET.encode(), status=401))
    server.answer("/v1/AUTH_x/images/noble", Reply(b"", status=401))
    refused = fetch(target, own(server), at(server)).failure()
    assert refused == Unavailable("no token can be obtained: the credentials are not accepted")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(SECRET.encode(), status=401), "the credentials are not accepted"),
        (Reply(SECRET.encode(), status=403), "HTTP 403"),
        (busy(), "HTTP 503"),
        (Reply(), "the cloud names no object store"),
        (Reply(headers=[("X-Auth-Token", "t"), ("X-Storage-Url", "file:///etc")]), "the cloud names no object store"),
        (Reply(b"x" * 100, then=STALL, after=0), "no answer"),
    ],
)
def test_where_one_can_t_sign_in_it_is_a_refusal_without_secrets(
    server: FaultyServer, target: Path, reply: Reply, told: str
) -> None:
    server.answer("/auth/v1.0", reply)
    refused = fetch(target, own(server), at(server), stall=0.3).failure()
    assert isinstance(refused, Unavailable)
    assert told in str(refused)
    assert "hun" not in str(refused)


def test_a_server_that_is_not_there_is_a_refusal(target: Path) -> None:
    for version in ("v1.0", "v2.0", "v3"):
        refused = fetch(target, f"swift+http://a:u:{SECRET}@127.0.0.1:1/{version}/c/o", "127.0.0.1").failure()
        assert isinstance(refused, Unavailable)
        assert "hun" not in str(refused)


def test_a_busy_server_is_asked_again_and_given_up_in_the_end(server: FaultyServer, target: Path) -> None:
    server.answer("/v1/AUTH_x/images/noble", busy(retry_after=0), WHOLE)
    assert isinstance(fetch(target, own(server), at(server)), Success)
    target.unlink()
    server.answer("/v1/AUTH_x/images/busy", busy(retry_after=0))
    refused = fetch(target, own(server, "images/busy"), at(server)).failure()
    assert refused == Unavailable("HTTP 503 Service Unavailable")


# The factory.


def test_what_is_not_installed_is_said_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = HandlerSetup(Table({}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
    assert SwiftHandler.from_setup(setup).name == "swift"
    monkeypatch.setattr(swift, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"openstacksdk is not installed: pip install 'lading\[swift\]'"):
        SwiftHandler.from_setup(setup)
