"""Masks secrets in messages: those that are known, and texts that look like one."""

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from lading.ports.redaction import redacted

__all__ = ["keep_secret", "masked"]

_MASK: Final = "***"
_SHORTEST: Final = 4
"""The least characters of a secret. A shorter one would mask parts of many words, and can be guessed."""
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
    """Masks these texts in all later messages, also in the forms that URLs, JSON and repr give them."""
    for each in secrets:
        if len(each) >= _SHORTEST:
            _known.update((each, quote(each, safe=""), json.dumps(each)[1:-1], repr(each)[1:-1]))


def masked(text: str) -> str:
    """Returns the text with `***` for known secrets, for headers and members with secrets, and for URL credentials."""
    # The longest first: one may be part of another.
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return redacted(_MEMBER.sub(rf"\1{_MASK}", _HEADER.sub(rf"\1{_MASK}", text)))
