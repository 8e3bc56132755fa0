"""Redaction: no credential of any URL in a text is left, and nothing else is touched."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.strategies import HUSH, url_like_texts, urls_with_secrets

from lading import Image
from lading.ports.redaction import is_redacted, redacted, redacted_url, redacted_values

WORDS = st.text("abc ,;()'\"\n=", max_size=8)
URLS = urls_with_secrets().map(lambda url: "".join(url.split()))
"""Without white space, which ends a URL in a text."""


@given(WORDS, URLS, WORDS)
def test_no_text_shows_a_secret_of_a_url_in_it(before: str, url: str, after: str) -> None:
    assert HUSH not in redacted(f"{before} {url} {after}")
    assert HUSH not in redacted(f"{before}'{url}' {after}")


@example(["file://host/a", f"file://{HUSH}:{HUSH}@host/a", f"file:pool/a:id=user:key={HUSH}@{HUSH}:conf=a"])
@given(st.lists(URLS, max_size=4))
def test_no_list_of_urls_shows_a_secret(urls: list[str]) -> None:
    for text in (repr(urls), json.dumps(urls), json.dumps(urls, separators=(",", ":")), ", ".join(urls)):
        assert HUSH not in redacted(text)


@given(st.lists(urls_with_secrets() | st.text("abc: "), max_size=5))
def test_no_property_of_an_image_shows_a_secret(urls: list[str]) -> None:
    properties = {"copy_from": urls[:1], "nested": {"image_url": urls, **dict.fromkeys(urls, 1)}, "plain": 1.5}
    assert HUSH not in repr(Image("a", properties=properties).redacted())


@given(url_like_texts() | urls_with_secrets() | st.builds("{} {} {}".format, WORDS, urls_with_secrets(), WORDS))
@example("http://user:word@host/image?sig=a, and rbd:pool/image:key=b;")
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)
    assert redacted_url(redacted_url(text)) == redacted_url(text)
    assert redacted(redacted_url(text)) == redacted_url(text)


@given(st.text().map(lambda text: text.replace(":", "").replace("//", "/").replace("\\", "").replace("?", "")))
def test_a_text_without_urls_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "/vms/vm:1@2.img: no such file",
        "file:///srv/noble@24.04.img is not allowed",
        "http://host/a=ubuntu:24@amd64/noble",
        "rbd:vms/disk@snap, rbd://fsid/pool/image/snap; cinder:volume",
        "http://host:8080/noble.img: HTTP 403",
        "lading: WARNING: download http://[::1]/an@image: refused (12:30:01)",
        "sha512:14c0 at 2026-11-25T12:30:01+00:00, who@example.org",
        'is /vms/what? and {"a":"b"} GET /v2/images HTTP/1.1',
        f"no handler took https://host/noble.img#sha256={'ab' * 32}: it differs",
        f"http://host/noble.img#etag={'ab' * 8}",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("proxy user:pa@ss@host:3128 is away", "proxy user:***@host:3128 is away"),
        ("http:/u:p@h, http:///u:p@h; swift+https:/u:p@h/x", "http:/***@h, http:///***@h; swift+https:/***@h/x"),
        ('"GET /gold/noble?X-Amz-Signature=a HTTP/1.1" 200', '"GET /gold/noble?*** HTTP/1.1" 200'),
        ('json:{"driver":"rbd","password":"a"}', 'json:***"}'),
        ("http://cache/http%3A%2F%2Fu%3Ap%40h%2Fx%3Fsig%3Da", "http://cache/http%3A%2F%2F***%40h%2Fx%3F***"),
        ('["http://host/a","user:word@host:80"]', '["http://host/a","user:***@host:80"]'),
        ("(http://host/a?sig=b): HTTP 403", "(http://host/a?***): HTTP 403"),
        (f"http://host/a?sig=b#sha256={'ab' * 32}", "http://host/a?***"),
        ("http://host/a#sha256=hush", "http://host/a#***"),
    ],
)
def test_credentials_are_masked_where_they_stand(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_what_was_masked_is_known_to_be() -> None:
    assert is_redacted("http://***@host/a")
    assert not is_redacted("http://host/***")


@pytest.mark.parametrize("part", ["a", "a:", "http:/", "http://a:", "//", "%3A%2F", "?", "key=", "s3://", "'//"])
def test_redacting_takes_time_in_proportion_to_the_text(part: str) -> None:
    redacted(part * 100_000)  # a time that grows with the square would be hours


def test_values_that_are_no_texts_stay_as_they_are() -> None:
    assert redacted_values({"a": [1, None, ("b", True)]}) == {"a": [1, None, ["b", True]]}
