"""Checksum files that are wrong, endless, or somebody else's: each has its answer."""

import pytest
from tests.faulty_server import CUT, STALL, Drip, FaultyServer, Reply, busy, chunked, redirect
from tests.integration.url_catalog.conftest import OTHER, SHA256, catalog, failure, found

from lading import ANONYMOUS, CatalogUnavailable, Digest
from lading.adapters.web import documents

ADVICE = "--checksum ALGORITHM:HEX gives the digest, --unverified takes the image without"
LIST = f"{SHA256}  noble.img\n".encode()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Reply(LIST + f"{OTHER}  noble.img\n".encode()), "contradicts itself: it has two sha256 digests of noble.img"),
        (Reply(bytes(1 << 20) + LIST), "it has more than 1 MiB"),
        (Reply(bytes(1 << 20) + LIST, framing="chunked"), "it has more than 1 MiB"),
        (Drip(chunked(LIST), chunked(bytes(1 << 16)).partition(b"\r\n\r\n")[2], 0), "it has more than 1 MiB"),
        (busy(), "HTTP 503"),
        (Reply(LIST * 9, after=30, then=CUT), "the connection broke off at byte 30 of"),
        (
            redirect("http://169.254.169.254/SHA256SUMS"),
            "the server redirects to a forbidden place: 169.254.169.254 is",
        ),
        (redirect("file:///etc/passwd"), "the server redirects to what is not an http or https URL"),
        (Reply(LIST, gzipped=True), "it comes encoded as gzip"),
    ],
    ids=["twice", "huge", "huge in chunks", "endless", "busy", "cut", "metadata", "file", "encoded"],
)
def test_a_checksum_file_that_cannot_be_used_is_a_failure(server: FaultyServer, answer: Reply, told: str) -> None:
    """An image must not pass as one without a checksum file because a server is away."""
    server.answer("/d/SHA256SUMS", answer)
    server.answer("/d/SHA512SUMS", Reply(LIST))
    outcome = failure(server.url("/d/noble.img"))
    assert isinstance(outcome, CatalogUnavailable)
    assert told in str(outcome)
    assert str(outcome).endswith(ADVICE)
    assert found(f"{server.url('/d/noble.img')}#unverified").digest is None


@pytest.mark.parametrize(
    "answer",
    [
        Reply(b"<html><body>There is no such page.</body></html>"),
        Reply(f"{OTHER}  jammy.img\n".encode()),
        Reply(f"{OTHER}\n".encode()),
        Reply(b""),
        Reply(b"\xff\xfe\x00" * 100),
        Reply(b"", status=403),
    ],
    ids=["HTML", "others", "alone", "empty", "binary", "forbidden"],
)
def test_a_file_that_does_not_list_the_image_is_passed_over(server: FaultyServer, answer: Reply) -> None:
    server.answer("/d/SHA256SUMS", answer)
    server.answer("/d/SHA512SUMS", Reply(LIST))
    image = found(server.url("/d/noble.img"))
    assert image.proof.digest_from == server.url("/d/SHA512SUMS")


def test_a_checksum_file_at_another_server_is_named(server: FaultyServer) -> None:
    with FaultyServer() as other:
        sums = other.answer("/SHA256SUMS", Reply(LIST))
        image = found(f"{server.url('/d/noble.img')}#checksums={sums}")
    assert (image.digest, image.proof.digest_from) == (Digest("sha256", SHA256), sums)


def test_a_checksum_file_that_stalls_is_given_up(server: FaultyServer) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST * 9, after=30, then=STALL))
    outcome = catalog(stall=0.2).find(server.url("/d/noble.img"), ANONYMOUS).failure()
    assert "SHA256SUMS cannot be read: the connection broke off at byte 30" in str(outcome)


def test_a_checksum_file_that_drips_is_given_up(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_SECONDS", 0.0)
    server.answer("/d/SHA256SUMS", Reply(LIST * 9))
    assert "it takes longer than 0 seconds" in str(failure(server.url("/d/noble.img")))


def test_a_listing_that_cannot_be_read_is_passed_over(server: FaultyServer) -> None:
    server.answer("/d/", busy())
    assert found(server.url("/d/noble.img")).digest is None
