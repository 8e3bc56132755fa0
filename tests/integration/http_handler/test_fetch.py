"""The http handler against a server that breaks off, says no, or lies."""

from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.faulty_server import (
    BEFORE_THE_HEAD,
    CUT,
    GARBAGE,
    LONG_HEADERS,
    RESET,
    STALL,
    FaultyServer,
    Reply,
    Then,
    busy,
)
from tests.integration.http_handler.served import DATA, IMAGE, MEBIBYTE, WHOLE, fetch

from lading import Forbidden, Mismatched, Scope, Unavailable


def test_a_url_is_fetched_and_verified(server: FaultyServer, target: Path) -> None:
    landing = fetch(target, server.answer("/x", WHOLE)).unwrap()
    assert target.read_bytes() == DATA
    assert (landing.method, landing.verified) == ("http", True)
    assert [request.range for request in server.requests] == [None]


def test_an_image_of_unknown_size_is_read_to_its_end(server: FaultyServer, target: Path) -> None:
    for framing in ("chunked", "close"):
        url = server.answer(f"/{framing}", Reply(DATA, framing=framing))
        assert isinstance(fetch(target, url, image=replace(IMAGE, size=None)), Success)
        assert target.read_bytes() == DATA
        target.unlink()


@pytest.mark.parametrize("then", [CUT, RESET])
@pytest.mark.parametrize("after", [0, 1, MEBIBYTE + 5, len(DATA) - 1])
def test_a_body_that_broke_off_is_resumed(server: FaultyServer, target: Path, then: Then, after: int) -> None:
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
def test_a_busy_server_is_retried(server: FaultyServer, target: Path, reply: Reply) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply, reply, WHOLE)), Success)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_a_server_that_says_no_is_not_retried(server: FaultyServer, target: Path, status: int) -> None:
    refused = fetch(target, server.answer("/x", Reply(b"", status=status))).failure()
    assert (type(refused), refused.scope) == (Forbidden if status in {401, 403} else Unavailable, Scope.LOCATION)
    assert str(status) in str(refused)
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [GARBAGE, LONG_HEADERS, Reply(DATA, then=RESET, after=BEFORE_THE_HEAD)])
def test_a_server_that_speaks_no_http_is_refused_after_a_few_tries(
    server: FaultyServer, target: Path, reply: Reply
) -> None:
    assert isinstance(fetch(target, server.answer("/x", reply)).failure(), Unavailable)
    assert len(server.requests) <= 5


def test_a_server_that_is_not_there_is_refused(server: FaultyServer, target: Path) -> None:
    refused = fetch(target, "http://127.0.0.1:1/x").failure()
    assert isinstance(refused, Unavailable)
    assert "127.0.0.1:1" in str(refused)


@pytest.mark.parametrize("length", [len(DATA) + 5, len(DATA) - 5])
def test_a_size_other_than_the_catalogs_is_refused_before_the_bytes(
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
