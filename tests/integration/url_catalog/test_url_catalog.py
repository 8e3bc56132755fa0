"""Images by their URL."""

from dataclasses import replace

import pytest
from tests.faulty_server import BEFORE_THE_HEAD, RESET, FaultyServer, Reply, busy, redirect
from tests.integration.url_catalog.conftest import DATA, OTHER, SHA256, SHA512, catalog, failure, found

from lading import ANONYMOUS, CatalogUnavailable, Context, Digest, ImageNotFound
from lading.adapters.catalogs.url_reference import with_options


def test_an_image_is_described_by_its_url_and_the_file_beside_it(server: FaultyServer) -> None:
    url = server.url("/d/noble.img")
    sums = server.answer("/d/SHA256SUMS", Reply(f"{SHA256} *noble.img\n".encode()))
    image = found(url)
    assert (image.id, image.name, image.size) == (f"{url}#sha256={SHA256}", "noble.img", len(DATA))
    assert image.digest == Digest("sha256", SHA256)
    assert image.proof.digest_from == sums
    assert [(each.url, each.trusted) for each in image.locations] == [(url, True)]
    assert found(image.id).digest == image.digest
    assert catalog().locations(image.redacted(), ANONYMOUS).unwrap() == image.locations


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("SHA256SUMS", f"{SHA256} *noble.img"),
        ("SHA512SUMS", f"{SHA512}  noble.img"),
        ("noble.img.sha256", f"{SHA256} noble.img"),
        ("noble.img.SHA256", f"{SHA256}  noble.img"),
        ("noble.img.sha512", SHA512),
        ("CHECKSUM", f"# noble.img: {len(DATA)} bytes\nSHA256 (noble.img) = {SHA256}"),
        ("noble.img.CHECKSUM", f"SHA256 (noble.img) = {SHA256}"),
        ("noble.img.SHA256SUM", f"SHA256 (noble.img) = {SHA256}"),
        ("noble.img.sha256sum", f"{SHA256}  noble.img"),
        ("noble.img.DIGESTS", f"# MD5 HASH\n{'0' * 32}  noble.img\n# SHA512 HASH\n{SHA512}  noble.img"),
        ("CHECKSUM.SHA512", f"SHA512 (noble.img) = {SHA512}"),
        ("CHECKSUM.SHA256", f"SHA256 (noble.img) = {SHA256}"),
    ],
    ids=lambda each: each if "noble.img." in each or " " not in each else "",
)
def test_a_vendors_layout_needs_no_further_option(server: FaultyServer, file: str, text: str) -> None:
    server.answer(f"/d/{file}", Reply(text.encode()))
    image = found(server.url("/d/noble.img"))
    assert image.digest in {Digest("sha256", SHA256), Digest("sha512", SHA512)}
    assert image.proof.digest_from == server.url(f"/d/{file}")


def test_fedora_s_checksum_file_is_found_in_the_folders_listing(server: FaultyServer) -> None:
    file = "Fedora-Cloud-41-1.4-x86_64-CHECKSUM"
    server.answer("/d/", Reply(f'<a href="noble.img">n</a> <a href="{file}">{file}</a>'.encode()))
    server.answer(f"/d/{file}", Reply(f"SHA256 (noble.img) = {SHA256}".encode()))
    assert found(server.url("/d/noble.img")).digest == Digest("sha256", SHA256)


def test_a_listed_checksum_file_is_read_before_others_are_tried(server: FaultyServer) -> None:
    server.answer("/d/", Reply(b"<a href='./noble.img'>image</a><a href=noble.img.sha512 >sums</a>"))
    server.answer("/d/noble.img.sha512", Reply(SHA512.encode()))
    assert found(server.url("/d/noble.img")).digest == Digest("sha512", SHA512)
    paths = [each.path for each in server.requests]
    assert paths == ["/d/noble.img", "/d/SHA256SUMS", "/d/SHA512SUMS", "/d/", "/d/noble.img.sha512"]


def test_a_weak_digest_is_used_where_there_is_no_other(server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    server.answer("/d/MD5SUMS", Reply(f"{'0' * 32}  noble.img".encode()))
    assert found(server.url("/d/noble.img")).digest == Digest("md5", "0" * 32)
    assert "only a weak digest of noble.img: md5" in caplog.text


def test_a_given_digest_takes_one_request(server: FaultyServer) -> None:
    image = found(with_options(server.url("/d/noble.img"), checksum=f"sha256:{OTHER}"))
    assert (image.digest, image.proof.digest_from) == (Digest("sha256", OTHER), "given")
    assert [(each.path, each.range) for each in server.requests] == [("/d/noble.img", "bytes=0-0")]


def test_a_named_checksum_file_is_the_only_one(server: FaultyServer) -> None:
    server.answer("/d/SHA256SUMS", Reply(f"{OTHER}  noble.img".encode()))
    sums = server.answer("/elsewhere/sums.json", Reply(f'{{"name": "noble.img", "sha256": "{SHA256}"}}'.encode()))
    assert found(with_options(server.url("/d/noble.img"), checksums=sums)).digest == Digest("sha256", SHA256)
    assert server.requests_for("/d/SHA256SUMS") == []
    missing = failure(with_options(server.url("/d/noble.img"), checksums=server.url("/d/none")))
    assert "/d/none cannot be read: HTTP 404" in str(missing)
    page = server.answer("/page", Reply(b"<html>not found</html>"))
    assert "/page: it is no checksum file, or does not list noble.img" in str(
        failure(with_options(server.url("/d/noble.img"), checksums=page))
    )


def test_an_image_without_a_digest_is_another_one_when_its_file_changes(server: FaultyServer) -> None:
    url = server.answer("/d/noble.img", Reply(DATA), Reply(DATA), Reply(DATA, etag='"2"'))
    image = found(url)
    assert image.digest is None
    assert image.id.startswith(f"{url}#etag=")
    assert found(image.id).id == image.id
    assert found(url).id != image.id
    gone = failure(image.id)
    assert isinstance(gone, ImageNotFound)
    assert gone.advice == "the file at its URL has changed"


def test_the_etag_of_another_server_does_not_count(server: FaultyServer) -> None:
    with FaultyServer() as other:
        away = other.answer("/noble.img", Reply(DATA, etag='"1"'), Reply(DATA, etag='"2"'))
        url = server.answer("/d/noble.img", redirect(away))
        options = replace(catalog()._options, guard=None)  # noqa: SLF001 - the other server is on loopback too
        catalogs = type(catalog())(options)
        one, two = (catalogs.find(f"{url}#unverified", ANONYMOUS).unwrap() for _ in range(2))
    assert one.id == two.id
    assert "etag" not in one.properties


def test_mirrors_are_locations_and_the_next_one_is_asked_where_the_first_is_away(server: FaultyServer) -> None:
    with FaultyServer() as other:
        mirror = other.answer("/m/noble.img", Reply(DATA))
        sums = other.answer("/m/SHA256SUMS", Reply(f"{SHA256}  noble.img".encode()))
        url = server.answer("/d/noble.img", busy())
        image = found(with_options(url, mirrors=[mirror]))
        assert [each.url for each in image.locations] == [url, mirror]
        assert (image.proof.digest_from, image.id) == (sums, f"{url}#sha256={SHA256}")


def test_a_path_is_found_beneath_the_configured_mirrors(server: FaultyServer) -> None:
    image = found("d/noble.img", server.url("/"), server.url("/also"))
    assert [each.url for each in image.locations] == [server.url("/d/noble.img"), server.url("/also/d/noble.img")]
    assert image.id.startswith("d/noble.img#etag=")
    assert image.name == "d/noble.img", "a reference that leads back"
    assert "self" not in image.properties
    assert found(image.id, server.url("/"), server.url("/also")).id == image.id


def test_the_urls_of_a_user_s_request_are_guarded(server: FaultyServer) -> None:
    url, user = server.url("/d/noble.img"), Context("user")
    refused = catalog().find(url, user).failure()
    assert "allowed_ports" in str(refused)
    assert server.requests == []
    image = catalog(server.url("/d/")).find("noble.img", user).unwrap()
    assert [each.trusted for each in image.locations] == [True]
    assert "allowed_ports" in str(catalog(server.url("/d/")).find(f"noble.img#checksums={server.url('/x')}", user))


@pytest.mark.parametrize("userinfo", ["me:hush", ""])
def test_no_credentials_are_in_what_is_recorded(server: FaultyServer, userinfo: str) -> None:
    server.answer("/d/noble.img?sig=hush", Reply(DATA))
    image = found(server.url("/d/noble.img?sig=hush", userinfo=userinfo))
    assert "hush" not in repr(image.redacted())
    assert image.locations[0].url == server.url("/d/noble.img?sig=hush", userinfo=userinfo)
    gone = failure(image.id)
    assert isinstance(gone, ImageNotFound)
    assert "give the whole URL" in gone.advice
    assert "hush" not in str(failure(server.url("/none?sig=hush", userinfo=userinfo)))


def test_credentials_are_sent_with_the_requests_beside_too(server: FaultyServer) -> None:
    found(server.url("/d/noble.img", userinfo="me:hush"))
    assert {each.headers.get("authorization") for each in server.requests} == {"Basic bWU6aHVzaA=="}


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        ("/d/none.img", ImageNotFound, "HTTP 404"),
        ("/d/", ImageNotFound, "it names a folder, expected the URL of a file"),
        ("/d/busy.img", CatalogUnavailable, "HTTP 503"),
        ("/d/a b.img", ImageNotFound, "percent-encoded"),
        ("/d/noble.img#part", ImageNotFound, "expected sha512"),
    ],
)
def test_a_url_without_an_image_is_a_failure_that_says_why(
    server: FaultyServer, path: str, kind: type, told: str
) -> None:
    server.answer("/d/busy.img", busy())
    outcome = failure(server.url(path))
    assert isinstance(outcome, kind)
    assert told in str(outcome)


def test_a_server_that_breaks_off_is_a_failure(server: FaultyServer) -> None:
    server.answer("/d/noble.img", Reply(DATA, after=BEFORE_THE_HEAD, then=RESET))
    assert isinstance(failure(server.url("/d/noble.img")), CatalogUnavailable)
