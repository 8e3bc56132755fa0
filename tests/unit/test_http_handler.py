"""The http handler against a server that misbehaves."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure, Result, Success
from tests.faults import BEFORE_THE_HEAD, CUT, GARBAGE, LONG_HEADERS, RESET, STALL, Faults, Reply, Then, busy, redirect

from lading import Digest, Image, Landing, Location, Mismatched, Refusal, Scope, Unavailable, Unsupported, Work
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.transfer import remote
from lading.adapters.transfer.http import HttpOptions, HttpRefused, Origin
from lading.adapters.transfer.mirrors import Mirrors
from lading.adapters.transfer.remote import RemoteStream
from lading.adapters.transfer.transfer import Transfer
from lading.adapters.verifications.memory import MemoryVerifiedFiles

MEBIBYTE = 1 << 20
DATA = os.urandom(3 * MEBIBYTE + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))

WHOLE = Reply(DATA)


@pytest.fixture
def server() -> Iterator[Faults]:
    with Faults() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "vm"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    before = threading.active_count()
    yield
    assert [name for name in os.listdir(tmp_path) if name != "vm"] == []
    assert threading.active_count() <= before + 1


def handler(**options: float) -> HttpHandler:
    given = HttpOptions(connect_seconds=5, stall_seconds=options.get("stall", 5))
    transfer = Transfer(MemoryVerifiedFiles())
    return HttpHandler(given, transfer, connections=int(options.get("connections", 1)), first_wait=0.001)


def fetch(target: Path, *urls: str, image: Image = IMAGE, **options: float) -> Result[Landing, Refusal]:
    locations = [Location(url) for url in urls]
    return handler(**options).fetch(Work(str(target), replace(image, locations=locations), locations[0]))


def test_a_url_is_fetched_and_verified(server: Faults, target: Path) -> None:
    landing = fetch(target, server.answer("/x", WHOLE)).unwrap()
    assert target.read_bytes() == DATA
    assert (landing.method, landing.verified) == ("http", True)
    assert [request.range for request in server.requests] == [None]


def test_an_image_whose_size_nobody_knows_is_read_to_its_end(server: Faults, target: Path) -> None:
    for framing in ("chunked", "close"):
        url = server.answer(f"/{framing}", Reply(DATA, framing=framing))
        assert isinstance(fetch(target, url, image=replace(IMAGE, size=None)), Success)
        assert target.read_bytes() == DATA
        target.unlink()


@pytest.mark.parametrize("then", [CUT, RESET])
@pytest.mark.parametrize("after", [0, 1, MEBIBYTE + 5, len(DATA) - 1])
def test_what_broke_off_goes_on_where_it_broke_off(server: Faults, target: Path, then: Then, after: int) -> None:
    url = server.answer("/x", Reply(DATA, after=after, then=then), WHOLE)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA
    assert len(server.requests) == 2


def test_a_server_that_ignores_ranges_is_read_again_from_its_start(server: Faults, target: Path) -> None:
    broken = Reply(DATA, ranges=False, after=MEBIBYTE, then=CUT)
    url = server.answer("/x", broken, Reply(DATA, ranges=False))
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("status", [400, 416])
def test_a_server_that_refuses_a_range_is_read_again_from_its_start(server: Faults, target: Path, status: int) -> None:
    broken = Reply(DATA, after=MEBIBYTE, then=CUT)
    url = server.answer("/x", broken, Reply(b"no", status=status), WHOLE)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "reply",
    [
        Reply(DATA, content_range="bytes 0-99/100"),
        Reply(DATA, content_range="bytes 1048576-9999999999/10000000000"),
        Reply(DATA, content_range="nonsense"),
        Reply(DATA, content_length=5),
    ],
)
def test_a_range_that_is_not_the_one_asked_for_is_not_taken(server: Faults, target: Path, reply: Reply) -> None:
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), reply, WHOLE)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


def test_an_image_that_changes_while_it_is_read_is_refused(server: Faults, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), Reply(DATA, etag='"2"'))
    refused = fetch(target, url).failure()
    assert isinstance(refused, Unavailable)
    assert "changed" in refused.reason


@pytest.mark.parametrize(
    "reply", [busy(429, retry_after=0), busy(503), busy(503, retry_after=0), Reply(b"", status=500)]
)
def test_a_busy_server_is_asked_again(server: Faults, target: Path, reply: Reply) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply, reply, WHOLE)), Success)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_a_server_that_says_no_is_not_asked_again(server: Faults, target: Path, status: int) -> None:
    refused = fetch(target, server.answer("/x", Reply(b"", status=status))).failure()
    assert (type(refused), refused.scope) == (Unavailable, Scope.LOCATION)
    assert str(status) in refused.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [GARBAGE, LONG_HEADERS, Reply(DATA, then=RESET, after=BEFORE_THE_HEAD)])
def test_a_server_that_speaks_no_sense_is_refused_after_a_few_tries(server: Faults, target: Path, reply: Reply) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply)).failure(), Unavailable)
    assert len(server.requests) <= 5


def test_a_server_that_is_not_there_is_refused(server: Faults, target: Path) -> None:
    refused = fetch(target, "http://127.0.0.1:1/x").failure()
    assert isinstance(refused, Unavailable)
    assert "127.0.0.1:1" in refused.reason


def test_compressed_bytes_that_were_not_asked_for_are_refused(server: Faults, target: Path) -> None:
    refused = fetch(target, server.answer("/x", Reply(DATA, gzipped=True))).failure()
    assert "gzip" in refused.reason


@pytest.mark.parametrize("length", [len(DATA) + 5, len(DATA) - 5])
def test_a_size_that_is_not_the_catalog_s_is_seen_before_the_bytes_are_read(
    server: Faults, target: Path, length: int
) -> None:
    refused = fetch(target, server.answer("/x", Reply(DATA, content_length=length))).failure()
    assert isinstance(refused, Mismatched)


@pytest.mark.parametrize("reply", [Reply(DATA, then=STALL, after=MEBIBYTE), Reply(DATA, pace=(8, 0.05))])
def test_a_server_that_stalls_is_given_up(server: Faults, target: Path, reply: Reply) -> None:
    url = server.answer("/x", reply, WHOLE)
    assert isinstance(fetch(target, url, stall=0.3), Success)
    assert target.read_bytes() == DATA


def test_wrong_bytes_are_refused_and_never_seen_at_the_target(server: Faults, target: Path) -> None:
    assert isinstance(fetch(target, server.answer("/x", Reply(bytes(len(DATA))))).failure(), Mismatched)
    assert not target.exists()


# Mirrors.


@pytest.mark.parametrize("then", [CUT, RESET, STALL])
def test_a_mirror_goes_on_where_another_broke_off(server: Faults, target: Path, then: Then) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=then))
    second = server.answer("/second", WHOLE)
    assert isinstance(fetch(target, first, second, stall=0.3), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests_for("/second")] == [f"bytes={MEBIBYTE}-"]


def test_a_mirror_stands_in_for_one_that_has_nothing(server: Faults, target: Path) -> None:
    first, second = server.answer("/first", Reply(b"", status=404)), server.answer("/second", WHOLE)
    assert isinstance(fetch(target, first, second), Success)


def test_a_mirror_of_another_size_is_not_mixed_in(server: Faults, target: Path) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=CUT), WHOLE)
    second = server.answer("/second", Reply(DATA[:-1]))
    third = server.answer("/third", WHOLE)
    assert isinstance(fetch(target, first, second, third), Success)
    assert target.read_bytes() == DATA


# Several connections.


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every single connection counts as slow, after its first buffer."""
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", MEBIBYTE)


BIG = DATA * 8
HUGE = DATA * 16
HUGE_IMAGE = replace(IMAGE, size=len(HUGE), digest=Digest("sha256", hashlib.sha256(HUGE).hexdigest()))
BIG_IMAGE = replace(IMAGE, size=len(BIG), digest=Digest("sha256", hashlib.sha256(BIG).hexdigest()))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("connections", [2, 4, 7, 16])
def test_where_one_connection_is_slow_several_read_ranges(server: Faults, target: Path, connections: int) -> None:
    url = server.answer("/x", Reply(HUGE))
    assert isinstance(fetch(target, url, image=HUGE_IMAGE, connections=connections), Success)
    assert target.read_bytes() == HUGE
    assert len({request.connection for request in server.requests if request.range}) > 1


@pytest.mark.usefixtures("slow")
def test_a_range_of_a_mirror_that_breaks_is_taken_over_by_another(server: Faults, target: Path) -> None:
    whole = Reply(BIG, after=MEBIBYTE + 1, then=RESET)
    first, second = server.answer("/first", Reply(BIG), whole), server.answer("/second", Reply(BIG))
    assert isinstance(fetch(target, first, second, image=BIG_IMAGE, connections=4), Success)
    assert target.read_bytes() == BIG


@pytest.mark.usefixtures("slow")
def test_a_server_that_takes_no_ranges_is_read_by_one_connection(server: Faults, target: Path) -> None:
    url = server.answer("/x", Reply(BIG, ranges=False))
    assert isinstance(fetch(target, url, image=BIG_IMAGE, connections=4), Success)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("slow")
def test_when_every_mirror_breaks_it_is_a_refusal_and_no_thread_is_left(server: Faults, target: Path) -> None:
    broken = Reply(BIG, after=10, then=RESET)
    url = server.answer("/x", Reply(BIG, after=2 * MEBIBYTE, then=RESET), broken)
    assert isinstance(fetch(target, url, image=BIG_IMAGE, connections=4).failure(), Unavailable)


# Redirects and credentials.


def test_a_redirect_is_followed(server: Faults, target: Path) -> None:
    server.answer("/b", WHOLE)
    assert isinstance(fetch(target, server.answer("/a", redirect("/b"))), Success)


def test_a_loop_of_redirects_ends(server: Faults, target: Path) -> None:
    assert "redirects" in fetch(target, server.answer("/a", redirect("/a"))).failure().reason


@pytest.mark.parametrize("onward", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "gopher:x"])
def test_a_redirect_to_what_is_no_http_url_is_refused(server: Faults, target: Path, onward: str) -> None:
    assert isinstance(fetch(target, server.answer("/a", redirect(onward))).failure(), Unavailable)


def test_credentials_in_the_url_are_sent_to_its_own_origin_and_no_other(server: Faults, target: Path) -> None:
    with Faults() as other:
        other.answer("/b", WHOLE)
        server.answer("/a", redirect("/c"))
        server.answer("/c", redirect(other.url("/b")))
        assert isinstance(fetch(target, server.url("/a", userinfo="user:pa%2Fss")), Success)
        sent = [request.headers.get("authorization") for request in (*server.requests, *other.requests)]
    assert sent == ["Basic dXNlcjpwYS9zcw==", "Basic dXNlcjpwYS9zcw==", None]


def test_no_refusal_shows_credentials(server: Faults, target: Path) -> None:
    server.answer("/a", Reply(b"", status=403))
    for url in (server.url("/a?sig=hunter2", userinfo="user:hunter2"), "http://user:hunter2@127.0.0.1:1/x"):
        assert "hunter2" not in str(fetch(target, url))


@pytest.mark.parametrize(
    "url", ["http:///x", "http://[::1/x", "https://", "http://user:hunter2@host:port/x", "http://hunter2\u2100@host/x"]
)
def test_what_is_no_url_is_refused(target: Path, url: str) -> None:
    refused = fetch(target, url).failure()
    assert isinstance(refused, Unsupported)
    assert "hunter2" not in refused.reason


def test_it_foresees_what_it_would_do(server: Faults, target: Path) -> None:
    location = Location(server.answer("/x", WHOLE))
    assert handler().foresee(Work(str(target), IMAGE, location)) == Success(f"downloads {len(DATA)} bytes")
    assert isinstance(handler().foresee(Work(str(target), IMAGE, Location(server.url("/none")))), Failure)
    assert isinstance(handler().foresee(Work(str(target), IMAGE)), Failure)
    assert not target.exists()


def test_a_token_that_is_no_longer_taken_is_renewed_once_and_reading_goes_on(server: Faults) -> None:
    stale = Reply(b"", status=401)
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), stale, WHOLE)
    fresh = Origin(url, {"X-Auth-Token": "fresh"})
    mirrors = Mirrors([Origin(url, {"X-Auth-Token": "stale"})], HttpOptions(), renew=lambda: fresh, first_wait=0.001)
    assert everything(RemoteStream(mirrors)) == DATA
    assert [request.headers["x-auth-token"] for request in server.requests] == ["stale", "stale", "fresh"]


def test_a_fresh_token_that_is_not_taken_either_is_a_failure(server: Faults) -> None:
    url = server.answer("/x", Reply(b"", status=401))
    mirrors = Mirrors([Origin(url)], HttpOptions(), renew=lambda: Origin(url), first_wait=0.001)
    with pytest.raises(HttpRefused, match="401"):
        everything(RemoteStream(mirrors))
    assert len(server.requests) == 2


def everything(stream: RemoteStream) -> bytes:
    found, buffer = bytearray(), memoryview(bytearray(MEBIBYTE))
    while count := stream.readinto(buffer):
        found += buffer[:count]
    stream.close()
    return bytes(found)
