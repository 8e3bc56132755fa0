"""Locations: parsed from anything, matched by their scheme, shown without their secrets."""

from urllib.parse import urlparse

import pytest
from hypothesis import example, given
from tests.reference import shown
from tests.strategies import HUSH, LANDED_AT, TARGET, url_like_texts, urls, urls_with_quoted_secrets, urls_with_secrets

from lading import Association, Image, Location

# Parsing.


@given(url_like_texts())
def test_parsing_never_raises(text: str) -> None:
    assert Location(text).url == text


@given(url_like_texts())
def test_showing_never_raises(text: str) -> None:
    assert repr(Location(text)) == f"Location({str(Location(text))!r})"


@given(url_like_texts())
def test_a_scheme_is_lower_case(text: str) -> None:
    assert Location(text).scheme == Location(text).scheme.lower()


@given(urls() | urls_with_quoted_secrets())
def test_the_scheme_of_a_well_formed_url_is_urllibs(url: str) -> None:
    assert Location(url).scheme == urlparse(url).scheme


# Secrets.


@given(urls_with_secrets())
def test_neither_str_nor_repr_nor_what_is_written_down_shows_a_secret(url: str) -> None:
    location = Location(url)
    assert HUSH not in f"{location} {location!r} {location.redacted().url} {location.redacted()!r}"


@given(urls_with_secrets())
def test_no_association_and_no_image_shows_a_secret(url: str) -> None:
    image = Image("1", locations=[Location(url)])
    assert HUSH not in repr(Association(TARGET, "pool", image, Location(url), LANDED_AT))


@given(urls())
def test_of_a_well_formed_url_nothing_but_userinfo_and_query_is_hidden(url: str) -> None:
    assert str(Location(url)) == shown(url)


@given(url_like_texts() | urls_with_secrets())
@example("http://user:word@host/image")
def test_withholding_twice_is_withholding_once(url: str) -> None:
    redacted = Location(url).redacted()
    assert redacted.redacted() == redacted


@given(url_like_texts() | urls_with_secrets())
def test_what_is_withheld_is_what_is_shown_and_keeps_the_metadata(url: str) -> None:
    location = Location(url, {"store": "gold"})
    assert location.redacted() == Location(str(location), {"store": "gold"})


@given(urls() | urls_with_secrets())
def test_a_location_that_lost_something_knows_that_it_is_withheld(url: str) -> None:
    location = Location(url)
    assert location.redacted().is_redacted == (location.redacted() != location)


def test_a_location_with_nothing_to_withhold_is_itself() -> None:
    location = Location("rbd://fsid/pool/image/snap", {"store": "gold"})
    assert location.redacted() is location


@pytest.mark.parametrize(
    ("url", "scheme", "shown"),
    [
        ("rbd://fsid/pool/image/snap", "rbd", "rbd://fsid/pool/image/snap"),
        ("HTTP://host/image", "http", "HTTP://host/image"),
        ("http://user:word@host:80/image", "http", "http://***@host:80/image"),
        ("http://user:wo/rd@host/image", "http", "http://***@host/image"),
        ("http://user:wo?rd#@host/image", "http", "http://***@host/image"),
        ("http://user:wo@rd@host/image", "http", "http://***@host/image"),
        ("http://[::1]/an@image", "http", "http://[::1]/an@image"),
        ("http://host/an@image", "http", "http://host/an@image"),
        # It could be a port and a path, or the two halves of a password.
        ("http://user:12/34@host/image", "http", "http://***@host/image"),
        ("http://[::1]:80/an@image", "http", "http://***@image"),
        ("http://user:wo@r/d@host/image", "http", "http://***@host/image"),
        ("rbd:pool/image:id=x:key=AAA//B==:conf=a@b", "rbd", "rbd:***"),
        ("RBD:pool/image:PASSWORD=a", "rbd", "RBD:***"),
        ("sheepdog:image:secret=a/b", "sheepdog", "sheepdog:***"),
        ("rbd:pool/image@snap", "rbd", "rbd:pool/image@snap"),
        ("http://host/image?sig=abc#def", "http", "http://host/image?***"),
        ("http://host/image#def", "http", "http://host/image#***"),
        ("s3+https://KEY:se/cr@et@host/bucket/key", "s3+https", "s3+https://***@host/bucket/key"),
        ("s3://bucket/key", "s3", "s3://bucket/key"),
        ("swift+config://ref/container/object", "swift+config", "swift+config://ref/container/object"),
        ("cinder:volume", "cinder", "cinder:volume"),
        ("cinder:user@volume", "cinder", "cinder:***@volume"),
        (" file:///image", "file", " file:///image"),
        ("/image", "", "/image"),
        ("7zip://image", "", "7zip://image"),
        ("http", "", "http"),
        ("", "", ""),
    ],
)
def test_a_location_has_a_scheme_and_is_shown_without_secrets(url: str, scheme: str, shown: str) -> None:
    assert (Location(url).scheme, str(Location(url))) == (scheme, shown)


def test_that_a_location_is_trusted_is_neither_compared_nor_stored() -> None:
    trusted = Location("http://10.0.0.5/noble.img", trusted=True)
    assert trusted == Location("http://10.0.0.5/noble.img")
    assert not trusted.redacted().trusted
