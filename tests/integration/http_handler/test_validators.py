"""What servers say of the file, beside the catalog's digest."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.faulty_server import CUT, STALL, FaultyServer, Reply, Then, redirect
from tests.images import gpt, qcow2
from tests.integration.http_handler.served import (
    BIG,
    BIG_IMAGE,
    DATA,
    IMAGE,
    MEBIBYTE,
    NO_DIGEST,
    WHOLE,
    dispatch,
    fetch,
)

from lading import Image, Mismatched, Unavailable

NEW = Reply(DATA, etag='"2"', modified="Mon, 02 Nov 2026 10:00:00 GMT")


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


def test_wrong_bytes_of_one_state_are_not_requested_again(server: FaultyServer, target: Path) -> None:
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
    assert "changed" in str(refused) or "strong ETag" in str(refused)
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
def test_an_encoding_that_changes_nothing_is_accepted(server: FaultyServer, target: Path, told: str) -> None:
    url = server.answer("/x", Reply(DATA, headers=[("Content-Encoding", told)]))
    assert isinstance(fetch(target, url, image=NO_DIGEST), Success)


def test_encoded_bytes_land_if_the_digest_agrees(server: FaultyServer, target: Path) -> None:
    """A .gz file, which some servers label so."""
    url = server.answer("/x.gz", Reply(DATA, headers=[("Content-Encoding", "gzip")]))
    assert isinstance(fetch(target, url), Success)
    assert target.read_bytes() == DATA


def test_bytes_that_a_server_compressed_are_refused(server: FaultyServer, target: Path) -> None:
    refused = fetch(target, server.answer("/x", Reply(DATA, gzipped=True))).failure()
    assert isinstance(refused, Mismatched)
    assert "encoded it as gzip" in str(refused)


def test_without_a_digest_encoded_bytes_are_refused_at_once(server: FaultyServer, target: Path) -> None:
    url = server.answer("/x", Reply(DATA, headers=[("Content-Encoding", "gzip, hunter2")]))
    refused = fetch(target, url, image=NO_DIGEST).failure()
    assert "gzip" in str(refused)
    assert "hunter2" not in str(refused)
    assert len(server.requests) == 1


@pytest.mark.parametrize("told", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
@pytest.mark.parametrize("connections", [1, 4])
def test_without_a_digest_what_a_server_calls_a_page_is_refused(
    server: FaultyServer, target: Path, told: str, connections: int
) -> None:
    """Its bytes may be like no page's: a form without a head, or text of two bytes for each character."""
    sign_in = "<form action=/login>".encode("utf-16")
    url = server.answer("/x", Reply(sign_in, headers=[("Content-Type", told)]))
    image = replace(NO_DIGEST, size=None, disk_format=None)
    refused = fetch(target, url, image=image, connections=connections).failure()
    assert isinstance(refused, Mismatched)
    assert "not a disk image: it is an HTML page, as its server says" in str(refused)
    assert not target.exists()


@pytest.mark.parametrize("data", [qcow2(), gzip.compress(DATA), gpt()], ids=["qcow2", "gz", "gpt"])
def test_an_image_lands_whatever_its_server_calls_it(server: FaultyServer, target: Path, data: bytes) -> None:
    url = server.answer("/x", Reply(data, headers=[("Content-Type", "text/html")]))
    assert isinstance(fetch(target, url, image=replace(NO_DIGEST, size=None, disk_format=None)), Success)


@pytest.mark.parametrize("image", [IMAGE, replace(NO_DIGEST, content_digest=IMAGE.digest)], ids=["its own", "content"])
def test_with_a_digest_the_name_of_its_type_does_not_matter(server: FaultyServer, target: Path, image: Image) -> None:
    url = server.answer("/x", Reply(DATA, headers=[("Content-Type", "text/html")]))
    assert isinstance(fetch(target, url, image=image), Success)
