"""The size and the head of an answer."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from returns.result import Success
from tests.faulty_server import Drip, FaultyServer, Reply
from tests.integration.http_handler.served import DATA, HINTS, IMAGE, LENGTH, MEBIBYTE, NO_DIGEST, fetch

from lading import Image, Mismatched, Unavailable

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
    assert "max_size" in str(refused)
    assert isinstance(fetch(target, url, image=image, max_size=len(DATA)), Success)


def test_an_endless_body_is_refused_at_max_size(server: FaultyServer, target: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    url = server.answer("/x", Drip(head, os.urandom(1 << 16), 0))
    refused = fetch(target, url, image=Image("id"), max_size=8 * MEBIBYTE).failure()
    assert "expected at most 8 MiB, found more" in str(refused)
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
