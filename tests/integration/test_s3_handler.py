"""The s3 handler: what locations say, who is sent which key, and a server that misbehaves."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.faulty_server import CUT, FaultyServer, Reply, busy, redirect

from lading import Digest, Image, Landing, Location, Refusal, Unavailable, Unsupported, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.settings import read_settings
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers import s3
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings, S3Key, S3Object
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles

DATA = os.urandom((1 << 20) + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))
SECRET = "hun/ter+2@x"  # noqa: S105 - it opens nothing
WHOLE = Reply(DATA)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "vm"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert [name for name in os.listdir(tmp_path) if name != "vm"] == []


def fetch(target: Path, settings: S3HandlerSettings, *urls: str) -> Result[Landing, Refusal]:
    locations = [Location(url) for url in urls]
    handler = S3Handler(settings, FileDestination(MemoryVerifiedFiles()), first_wait=0.001)
    return handler.fetch(Work(str(target), replace(IMAGE, locations=locations), locations[0]))


def at(server: FaultyServer, *, key: bool = True, **options: float) -> S3HandlerSettings:
    keys = {"access_key": "OURS", "secret_key": SECRET} if key else {}
    return S3HandlerSettings(endpoint=server.url("").rstrip("/"), **keys, **options)  # type: ignore[arg-type]


# Locations.


@pytest.mark.parametrize(
    ("url", "server", "path", "key"),
    [
        ("s3://store.example/images/noble", "https://store.example", "images/noble", None),
        ("S3+HTTPS://Store.Example:8443/images/noble", "https://store.example:8443", "images/noble", None),
        ("s3+http://[::1]:80/images/noble", "http://[::1]:80", "images/noble", None),
        ("s3://AK:SK@store.example/images/noble", "https://store.example", "images/noble", ("AK", "SK")),
        ("s3://AK:a/b+c:d@e@store.example/i/n", "https://store.example", "i/n", ("AK", "a/b+c:d@e")),
        ("s3://AK:a?b#c@store.example/i/n", "https://store.example", "i/n", ("AK", "a?b#c")),
        ("s3://store.example/images/a folder/ü%20", "https://store.example", "images/a folder/ü%20", None),
    ],
)
def test_a_location_is_read_as_glance_writes_it(url: str, server: str, path: str, key: tuple[str, str] | None) -> None:
    named = S3Object.of(Location(url))
    assert (named.server, named.path) == (server, path)
    assert named.key == (None if key is None else S3Key(*key))


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://host",
        "s3://host/bucket",
        "s3://host/bucket/",
        "s3://host//key",
        "s3:///bucket/key",
        "s3://host/bucket/../key",
        "s3://host/bucket/./key",
        "s3://host/bucket//key",
        "s3://host/bucket/key?versionId=1",
        "s3://host/bucket/key#x",
        "s3:host/bucket/key",
        "s3+ftp://host/bucket/key",
        "s3://host:port/bucket/key",
        "s3://host:99999/bucket/key",
        "s3://ho st/bucket/key",
        "s3://h\u00f6st/bucket/key",
        f"s3://{SECRET}@host/bucket/key",
        f"s3://AK:{SECRET}@/bucket/key",
        f"s3://AK:{SECRET}@host/bucket",
        f"s3://A\r\nK:{SECRET}@host/bucket/key",
        f"s3://AK:{SECRET}\x00@host/bucket/key",
        f"s3://:{SECRET}@host/bucket/key",
        "s3://***@host/bucket/key",
        "s3://host/bucket/" + "k" * 9000,
        "s3://host/bucket/\ud800",
    ],
)
def test_what_is_no_location_is_refused_without_showing_it(target: Path, url: str) -> None:
    refused = fetch(target, S3HandlerSettings(), url).failure()
    assert isinstance(refused, Unsupported)
    assert not re.search(r"hun|ter\+|AK|\*\*\*", refused.reason)


def test_no_repr_shows_a_key() -> None:
    assert "hun" not in repr(S3Object.of(Location(f"s3://AK:{SECRET}@host/bucket/key")))
    assert "hun" not in repr(S3HandlerSettings("http://x", "AK", SECRET))
    table = {"endpoint": "http://x", "access_key": "AK", "secret_key": SECRET}
    assert "hun" not in repr(read_settings({"handlers": {"s3": table}}, {"HOME": "/home/me"}))
    assert "hun" not in repr(
        HandlerSetup(Table(table), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
    )


def test_no_signature_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    told = s3.sign("http://store.example/images/noble", S3Key("AK", SECRET), "us-east-1")["Authorization"]
    assert "CanonicalRequest" in caplog.text
    assert told.rpartition("=")[2] not in caplog.text
    assert "hun" not in caplog.text


# Which server is asked, and with which key.


def test_the_settings_server_is_asked_with_the_settings_key_whatever_a_location_says(
    server: FaultyServer, target: Path
) -> None:
    server.answer("/images/noble", WHOLE)
    landing = fetch(target, at(server), "s3://THEIRS:theirs@elsewhere.example/images/noble").unwrap()
    assert (landing.method, landing.verified) == ("s3", True)
    (request,) = server.requests
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=OURS/")
    assert "?" not in request.path


def test_a_key_in_a_url_goes_to_the_settings_server_where_there_is_one(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", WHOLE)
    assert isinstance(fetch(target, at(server, key=False), "s3://THEIRS:a/b@elsewhere.example/images/noble"), Success)
    assert "Credential=THEIRS/" in server.requests[0].headers["authorization"]


def test_without_any_key_nothing_is_signed(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", WHOLE)
    assert isinstance(fetch(target, at(server, key=False), "s3://elsewhere.example/images/noble"), Success)
    assert "authorization" not in server.requests[0].headers


def test_the_region_is_the_settings_or_the_one_in_the_host_s_name(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", WHOLE)
    fetch(target, replace(at(server), region="default"), "s3://h/images/noble")
    assert "/default/s3/aws4_request" in server.requests[0].headers["authorization"]
    for host, region in {
        "s3.eu-central-1.amazonaws.com": "eu-central-1",
        "s3-us-gov-west-1.amazonaws.com": "us-gov-west-1",
        "s3.cn-north-1.amazonaws.com.cn": "cn-north-1",
        "s3.amazonaws.com": "us-east-1",
        "store.example": "us-east-1",
    }.items():
        assert s3.region_of(f"https://{host}/b/k") == region


def test_an_endpoint_below_a_path_is_not_named_twice(server: FaultyServer, target: Path) -> None:
    server.answer("/s3/images/noble", WHOLE)
    settings = replace(at(server), endpoint=server.url("/s3/"))
    for url in ("s3://h/s3/images/noble", "s3://h/images/noble"):
        assert isinstance(fetch(target, settings, url), Success)
        target.unlink()


def test_a_key_is_quoted_as_it_stands(server: FaultyServer, target: Path) -> None:
    server.answer("/images/a%20b/c%2520%C3%BC%2B", WHOLE)
    assert isinstance(fetch(target, at(server), "s3://h/images/a b/c%20ü+"), Success)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3+http://127.0.0.1/images/noble", "127.0.0.1 is a loopback address"),
        ("s3+http://169.254.169.254/images/noble", "169.254.169.254 is a metadata service's address"),
        ("s3+http://8.8.8.8:8080/images/noble", "port 8080 of 8.8.8.8 is not allowed"),
    ],
)
def test_a_host_that_only_a_location_names_must_be_public(target: Path, url: str, told: str) -> None:
    refused = fetch(target, S3HandlerSettings(), url).failure()
    assert isinstance(refused, Unavailable)
    assert refused.reason == f"{told}; [handlers.s3] endpoint names the server that is allowed"


def test_no_redirect_leads_away_from_the_settings_server(server: FaultyServer, target: Path) -> None:
    with FaultyServer() as other:
        other.answer("/images/noble", WHOLE)
        server.answer("/images/noble", redirect(other.url("/images/noble")))
        refused = fetch(target, at(server), "s3://h/images/noble").failure()
        assert "[handlers.s3] endpoint" in str(refused)
        assert other.requests == []


# A server that misbehaves.


def test_what_broke_off_goes_on_freshly_signed(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", Reply(DATA, after=1000, then=CUT), WHOLE)
    assert isinstance(fetch(target, at(server), "s3://h/images/noble"), Success)
    assert [request.range for request in server.requests] == [None, "bytes=1000-"]
    assert all("authorization" in request.headers for request in server.requests)


def test_another_s3_location_is_a_mirror(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", Reply(DATA, after=1000, then=CUT))
    server.answer("/copies/noble", WHOLE)
    urls = "s3://h/images/noble", "s3://h/copies/noble", "http://127.0.0.1:1/noble", "s3://h/nothing"
    assert isinstance(fetch(target, at(server), *urls), Success)
    assert [request.range for request in server.requests_for("/copies/noble")] == ["bytes=1000-"]


def test_a_busy_server_is_asked_again_and_given_up_in_the_end(server: FaultyServer, target: Path) -> None:
    server.answer("/images/noble", busy(retry_after=0), WHOLE)
    assert isinstance(fetch(target, at(server), "s3://h/images/noble"), Success)
    target.unlink()
    server.answer("/images/busy", busy(retry_after=0))
    refused = fetch(target, at(server), "s3://h/images/busy").failure()
    assert refused == Unavailable("HTTP 503 Service Unavailable")
    assert len(server.requests_for("/images/busy")) == 5


@pytest.mark.parametrize(("status", "hint"), [(403, "clock"), (301, "region"), (400, "region")])
def test_what_a_status_means_is_said(server: FaultyServer, target: Path, status: int, hint: str) -> None:
    server.answer("/images/noble", Reply(f"<Secret>{SECRET}</Secret>".encode(), status=status))
    refused = fetch(target, at(server), "s3://h/images/noble").failure()
    assert isinstance(refused, Unavailable)
    assert refused.reason.startswith(f"HTTP {status} ")
    assert hint in str(refused)
    assert "hun" not in str(refused)


# The factory.


def test_what_is_not_installed_is_said_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = HandlerSetup(Table({}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
    assert S3Handler.from_setup(setup).name == "s3"
    monkeypatch.setattr(s3, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"botocore is not installed: pip install 'lading\[s3\]'"):
        S3Handler.from_setup(setup)
