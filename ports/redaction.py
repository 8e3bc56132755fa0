"""Credentials in URLs, masked wherever a URL stands."""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

__all__ = ["is_redacted", "redacted", "redacted_url", "redacted_values"]

_Value = TypeVar("_Value")
_MASK: Final = "***"
_BEGINS_WITH_SCHEME: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.\-]*:")
# Where an authority begins, or the tail. Clients take one slash for two, and three, and backslashes (WHATWG URL, 4.4).
_STOP: Final = re.compile(
    r"(?<=[A-Za-z0-9+.\-]):[/\\]+"
    r"|(?:^|(?<=[\"'(\[{<=,\s]))(?:[/\\]{2,}|[A-Za-z][A-Za-z0-9+.\-]*:(?![/\\]))"
    r"|[?#]"
)
_AUTHORITY_END: Final = re.compile(r"[/\\?#]")
_IPV6: Final = re.compile(r"\[[0-9A-Fa-f:.]*\]")
_S3: Final = re.compile(r"(?:^|[^A-Za-z0-9+.\-])s3(?:\+[A-Za-z]+)?:[/\\]*\Z", re.IGNORECASE)
# Of a file's URL with one slash, or with three, the rest is a path (RFC 8089, appendix B).
_FILE: Final = re.compile(r"(?:^|[^A-Za-z0-9+.\-])file:(?:/|/{3,})\Z", re.IGNORECASE)
# QEMU's `rbd:pool/image:id=…:key=…` and `json:{…"password": …}`. Nothing tells where such a secret ends.
_SECRET: Final = re.compile(r"(?:key|password|secret)(?:[\"']?=|[\"']\s*:)", re.IGNORECASE)
_QUOTED_AUTHORITY: Final = re.compile(r"%3A(?:%2F|/)+", re.IGNORECASE)
_QUOTED_TAIL: Final = re.compile(r"%(?:3F|23)", re.IGNORECASE)
# HTTP clients log it without scheme and host.
_REQUEST: Final = re.compile(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[^\s?#]*)[?#]\S*")
_WORD: Final = re.compile(r"[^ \t\n\r\f\v]+")
_CLOSING: Final = ":,;.)]}'\">"
_REDACTED: Final = re.compile(
    r"\*\*\*(?:@|%40)|(?:[?#]|%3F|%23|(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]*:[/\\]?)\*\*\*\Z", re.IGNORECASE
)


def redacted(text: str) -> str:
    """The text with the credentials of every URL in it masked. A URL ends at white space.

    >>> redacted("no route to http://user:word@host/a?sig=b: see //c:d@e, rbd:pool/f:key=g")
    'no route to http://***@host/a?***: see //***@e, rbd:***'
    """
    return _WORD.sub(_redacted_word, _REQUEST.sub(rf"\1 \2?{_MASK}", text))


def redacted_url(url: str) -> str:
    """The URL with its userinfo, query and fragment masked, and all of an opaque one that holds a secret.

    Passwords are written unquoted, by glance_store too, and may contain `/`, `?`, `#` and `@`. Where an authority has a
    colon, what looks like a port may be the beginning of one: everything up to the last `@` is masked then, and always
    for S3. Better a path is masked that has an `@` in it than a password shown. URLs within the path are masked too.
    """
    return _redacted(url, is_url=True)


def redacted_values(value: _Value) -> _Value:
    """The value, as JSON has it, with every text in it redacted, also where it is nested.

    >>> redacted_values({"copy_from": ["http://user:word@host/a"], "ratio": 1.5})
    {'copy_from': ['http://***@host/a'], 'ratio': 1.5}
    """
    found: object = value
    if isinstance(value, str):
        # A text that is one URL may have white space in its password.
        is_url = _BEGINS_WITH_SCHEME.match(value) and ("//" in value or _SECRET.search(value))
        found = redacted_url(value) if is_url else redacted(value)
    elif isinstance(value, Mapping):
        found = {redacted_values(key): redacted_values(each) for key, each in value.items()}
    elif isinstance(value, list | tuple):
        found = [redacted_values(each) for each in value]
    return found  # type: ignore[return-value]  # of the type that it came in, or what JSON makes of that


def is_redacted(url: str) -> bool:
    """Whether something was masked in the URL, so that it names the place but can't be used."""
    return _REDACTED.search(url) is not None


def _redacted_word(found: re.Match[str]) -> str:
    url = found[0].rstrip(_CLOSING)
    return _redacted(url, is_url=False) + found[0][len(url) :]


def _redacted(url: str, *, is_url: bool) -> str:
    """`is_url`: all of it is one; else it is a word of a text, and may hold some."""
    return _redacted_quoted(_redacted_parts(url, has_tail=is_url))


def _redacted_parts(url: str, *, has_tail: bool) -> str:
    """The URL with userinfo, query and fragment masked. `has_tail`: also what comes before a URL may have a query."""
    parts: list[str] = []
    place, last_at, is_within = 0, url.rfind("@"), False
    last_secret = max((found.start() for found in _SECRET.finditer(url)), default=-1)
    for stop in _STOP.finditer(url):
        if stop.start() < place:
            continue  # it was part of a userinfo
        is_opaque = stop[0].endswith(":")
        if (is_opaque or stop[0] in {":/", ":\\"}) and last_secret >= stop.end():
            return "".join((*parts, url[place : stop.end()], _MASK))
        if stop[0] in {"?", "#"}:
            if is_within or has_tail:
                return "".join((*parts, url[place : stop.end()], _MASK))
        elif not (is_opaque and is_within and url[stop.start() - 1] in "=,"):  # which is a part of the path
            is_within = is_within or not is_opaque
            at = _end_of_userinfo(url, stop, last_at)
            if at >= 0:
                parts += url[place : stop.end()], f"{_MASK}@"
                place = at + 1
    return "".join((*parts, url[place:]))


def _end_of_userinfo(url: str, stop: re.Match[str], last_at: int) -> int:
    """Where the `@` is behind the userinfo, or -1."""
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
    """The URL with the credentials of a percent-encoded URL in it masked."""
    begin = _QUOTED_AUTHORITY.search(url)
    if begin is None:
        return url
    at = url.rfind("%40")
    if at >= begin.end():
        url = f"{url[: begin.end()]}{_MASK}{url[at:]}"
    tail = _QUOTED_TAIL.search(url, begin.end())
    return f"{url[: tail.end()]}{_MASK}" if tail else url
