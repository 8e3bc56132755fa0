"""Several connections read ranges where one is slow."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.faulty_server import BEFORE_THE_HEAD, RESET, STALL, FaultyServer, Reply, busy, redirect
from tests.integration.http_handler.served import BIG, BIG_IMAGE, DATA, IMAGE, MEBIBYTE, fetch

from lading import Digest, Image, Unavailable

GUARD = 180.0
"""Seconds after which something hangs."""
HUGE = DATA * 16
HUGE_IMAGE = replace(IMAGE, size=len(HUGE), digest=Digest("sha256", hashlib.sha256(HUGE).hexdigest()))


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
    assert "404" in str(fetch(target, url).failure())
    assert len(server.requests_for("/none")) <= 5


@pytest.mark.usefixtures("slow")
def test_a_fetch_whose_mirrors_all_break_leaves_no_thread(server: FaultyServer, target: Path) -> None:
    broken = Reply(BIG, after=10, then=RESET)
    url = server.answer("/x", Reply(BIG, after=2 * MEBIBYTE, then=RESET), broken)
    assert isinstance(fetch(target, url, image=BIG_IMAGE, connections=4).failure(), Unavailable)
