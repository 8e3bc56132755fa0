"""Where an image's bytes lie: a URL, parsed once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ["Location"]

# RFC 3986, section 3.1: a scheme is case-insensitive, its canonical form is lower-case.
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):")
_HIDDEN: Final = "***"
# qemu's `rbd:pool/image:id=…:key=…`, say. There is no telling where such a secret ends.
_OPAQUE_SECRET: Final = re.compile(rf"({_SCHEME.pattern})(?!//).*(?:key|password|secret)=", re.DOTALL | re.IGNORECASE)
_OPAQUE_WITHHELD: Final = re.compile(rf"{_SCHEME.pattern}\*\*\*(?:@|\Z)")
_IPV6: Final = re.compile(r"\[[0-9A-Fa-f:.]*\]")


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
        if f"//{_HIDDEN}@" in self.url or self.url.endswith((f"?{_HIDDEN}", f"#{_HIDDEN}")):
            return True
        return _OPAQUE_WITHHELD.match(self.url) is not None

    def withheld(self) -> Self:
        """This location as it may be written down: without credentials; itself when it has none."""
        shown = str(self)
        return self if shown == self.url else type(self)(shown, self.metadata)


def _without_secrets(url: str, scheme: str) -> str:
    """Hide userinfo, query and fragment, and all of an opaque URL that holds a secret.

    Passwords are written unquoted, by glance_store too, and may contain `/`, `?`, `#` and `@`. Where an authority has a
    colon, what looks like a port may be the beginning of one: everything up to the last `@` is hidden then, and always
    for S3. Better a path is hidden that has an `@` in it than a password shown.
    """
    if opaque := _OPAQUE_SECRET.match(url):
        return f"{opaque[1]}{_HIDDEN}"
    head, separator, rest = url.partition("//")
    if not separator:
        head, separator, rest = url.partition(":")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.startswith("s3") or ":" in _IPV6.sub("", authority, count=1):
        authority = rest
    userinfo = authority.rfind("@")
    if userinfo >= 0:
        separator, rest = f"{separator}{_HIDDEN}@", rest[userinfo + 1 :]
    kept = re.match(r"[^?#]*", rest)
    plain = kept[0] if kept else ""
    tail = rest[len(plain) :]
    return f"{head}{separator}{plain}" + (f"{tail[0]}{_HIDDEN}" if tail else "")
