"""Masks credentials in URLs."""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

__all__ = ["is_redacted", "redacted", "redacted_url", "redacted_values"]

_Value = TypeVar("_Value")
_MASK: Final = "***"
_BEGINS_WITH_SCHEME: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]*:")
# The start of an authority, or of the tail. Clients accept one or three slashes, and backslashes (WHATWG URL, 4.4).
_STOP: Final = re.compile(
    r"(?<=[A-Za-z0-9+.\-]):[/\\]+"
    r"|(?:^|(?<=[\"'(\[{<=,\s]))(?:[/\\]{2,}|[A-Za-z][A-Za-z0-9+.\-]*:(?![/\\]))"
    r"|[?#]"
)
_AUTHORITY_END: Final = re.compile(r"[/\\?#]")
_IPV6: Final = re.compile(r"\[[0-9A-Fa-f:.]*\]")
_S3: Final = re.compile(r"(?:^|[^A-Za-z0-9+.\-])s3(?:\+[A-Za-z]+)?:[/\\]*\Z", re.IGNORECASE)
# After `file:/` and `file:///` the rest is a path (RFC 8089, appendix B).
_FILE: Final = re.compile(r"(?:^|[^A-Za-z0-9+.\-])file:(?:/|/{3,})\Z", re.IGNORECASE)
# QEMU's `rbd:pool/image:id=…:key=…` and `json:{…"password": …}`. The end of such a secret is unknown.
_SECRET: Final = re.compile(r"(?:key|password|secret)(?:[\"']?=|[\"']\s*:)", re.IGNORECASE)
_QUOTED_AUTHORITY: Final = re.compile(r"%3A(?:%2F|/)+", re.IGNORECASE)
_QUOTED_TAIL: Final = re.compile(r"%(?:3F|23)", re.IGNORECASE)
# HTTP clients log a request without scheme and host.
_REQUEST: Final = re.compile(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[^\s?#]*)[?#]\S*")
# The digest that an image is to have, or the state of its file: `https://host/noble.img#sha256=…`.
_PIN: Final = re.compile(r"#(?:etag|[a-z0-9]{2,10})=(?:[0-9a-f]{16}|[0-9a-f]{32,128})")
_WORD: Final = re.compile(r"[^ \t\n\r\f\v]+")
_CLOSING: Final = ":,;.)]}'\">"
_REDACTED: Final = re.compile(
    r"\*\*\*(?:@|%40)|(?:[?#]|%3F|%23|(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]*:[/\\]?)\*\*\*\Z", re.IGNORECASE
)


def redacted(text: str) -> str:
    """Returns the text with the credentials of each URL in it masked. A URL ends at white space.

    >>> redacted("no route to http://user:word@host/a?sig=b: see //c:d@e, rbd:pool/f:key=g")
    'no route to http://***@host/a?***: see //***@e, rbd:***'
    """
    return _WORD.sub(_redacted_word, _REQUEST.sub(rf"\1 \2?{_MASK}", text))


def redacted_url(url: str) -> str:
    """Returns the URL with userinfo, query and fragment masked. An opaque URL with a secret is masked completely.

    Passwords are often unquoted, by glance_store too, and may contain `/`, `?`, `#` and `@`. In an authority with a
    colon, what looks like a port may be the start of a password: then, and always for S3, everything up to the last `@`
    is masked. A path with an `@` may thus be masked; a password is not shown. URLs within the path are masked too.
    """
    return _redacted(url, is_url=True)


def redacted_values(value: _Value) -> _Value:
    """Returns the JSON value with each text in it redacted, nested ones too.

    >>> redacted_values({"copy_from": ["http://user:word@host/a"], "ratio": 1.5})
    {'copy_from': ['http://***@host/a'], 'ratio': 1.5}
    """
    found: object = value
    if isinstance(value, str):
        # The password of a text that is one URL may contain white space.
        is_url = _BEGINS_WITH_SCHEME.match(value) and ("//" in value or _SECRET.search(value))
        found = redacted_url(value) if is_url else redacted(value)
    elif isinstance(value, Mapping):
        found = {redacted_values(key): redacted_values(each) for key, each in value.items()}
    elif isinstance(value, list | tuple):
        found = [redacted_values(each) for each in value]
    return found  # type: ignore[return-value]  # the same type, or its JSON form


def is_redacted(url: str) -> bool:
    """Tells whether something in the URL is masked: it names the location, but cannot be used."""
    return _REDACTED.search(url) is not None


def _redacted_word(found: re.Match[str]) -> str:
    url = found[0].rstrip(_CLOSING)
    return _redacted(url, is_url=False) + found[0][len(url) :]


def _redacted(url: str, *, is_url: bool) -> str:
    """`is_url`: the whole text is one URL; else it is a word that may contain some."""
    return _redacted_quoted(_redacted_parts(url, has_tail=is_url))


def _redacted_parts(url: str, *, has_tail: bool) -> str:
    """Masks userinfo, query and fragment. `has_tail`: a query before the first URL is masked too."""
    parts: list[str] = []
    place, last_at, is_within = 0, url.rfind("@"), False
    last_secret = max((found.start() for found in _SECRET.finditer(url)), default=-1)
    for stop in _STOP.finditer(url):
        is_opaque = stop[0].endswith(":")
        if stop.start() < place:
            # Part of a userinfo, or of a URL between this one and the last @, whose secret may extend beyond it.
            if is_opaque and last_secret >= stop.end():
                return "".join((*parts, _MASK))
            continue
        if (is_opaque or stop[0] in {":/", ":\\"}) and last_secret >= stop.end():
            return "".join((*parts, url[place : stop.end()], _MASK))
        if stop[0] in {"?", "#"}:
            if _PIN.fullmatch(url, stop.start()):
                continue
            if is_within or has_tail:
                return "".join((*parts, url[place : stop.end()], _MASK))
        elif not (is_opaque and is_within and url[stop.start() - 1] in "=,"):  # part of the path
            is_within = is_within or not is_opaque
            at = _end_of_userinfo(url, stop, last_at)
            if at >= 0:
                parts += url[place : stop.end()], f"{_MASK}@"
                place = at + 1
    return "".join((*parts, url[place:]))


def _end_of_userinfo(url: str, stop: re.Match[str], last_at: int) -> int:
    """The index of the `@` after the userinfo, or -1."""
    begin = stop.end()
    before = url[max(0, stop.start() - 20) : begin]
    if _FILE.search(before):
        return -1
    end = _AUTHORITY_END.search(url, begin)
    authority = url[begin : end.start() if end else len(url)]
    if ":" in _IPV6.sub("", authority, count=1) or _S3.search(before):
        return last_at if last_at >= begin else -1
    at = authority.rfind("@")
    return begin + at if at >= 0 else -1


def _redacted_quoted(url: str) -> str:
    """Masks the credentials of a percent-encoded URL within the URL."""
    begin = _QUOTED_AUTHORITY.search(url)
    if begin is None:
        return url
    at = url.rfind("%40")
    if at >= begin.end():
        url = f"{url[: begin.end()]}{_MASK}{url[at:]}"
    tail = _QUOTED_TAIL.search(url, begin.end())
    return f"{url[: tail.end()]}{_MASK}" if tail else url
