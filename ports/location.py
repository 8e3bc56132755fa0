"""Where an image's bytes lie: a URL, parsed once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ["Location"]

# RFC 3986, section 3.1: a scheme is case-insensitive, its canonical form is lower-case.
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):")
_HIDDEN: Final = "***"


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """One place of an image.

    `url` is kept as the catalog wrote it and may hold credentials; `str()` and `repr()` never show them.
    `metadata` is what the catalog says beside it, as JSON has it, for Glance `{"store": "<id>"}`.

    >>> Location("HTTP://user:secret@host/noble.img?sig=abc")
    Location('HTTP://***@host/noble.img?***')
    >>> Location("HTTP://host/noble.img").scheme
    'http'
    >>> Location("s3://KEY:sec/ret@host/bucket/key").withheld().url
    's3://***@host/bucket/key'
    """

    url: str
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    scheme: str = field(init=False, compare=False)
    """Lower-case; empty when the URL has none."""

    def __post_init__(self) -> None:
        found = _SCHEME.match(self.url)
        object.__setattr__(self, "scheme", found[1].lower() if found else "")

    def __str__(self) -> str:
        return _without_secrets(self.url, self.scheme)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    @property
    def is_withheld(self) -> bool:
        """Whether credentials were taken out of the URL, so that it names the place but can't be used."""
        return f"//{_HIDDEN}@" in self.url or self.url.endswith((f"?{_HIDDEN}", f"#{_HIDDEN}"))

    def withheld(self) -> Self:
        """This location as it may be written down: without credentials; itself when it has none."""
        shown = str(self)
        return self if shown == self.url else type(self)(shown, self.metadata)


def _without_secrets(url: str, scheme: str) -> str:
    """Hide userinfo, query and fragment.

    glance_store writes S3 secrets unquoted, and they may contain `/`, `?` and `#`: for those, and for any authority
    that only makes sense when its userinfo holds such a character, everything up to the last `@` is hidden.
    """
    head, separator, rest = url.partition("//")
    if not separator:
        head, separator, rest = url.partition(":")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.startswith("s3") or ("@" not in authority and _has_odd_port(authority)):
        authority = rest
    userinfo = authority.rfind("@")
    if userinfo >= 0:
        separator, rest = f"{separator}{_HIDDEN}@", rest[userinfo + 1 :]
    kept = re.match(r"[^?#]*", rest)
    plain = kept[0] if kept else ""
    tail = rest[len(plain) :]
    return f"{head}{separator}{plain}" + (f"{tail[0]}{_HIDDEN}" if tail else "")


def _has_odd_port(authority: str) -> bool:
    _, colon, port = authority.rpartition("]")[2].rpartition(":")
    return bool(colon) and not port.isdigit()
