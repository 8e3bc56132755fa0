"""References to images by their URL."""

import pytest

from lading import Digest
from lading.adapters.catalogs.url_reference import UrlReference, is_url, with_options

URL = "https://host/a/noble%20server.img"
SHA256 = "ab" * 32


def test_a_fragment_says_what_is_known_of_the_image() -> None:
    mirrors = ["https://two/a.img?x=1&y=2", "http://three/a.img"]
    text = with_options(URL, checksum=f"SHA256:{SHA256}", checksums="https://host/SUMS#1", mirrors=mirrors)
    asked = UrlReference.of(text)
    assert (asked.text, asked.name, asked.urls) == (URL, "noble server.img", (URL, *mirrors))
    assert (asked.digest, asked.checksums) == (Digest("sha256", SHA256), "https://host/SUMS#1")
    assert not asked.unverified
    assert UrlReference.of(with_options(URL, unverified=True)).unverified
    assert with_options(with_options(URL, unverified=True), checksum=f"md5:{'0' * 32}") == (
        f"{URL}#unverified&md5={'0' * 32}"
    )
    assert with_options(URL) == URL


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("https://", "not an http or https URL with a host"),
        ("https://host/a b", "percent-encoded"),
        (f"{URL}#part", "#part: expected sha512, sha384, sha256"),
        (f"{URL}#a=b", "#a: expected sha512"),
        (f"{URL}#sha256=ab", "expected ALGORITHM:HEX"),
        (f"{URL}#sha256={'z' * 64}", "expected ALGORITHM:HEX"),
        (f"{URL}#sha256={SHA256}&md5={'0' * 32}", "several digests"),
        (f"{URL}#mirror=ftp://host/a", "not an http or https URL"),
        (f"{URL}#checksums=SHA256SUMS", "not an http or https URL"),
    ],
)
def test_a_wrong_reference_is_an_error_that_says_what_was_expected(reference: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        UrlReference.of(reference)


@pytest.mark.parametrize("path", ["../noble.img", "/noble.img", "a//b", "", "a/./b", "%2e%2E/a"])
def test_a_path_beneath_mirrors_leads_nowhere_else(path: str) -> None:
    with pytest.raises(ValueError, match="neither a URL nor a path"):
        UrlReference.of(path, ["https://host/images/"])


def test_a_checksum_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected ALGORITHM:HEX"):
        with_options(URL, checksum=SHA256)


@pytest.mark.parametrize(("text", "is_one"), [("HTTPS://host/a", True), ("http:/host", False), ("debian:12", False)])
def test_a_url_is_told_from_a_name(text: str, *, is_one: bool) -> None:
    assert is_url(text) is is_one
