"""The location of an image's bytes: a URL, parsed once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from lading.ports.redaction import is_redacted, redacted_url, redacted_values

__all__ = ["Location"]

# RFC 3986, section 3.1: a scheme is case-insensitive, its canonical form is lower-case.
_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):")


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """One location of an image.

    `url` is kept as the catalog wrote it and may contain credentials; `str()` and `repr()` mask them.
    `metadata` are the catalog's fields of the location, as JSON values; for Glance `{"store": "<id>"}`.

    >>> Location("HTTP://user:secret@host/noble.img?sig=abc")
    Location('HTTP://***@host/noble.img?***')
    >>> Location("HTTP://host/noble.img").scheme
    'http'
    >>> Location("s3://KEY:sec/ret@host/bucket/key").redacted().url
    's3://***@host/bucket/key'
    """

    url: str
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    trusted: bool = field(default=False, compare=False, kw_only=True)
    """The operator named this URL: it may lead to a server that is not public. Never stored."""
    scheme: str = field(init=False, compare=False)
    """Lower-case; empty when the URL has none."""

    def __post_init__(self) -> None:
        found = _SCHEME.match(self.url)
        object.__setattr__(self, "scheme", found[1].lower() if found else "")

    def __str__(self) -> str:
        return redacted_url(self.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"

    @property
    def is_redacted(self) -> bool:
        """True when credentials of the URL are masked: it names the location, but cannot be used."""
        return is_redacted(self.url)

    def redacted(self) -> Self:
        """The location as it may be stored, with credentials masked; itself when it has none."""
        redacted = type(self)(str(self), redacted_values(self.metadata))
        return self if redacted == self and not self.trusted else redacted
