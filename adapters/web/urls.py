"""http and https URLs, parsed strictly: a URL that two parsers could read differently is refused.

urllib drops tabs and newlines within a URL, `inet_aton` reads `127.1`, and IDNA has two editions that disagree: each is
a way past a check (OSSA-2026-004). By RFC 3986 a URL is ASCII, with everything else percent-encoded.
"""

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

__all__ = ["PORTS", "WebUrl", "joined", "plain_host", "web_url"]

PORTS: Final = {"http": 80, "https": 443}
"""Each scheme's default port."""
_LONGEST: Final = 8192
"""Characters. Servers accept no longer URLs either (RFC 9110, section 4.1, recommends 8000)."""
_TEXT: Final = re.compile(r"[!-\[\]-~]*")
"""Visible ASCII, except the backslash, which browsers read as a slash."""
_PLAIN: Final = re.compile(r"[ \x80-\xff]")
"""Characters of a header, which http.client decodes as Latin-1, that a server should have percent-encoded."""
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+))(?::([0-9]*))?")
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
"""A host's name (RFC 1123, section 2.1); underscores are allowed, because container networks use them."""


class WebUrl(NamedTuple):
    parts: SplitResult
    """Without userinfo; `hostname` and `port` never raise."""
    userinfo: str


def web_url(text: str) -> WebUrl:
    """Parses an http or https URL. Raises ValueError; its message repeats nothing of the text.

    >>> web_url("HTTP://me:hush@Images.Example:8080/noble.img").parts.geturl()
    'http://images.example:8080/noble.img'
    >>> web_url("http://good.example\\\\@127.0.0.1/")
    Traceback (most recent call last):
    ValueError: its URL has characters that must be percent-encoded, or a host that is not in its xn-- form
    """
    _check(text)
    try:
        return _read(urlsplit(text))
    except ValueError:  # its message may repeat credentials
        raise ValueError("it is not an http or https URL with a host") from None


def joined(base: SplitResult, reference: str) -> WebUrl:
    """The URL that a redirect leads to. Raises ValueError, as `web_url` does.

    Blanks and bytes that are not ASCII are percent-encoded, as in browsers and curl: some servers send them plainly.

    >>> joined(urlsplit("http://host/a"), "/noble image.img").parts.geturl()
    'http://host/noble%20image.img'
    """
    reference = _PLAIN.sub(_encoded, reference.strip(" "))
    _check(reference)
    return web_url(urljoin(base.geturl(), reference))


def _encoded(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _check(text: str) -> None:
    if len(text) > _LONGEST:
        raise ValueError(f"its URL has more than {_LONGEST} characters")
    if not _TEXT.fullmatch(text):
        raise ValueError("its URL has characters that must be percent-encoded, or a host that is not in its xn-- form")


def _read(parts: SplitResult) -> WebUrl:
    userinfo, _, authority = parts.netloc.rpartition("@")
    found = _AUTHORITY.fullmatch(authority)
    if found is None or parts.scheme not in PORTS or not 0 < int(found[3] or PORTS[parts.scheme]) < 1 << 16:
        raise ValueError(authority)
    host = f"[{IPv6Address(found[1])}]" if found[1] else found[2].lower()
    plain_host(host)
    return WebUrl(parts._replace(netloc=f"{host}:{int(found[3])}" if found[3] else host), userinfo)


def plain_host(text: str) -> str:
    """A host's name or address in normal form, for comparison: lower-case, without brackets and final dot.

    Raises ValueError for what is neither.

    >>> plain_host("Images.Example.")
    'images.example'
    >>> plain_host("[2001:DB8::0:1]")
    '2001:db8::1'
    """
    host = text.lower().removesuffix(".")
    if ":" in host:
        return str(IPv6Address(host.removeprefix("[").removesuffix("]")))
    if not _NAME.fullmatch(host):
        raise ValueError("it is not a host")
    return host
