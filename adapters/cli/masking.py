"""What the command must not repeat in words: secrets that it knows, and whatever looks like one."""

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from lading.ports.redaction import redacted

__all__ = ["keep_secret", "masked"]

_MASK: Final = "***"
_SHORTEST: Final = 4
"""Characters of a secret. A shorter one would mask parts of many words, and keeps nothing secret."""
_HEADER: Final = re.compile(
    r"""((?:(?:proxy-)?authorization|(?:set-)?cookie|x-[a-z0-9-]{0,60}(?:token|key|secret))["']?\s*[:=]\s*)"""
    r"""(?:b?"[^"]*"|b?'[^']*'|[^"'\s][^\r\n]*)""",
    re.IGNORECASE,
)
_MEMBER: Final = re.compile(
    r"""((?:password|passwd|secret|token|adminpass)["']\s*:\s*)(?:b?"[^"]*"|b?'[^']*')""", re.IGNORECASE
)
_known: Final[set[str]] = set()


def keep_secret(secrets: Iterable[str]) -> None:
    """Mask these texts from now on, also as URLs, JSON and repr write them."""
    for each in secrets:
        if len(each) >= _SHORTEST:
            _known.update((each, quote(each, safe=""), json.dumps(each)[1:-1], repr(each)[1:-1]))


def masked(text: str) -> str:
    """The text without the secrets that are known, headers and members that hold one, and credentials in URLs."""
    # The longest first: one may be a part of another.
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return redacted(_MEMBER.sub(rf"\1{_MASK}", _HEADER.sub(rf"\1{_MASK}", text)))
