"""The http handler against a server that misbehaves."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_server import (
    BEFORE_THE_HEAD,
    CUT,
    GARBAGE,
    LONG_HEADERS,
    RESET,
    STALL,
    Drip,
    FaultyServer,
    Reply,
    Then,
    busy,
    chunked,
    redirect,
)

from lading import (
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Image,
    Landing,
    Location,
    Mismatched,
    Refusal,
    Scope,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web import range_reader, remote
from lading.adapters.web.http import HttpOptions, HttpRefused, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream
from lading.adapters.web.retries import backoff
from lading.domain.failures import FetchFailure

MEBIBYTE = 1 << 20
GUARD = 60.0
"""Seconds after which something hangs."""
DATA = os.urandom(3 * MEBIBYTE + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))

BIG = DATA * 8
HUGE = DATA * 16
HUGE_IMAGE = replace(IMAGE, size=len(HUGE), digest=Digest("sha256", hashlib.sha256(HUGE).hexdigest()))
BIG_IMAGE = replace(IMAGE, size=len(BIG), digest=Digest("sha256", hashlib.sha256(BIG).hexdigest()))

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
    before = threading.active_count()
    yield
    assert [name for name in os.listdir(tmp_path) if name != "vm"] == []
    assert threading.active_count() <= before + 1


def handler(**options: float) -> HttpHandler:
    given = HttpOptions(5, options.get("stall", 5), first_byte_seconds=options.get("first_byte", 5))
    most = int(options["max_size"]) if "max_size" in options else None
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(verify=bool(options.get("verify", True)), max_size=most))
    return HttpHandler(given, transfer, connections=int(options.get("connections", 1)), first_wait=0.001)


def fetch(target: Path, *urls: str, image: Image = IMAGE, **options: float) -> Result[Landing, Refusal]:
    locations = [Location(url) for url in urls]
    return handler(**options).fetch(Work(str(target), replace(image, locations=locations), locations[0]))


def dispatch(target: Path, *urls: str, image: Image = IMAGE, **options: float) -> Result[FetchResult, FetchFailure]:
    """As a Dispatcher has it, which gives each location its turn."""
    return dispatch_by(handler(**options), target, replace(image, locations=[Location(url) for url in urls]))


def dispatch_by(handler: HttpHandler, target: Path, image: Image) -> Result[FetchResult, FetchFailure]:
    dispatcher = Dispatcher([handler], MemoryCatalog([image]), MemoryAssociations())
    return dispatcher.fetch(FetchRequest(image.id, str(target)))


def test_a_url_is_fetched_and_verified(server: FaultyServer, target: Path) -> None:
    landing = fetch(target, server.answer("/x", WHOLE)).unwrap()
    assert target.read_bytes() == DATA
    assert (landing.method, landing.verified) == ("http", True)
    assert [request.range for request in server.requests] == [None]


def test_an_image_whose_size_nobody_knows_is_read_to_its_end(server: FaultyServer, target: Path) -> None:
    for framing in ("chunked", "close"):
        url = server.answer(f"/{framing}", Reply(DATA, framing=framing))
        assert isinstance(fetch(target, url, image=replace(IMAGE, size=None)), Success)
        assert target.read_bytes() == DATA
        target.unlink()


@pytest.mark.parametrize("then", [CUT, RESET])
@pytest.mark.parametrize("after", [0, 1, MEBIBYTE + 5, len(DATA) - 1])
def test_what_broke_off_goes_on_where_it_broke_off(server: FaultyServer, target: Path, then: Then, after: int) -> None:
    url = server.answer("/x", Reply(DATA, after=after, then=then), WHOLE)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA
    assert len(server.requests) == 2


def test_a_server_that_ignores_ranges_is_read_again_from_its_start(server: FaultyServer, target: Path) -> None:
    broken = Reply(DATA, ranges=False, after=MEBIBYTE, then=CUT)
    url = server.answer("/x", broken, Reply(DATA, ranges=False))
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("status", [400, 416])
def test_a_server_that_refuses_a_range_is_read_again_from_its_start(
    server: FaultyServer, target: Path, status: int
) -> None:
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
def test_a_range_that_is_not_the_one_asked_for_is_not_taken(server: FaultyServer, target: Path, reply: Reply) -> None:
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), reply, WHOLE)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "reply", [busy(429, retry_after=0), busy(503), busy(503, retry_after=0), Reply(b"", status=500)]
)
def test_a_busy_server_is_asked_again(server: FaultyServer, target: Path, reply: Reply) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply, reply, WHOLE)), Success)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_a_server_that_says_no_is_not_asked_again(server: FaultyServer, target: Path, status: int) -> None:
    refused = fetch(target, server.answer("/x", Reply(b"", status=status))).failure()
    assert (type(refused), refused.scope) == (Unavailable, Scope.LOCATION)
    assert str(status) in refused.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [GARBAGE, LONG_HEADERS, Reply(DATA, then=RESET, after=BEFORE_THE_HEAD)])
def test_a_server_that_speaks_no_sense_is_refused_after_a_few_tries(
    server: FaultyServer, target: Path, reply: Reply
) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply)).failure(), Unavailable)
    assert len(server.requests) <= 5


def test_a_server_that_is_not_there_is_refused(server: FaultyServer, target: Path) -> None:
    refused = fetch(target, "http://127.0.0.1:1/x").failure()
    assert isinstance(refused, Unavailable)
    assert "127.0.0.1:1" in refused.reason


@pytest.mark.parametrize("length", [len(DATA) + 5, len(DATA) - 5])
def test_a_size_that_is_not_the_catalog_s_is_seen_before_the_bytes_are_read(
    server: FaultyServer, target: Path, length: int
) -> None:
    refused = fetch(target, server.answer("/x", Reply(DATA, content_length=length))).failure()
    assert isinstance(refused, Mismatched)


@pytest.mark.parametrize("reply", [Reply(DATA, then=STALL, after=MEBIBYTE), Reply(DATA, pace=(8, 0.05))])
def test_a_server_that_stalls_is_given_up(server: FaultyServer, target: Path, reply: Reply) -> None:
    url = server.answer("/x", reply, WHOLE)
    assert isinstance(fetch(target, url, stall=0.3), Success)
    assert target.read_bytes() == DATA


def test_wrong_bytes_are_refused_and_never_seen_at_the_target(server: FaultyServer, target: Path) -> None:
    assert isinstance(fetch(target, server.answer("/x", Reply(bytes(len(DATA))))).failure(), Mismatched)
    assert not target.exists()


# Mirrors.


@pytest.mark.parametrize("then", [CUT, RESET, STALL])
def test_a_mirror_goes_on_where_another_broke_off(server: FaultyServer, target: Path, then: Then) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=then))
    second = server.answer("/second", WHOLE)
    assert isinstance(fetch(target, first, second, stall=0.3), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests_for("/second")] == [f"bytes={MEBIBYTE}-"]


def test_a_mirror_stands_in_for_one_that_has_nothing(server: FaultyServer, target: Path) -> None:
    first, second = server.answer("/first", Reply(b"", status=404)), server.answer("/second", WHOLE)
    staged = dispatch(target, first, second).unwrap()
    assert staged.location == Location(second)
    assert len(server.requests) == 2


def test_a_mirror_of_another_size_is_not_mixed_in(server: FaultyServer, target: Path) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=CUT), WHOLE)
    second = server.answer("/second", Reply(DATA[:-1]))
    third = server.answer("/third", WHOLE)
    assert isinstance(fetch(target, first, second, third), Success)
    assert target.read_bytes() == DATA


def test_an_attempt_asks_for_its_own_location_first(server: FaultyServer, target: Path) -> None:
    """So that what is recorded is where the bytes came from, and a thousand dead locations are asked once each."""
    urls = [server.answer(f"/{number}", Reply(b"", status=404)) for number in range(20)]
    assert isinstance(dispatch(target, *urls), Failure)
    assert len(server.requests) <= 20 + 8


@pytest.mark.parametrize(("given", "is_first"), [(0, False), (len(DATA) - 1000, True)])
def test_the_location_that_gave_most_is_told_and_recorded(
    server: FaultyServer, target: Path, given: int, *, is_first: bool
) -> None:
    urls = server.answer("/first", Reply(DATA, after=given)), server.answer("/second", WHOLE)
    image = replace(IMAGE, locations=[Location(url) for url in urls])
    associations = MemoryAssociations()
    dispatcher = Dispatcher([handler()], MemoryCatalog([image]), associations)
    staged = dispatcher.fetch(FetchRequest(image.id, str(target))).unwrap()
    [recorded] = associations.list()
    assert staged.location == recorded.location == Location(urls[0] if is_first else urls[1])


def test_each_of_many_locations_is_read_once(target: Path) -> None:
    """Else a few thousand locations, which a stranger may write, keep a host busy for minutes."""
    read: list[str] = []

    class Counting(HttpHandler):
        def origin(self, location: Location) -> Origin:
            read.append(location.url)
            return super().origin(location)

    image = replace(IMAGE, locations=[Location(f"http://127.0.0.1:1/{number}") for number in range(200)])
    counting = Counting(HttpOptions(5, 5), FileDestination(MemoryVerifiedFiles()), first_wait=0.001)
    assert isinstance(dispatch_by(counting, target, image), Failure)
    assert len(read) == 200 + 7


def test_the_last_attempt_comes_back_to_a_busy_mirror(server: FaultyServer, target: Path) -> None:
    first, second = server.answer("/first", busy(), busy(), WHOLE), server.answer("/second", Reply(b"", status=404))
    assert isinstance(dispatch(target, first, second), Success)


# What servers say of the file, beside the catalog's digest.


NEW = Reply(DATA, etag='"2"', modified="Mon, 02 Nov 2026 10:00:00 GMT")
NO_DIGEST = replace(IMAGE, digest=None)


@pytest.mark.parametrize(
    "other",
    [
        NEW,
        Reply(DATA, etag='W/"1"'),
        Reply(DATA, etag=None),
        Reply(DATA, modified=None),
        Reply(DATA, etag=None, modified=None),
        replace(NEW, ranges=False),
    ],
)
def test_with_a_digest_another_etag_or_date_does_not_matter(server: FaultyServer, target: Path, other: Reply) -> None:
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), other)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests] == [None, f"bytes={MEBIBYTE}-"]


def test_bytes_of_two_states_fail_the_digest_and_start_over(server: FaultyServer, target: Path) -> None:
    old = bytes(len(DATA))
    url = server.answer("/x", Reply(old, after=MEBIBYTE, then=CUT), NEW)
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests] == [None, f"bytes={MEBIBYTE}-", None]


def test_wrong_bytes_of_one_state_are_not_asked_for_again(server: FaultyServer, target: Path) -> None:
    old = bytes(len(DATA))
    url = server.answer("/x", Reply(old, after=MEBIBYTE, then=CUT), Reply(old))
    assert isinstance(fetch(target, url).failure(), Mismatched)
    assert len(server.requests) == 2


def test_a_mirror_with_other_bytes_does_not_spoil_a_good_one(server: FaultyServer, target: Path) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=CUT), WHOLE)
    second = server.answer("/second", Reply(bytes(len(DATA))))
    assert isinstance(fetch(target, first, second), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("other", [NEW, replace(NEW, etag=None), Reply(DATA, etag='W/"1"')])
@pytest.mark.parametrize(("image", "verify"), [(NO_DIGEST, True), (IMAGE, False)], ids=["no digest", "not compared"])
def test_without_a_digest_two_answers_need_one_strong_etag(
    server: FaultyServer, target: Path, other: Reply, image: Image, verify: bool
) -> None:
    old = bytes(len(DATA))
    url = server.answer("/x", Reply(old, after=MEBIBYTE, then=CUT), other)
    refused = fetch(target, url, image=image, verify=verify).failure()
    assert isinstance(refused, Unavailable)
    assert "changed" in refused.reason or "strong ETag" in refused.reason
    assert not target.exists()


def test_without_a_digest_the_same_strong_etag_continues(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), WHOLE)
    assert isinstance(fetch(target, url, image=NO_DIGEST), Success)
    assert [request.range for request in server.requests] == [None, f"bytes={MEBIBYTE}-"]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_digest_or_strong_etag_it_starts_over_once(
    server: FaultyServer, target: Path, etag: str | None
) -> None:
    url = server.answer("/x", Reply(bytes(len(DATA)), etag=etag, after=MEBIBYTE), Reply(DATA, etag=etag))
    assert isinstance(fetch(target, url, image=NO_DIGEST), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests] == [None, None]


@pytest.mark.parametrize("then", [CUT, STALL])
@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.usefixtures("slow")
def test_without_a_digest_two_mirrors_are_never_mixed(
    server: FaultyServer, target: Path, then: Then, connections: int
) -> None:
    one, two = DATA * 8, os.urandom(len(DATA) * 8)
    first = server.answer("/first", Reply(one, after=9 * MEBIBYTE, then=then), Reply(b"", status=404))
    second = server.answer("/second", Reply(two))
    image = replace(NO_DIGEST, size=len(one))
    assert isinstance(dispatch(target, first, second, image=image, stall=0.3, connections=connections), Success)
    assert target.read_bytes() == two


@pytest.mark.usefixtures("slow")
def test_without_a_strong_etag_one_connection_reads(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(BIG, etag='W/"1"'))
    image = replace(BIG_IMAGE, digest=None)
    assert isinstance(fetch(target, url, image=image, connections=4), Success)
    assert len(server.requests) == 1


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.usefixtures("slow")
def test_without_a_digest_alternating_redirects_do_not_mix(
    server: FaultyServer, target: Path, connections: int
) -> None:
    """The ETags of two servers are each its own, though they be alike."""
    with FaultyServer() as other:
        other.answer("/x", Reply(os.urandom(len(BIG))))
        server.answer("/mine", Reply(BIG, after=9 * MEBIBYTE, then=CUT), Reply(BIG))
        url = server.answer_by_turns("/x", redirect("/mine"), redirect(other.url("/x")))
        image = replace(BIG_IMAGE, digest=None)
        assert isinstance(fetch(target, url, image=image, connections=connections), Success)
        assert target.read_bytes() == BIG


@pytest.mark.parametrize("told", ["aws-chunked", "identity", "aws-chunked,identity", "none", "UTF-8"])
def test_an_encoding_that_changes_nothing_is_none(server: FaultyServer, target: Path, told: str) -> None:
    url = server.answer("/x", Reply(DATA, headers=[("Content-Encoding", told)]))
    assert isinstance(fetch(target, url, image=NO_DIGEST), Success)


def test_the_bytes_on_the_wire_land_if_the_digest_agrees(server: FaultyServer, target: Path) -> None:
    """A .gz file, which some servers label so."""
    url = server.answer("/x.gz", Reply(DATA, headers=[("Content-Encoding", "gzip")]))
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


def test_bytes_that_a_server_compressed_are_refused(server: FaultyServer, target: Path) -> None:
    refused = fetch(target, server.answer("/x", Reply(DATA, gzipped=True))).failure()
    assert isinstance(refused, Mismatched)
    assert "encoded it as gzip" in refused.reason


def test_without_a_digest_encoded_bytes_are_refused_at_once(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, headers=[("Content-Encoding", "gzip, hunter2")]))
    refused = fetch(target, url, image=NO_DIGEST).failure()
    assert "gzip" in refused.reason
    assert "hunter2" not in refused.reason
    assert len(server.requests) == 1


# How much may land.


@pytest.mark.parametrize("size", [None, len(DATA)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_image_larger_than_max_size_is_refused(
    server: FaultyServer, target: Path, size: int | None, framing: Literal["length", "chunked"]
) -> None:
    url = server.answer("/x", Reply(DATA, framing=framing))
    image = replace(IMAGE, size=size)
    refused = fetch(target, url, image=image, max_size=MEBIBYTE).failure()
    assert isinstance(refused, Mismatched)
    assert "max_size" in refused.reason
    assert isinstance(fetch(target, url, image=image, max_size=len(DATA)), Success)


def test_an_endless_body_is_refused_at_max_size(server: FaultyServer, target: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    url = server.answer("/x", Drip(head, os.urandom(1 << 16), 0))
    refused = fetch(target, url, image=Image("id"), max_size=8 * MEBIBYTE).failure()
    assert "has more than 8388608 bytes" in refused.reason
    assert not target.exists()


# The head of an answer.


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nServer: x\r\n", "HTTP/1.1 200 OK\r\nServ", "HT"]
)
def test_an_answer_that_ends_within_its_head_is_no_image(server: FaultyServer, target: Path, head: str) -> None:
    url = server.answer("/x", head.encode())
    assert isinstance(fetch(target, url, image=replace(NO_DIGEST, size=None)).failure(), Unavailable)
    assert not target.exists()


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 4, 5",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: -5",
        "Content-Length: five",
        "Content-Length: 5\r\n 5",
        "garbage\r\nContent-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "X: a\0b\r\nContent-Length: 5",
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(server: FaultyServer, target: Path, line: str) -> None:
    url = server.answer("/x", f"HTTP/1.1 200 OK\r\n{line}\r\n\r\nnoble".encode())
    assert isinstance(fetch(target, url, image=replace(NO_DIGEST, size=None)).failure(), Unavailable)


HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
LENGTH = f"Content-Length: {len(DATA)}"


@pytest.mark.parametrize(
    "head",
    [
        f"{HINTS}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{LENGTH}",
        f"HTTP/1.1 200 OK\r\n{LENGTH}, {len(DATA)}",
        f"HTTP/1.1 200 OK\r\n{LENGTH}\r\ncontent-length : {len(DATA)}",
        f"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length:\r\n {len(DATA)}",
        f"HTTP/1.0 200\n{LENGTH}",
    ],
    ids=["103", "equal lengths", "a length twice", "folded", "bare line feeds"],
)
def test_a_head_that_is_only_unusual_is_read(server: FaultyServer, target: Path, head: str) -> None:
    url = server.answer("/x", f"{head}\r\n\r\n".encode() + DATA)
    assert isinstance(fetch(target, url), Success)
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", ["-5", "0x5", "", "5 5", "+5"])
def test_a_chunk_without_a_length_is_refused(server: FaultyServer, target: Path, size: str) -> None:
    url = server.answer(
        "/x", f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nnoble\r\n0\r\n\r\n".encode()
    )
    assert isinstance(fetch(target, url, image=replace(NO_DIGEST, size=None)).failure(), Unavailable)


# Servers that never end.

ENDLESS = {
    "a status line": Drip(b"HTTP/1.1 200 ", b"O"),
    "a header": Drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "headers": Drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "interim answers": Drip(b"", HINTS.encode(), 0.1),
    "a chunk's extension": Drip(chunked(DATA[:MEBIBYTE]) + b"5;", b"x"),
    "a chunk's size": Drip(chunked(DATA[:MEBIBYTE]), b"0"),
    "chunks of a byte": Drip(chunked(DATA[:MEBIBYTE]), b"1\r\nx\r\n"),
    "a first byte that never comes": Drip(f"HTTP/1.1 200 OK\r\n{LENGTH}\r\n\r\n".encode(), b""),
    "bytes": Drip(f"HTTP/1.1 200 OK\r\n{LENGTH}\r\n\r\n".encode(), b"x"),
}


@pytest.mark.parametrize("image", [IMAGE, NO_DIGEST], ids=["digest", "no digest"])
@pytest.mark.parametrize("what", ENDLESS)
def test_a_server_that_never_ends_is_given_up_for_the_next(
    server: FaultyServer, target: Path, what: str, image: Image
) -> None:
    drip, good = server.answer("/drip", ENDLESS[what]), server.answer("/good", WHOLE)
    assert isinstance(dispatch(target, drip, good, image=image, stall=0.2, first_byte=2), Success)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    "reply",
    [Reply(DATA, most=1), Reply(DATA, after=1, then=CUT)],
    ids=["a byte an answer", "a byte a connection"],
)
@pytest.mark.parametrize("image", [IMAGE, NO_DIGEST], ids=["digest", "no digest"])
def test_a_server_of_single_bytes_is_given_up_for_the_next(
    server: FaultyServer, target: Path, reply: Reply, image: Image
) -> None:
    first = server.answer("/drip", Reply(DATA, after=MEBIBYTE, then=CUT), reply)
    assert isinstance(dispatch(target, first, server.answer("/good", WHOLE), image=image), Success)
    assert target.read_bytes() == DATA
    assert len(server.requests_for("/drip")) < 20


def test_endless_trailers_do_not_hold_up_a_whole_image(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Drip(chunked(DATA) + b"0\r\n", b"X: y\r\n"))
    assert isinstance(fetch(target, url), Success)
    assert len(server.requests) == 1


def test_a_first_byte_may_take_longer_than_a_stall(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, after=BEFORE_THE_HEAD, then=STALL))
    late = threading.Timer(0.5, server.go_on)
    late.start()
    assert isinstance(fetch(target, url, stall=0.1, first_byte=30), Success)
    assert len(server.requests) == 1
    late.join()


def test_a_server_that_never_begins_is_asked_once(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, after=BEFORE_THE_HEAD, then=STALL))
    refused = fetch(target, url, first_byte=0.2).failure()
    assert "sent nothing for 0.2 seconds" in refused.reason
    assert len(server.requests) == 1


def test_a_retry_after_of_zero_does_not_shorten_the_backoff(
    server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def skipped_backoff(failures: int, *, first_wait: float, retry_after: float | None) -> float:
        waited.append(backoff(failures, first_wait=first_wait, retry_after=retry_after))
        return 0.0

    monkeypatch.setattr(range_reader, "backoff", skipped_backoff)
    assert isinstance(fetch(target, server.answer("/x", busy(retry_after=0))), Failure)
    assert len(waited) == 4
    assert all(seconds > 0 for seconds in waited)


# Several connections.


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every single connection counts as slow, after its first buffer."""
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", MEBIBYTE)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("connections", [2, 4, 7, 16])
def test_where_one_connection_is_slow_several_read_ranges(server: FaultyServer, target: Path, connections: int) -> None:
    url = server.answer("/x", Reply(HUGE))
    assert isinstance(fetch(target, url, image=HUGE_IMAGE, connections=connections), Success)
    assert target.read_bytes() == HUGE
    assert len({request.connection for request in server.requests if request.range}) > 1


@pytest.mark.usefixtures("slow")
def test_a_range_of_a_mirror_that_breaks_is_taken_over_by_another(server: FaultyServer, target: Path) -> None:
    whole = Reply(BIG, after=MEBIBYTE + 1, then=RESET)
    first, second = server.answer("/first", Reply(BIG), whole), server.answer("/second", Reply(BIG))
    assert isinstance(fetch(target, first, second, image=BIG_IMAGE, connections=4), Success)
    assert target.read_bytes() == BIG


@pytest.mark.usefixtures("slow")
def test_a_server_that_takes_no_ranges_is_read_by_one_connection(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(BIG, ranges=False))
    assert isinstance(fetch(target, url, image=BIG_IMAGE, connections=4), Success)
    assert len(server.requests) == 1


REFUSING = [Reply(b"", status=403), busy(), Reply(b"", status=404), Reply(BIG, ranges=False, etag='"2"')]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("second", REFUSING)
@pytest.mark.parametrize("image", [BIG_IMAGE, replace(BIG_IMAGE, digest=None)], ids=["digest", "no digest"])
def test_a_refused_second_request_leaves_the_first_one(
    server: FaultyServer, target: Path, second: Reply, image: Image
) -> None:
    url = server.answer("/x", Reply(BIG), second)
    assert isinstance(fetch(target, url, image=image, connections=4), Success)
    assert target.read_bytes() == BIG


@pytest.mark.usefixtures("slow")
def test_a_server_of_one_connection_at_a_time_is_read_by_the_first(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(BIG), Reply(BIG, after=BEFORE_THE_HEAD, then=STALL))
    with ThreadPoolExecutor(1) as thread:
        fetching = thread.submit(fetch, target, url, image=BIG_IMAGE, connections=4, stall=600, first_byte=600)
        assert isinstance(fetching.result(GUARD), Success)
    assert target.read_bytes() == BIG


@pytest.mark.usefixtures("slow")
def test_a_refused_second_connection_drops_no_server(server: FaultyServer, target: Path) -> None:
    first = server.answer("/first", Reply(BIG, after=20 * MEBIBYTE), Reply(b"", status=403), Reply(BIG))
    second = server.answer("/second", Reply(b"", status=404))
    assert isinstance(fetch(target, first, second, image=BIG_IMAGE, connections=2), Success)
    assert target.read_bytes() == BIG


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("connections", [1, 4])
def test_a_missing_node_behind_redirects_is_passed_over(server: FaultyServer, target: Path, connections: int) -> None:
    for node in "ac":
        server.answer(f"/{node}", Reply(HUGE, etag=f'"{node}"'))
    url = server.answer_by_turns("/x", *map(redirect, ("/b", "/a", "/c")))
    assert isinstance(fetch(target, url, image=HUGE_IMAGE, connections=connections), Success)
    assert target.read_bytes() == HUGE


def test_a_redirect_to_nothing_is_refused_without_a_wait(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", redirect("/none"))
    assert "404" in fetch(target, url).failure().reason
    assert len(server.requests_for("/none")) <= 5


@pytest.mark.usefixtures("slow")
def test_when_every_mirror_breaks_it_is_a_refusal_and_no_thread_is_left(server: FaultyServer, target: Path) -> None:
    broken = Reply(BIG, after=10, then=RESET)
    url = server.answer("/x", Reply(BIG, after=2 * MEBIBYTE, then=RESET), broken)
    assert isinstance(fetch(target, url, image=BIG_IMAGE, connections=4).failure(), Unavailable)


# Redirects and credentials.


def test_a_redirect_is_followed(server: FaultyServer, target: Path) -> None:
    server.answer("/b", WHOLE)
    assert isinstance(fetch(target, server.answer("/a", redirect("/b"))), Success)


@pytest.mark.parametrize("told", ["/noble image", "/nobl\xc3\xa9.img", " /b "])
def test_a_redirect_that_is_not_percent_encoded_is_followed(server: FaultyServer, target: Path, told: str) -> None:
    server.answer(quote(told.strip().encode("latin-1")), WHOLE)
    url = server.answer("/a", f"HTTP/1.1 302 Found\r\nLocation: {told}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    assert isinstance(fetch(target, url), Success)


def test_a_loop_of_redirects_ends(server: FaultyServer, target: Path) -> None:
    assert "redirects" in fetch(target, server.answer("/a", redirect("/a"))).failure().reason


@pytest.mark.parametrize("onward", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[", "gopher:x"])
def test_a_redirect_to_what_is_no_http_url_is_refused(server: FaultyServer, target: Path, onward: str) -> None:
    assert isinstance(fetch(target, server.answer("/a", redirect(onward))).failure(), Unavailable)


def test_credentials_in_the_url_are_sent_to_its_own_origin_and_no_other(server: FaultyServer, target: Path) -> None:
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
def test_what_is_no_url_is_refused(target: Path, url: str) -> None:
    refused = fetch(target, url).failure()
    assert isinstance(refused, Unsupported)
    assert "hunter2" not in refused.reason


def test_it_foresees_what_it_would_do(server: FaultyServer, target: Path) -> None:
    location = Location(server.answer("/x", WHOLE))
    assert handler().preview(Work(str(target), IMAGE, location)) == Success(f"downloads {len(DATA)} bytes")
    assert isinstance(handler().preview(Work(str(target), IMAGE, Location(server.url("/none")))), Failure)
    assert isinstance(handler().preview(Work(str(target), IMAGE)), Failure)
    assert not target.exists()


def test_a_token_that_is_no_longer_taken_is_renewed_once_and_reading_goes_on(server: FaultyServer) -> None:
    stale = Reply(b"", status=401)
    url = server.answer("/x", Reply(DATA, after=MEBIBYTE, then=CUT), stale, WHOLE)
    fresh = Origin(url, {"X-Auth-Token": "fresh"})
    mirrors = Mirrors([Origin(url, {"X-Auth-Token": "stale"})], HttpOptions(), renew=lambda: fresh, first_wait=0.001)
    assert everything(RemoteStream(mirrors)) == DATA
    assert [request.headers["x-auth-token"] for request in server.requests] == ["stale", "stale", "fresh"]


def test_a_fresh_token_that_is_not_taken_either_is_a_failure(server: FaultyServer) -> None:
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
