"""Servers that never end are given up."""

import threading
from pathlib import Path

import pytest
from returns.result import Failure, Success
from tests.faulty_server import BEFORE_THE_HEAD, CUT, STALL, Drip, FaultyServer, Reply, busy, chunked
from tests.integration.http_handler.served import (
    DATA,
    HINTS,
    IMAGE,
    LENGTH,
    MEBIBYTE,
    NO_DIGEST,
    WHOLE,
    dispatch,
    fetch,
)

from lading import Image
from lading.adapters.web import range_reader
from lading.adapters.web.retries import backoff

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


def test_a_server_that_never_begins_is_not_retried(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, after=BEFORE_THE_HEAD, then=STALL))
    refused = fetch(target, url, first_byte=0.2).failure()
    assert "sent nothing for 0.2 seconds" in str(refused)
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
