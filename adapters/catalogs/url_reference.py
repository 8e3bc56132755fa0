"""A reference to an image by its URL, with what the caller knows of it in the fragment.

`https://host/noble.img#sha256=HEX` is the image with that digest, as pip writes it for packages. The fragment is never
sent to the server. It may also have `checksums=URL`, `mirror=URL` and `keyring=FILE` several times, and `unverified`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote

from lading.adapters.catalogs.checksum_files import LENGTHS
from lading.adapters.web.urls import web_url
from lading.ports.image import Digest
from lading.ports.redaction import redacted_url

__all__ = ["UrlReference", "is_url", "with_options"]

_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_KEYS: Final = (*reversed(LENGTHS), "checksums", "mirror", "keyring", "unverified")
_PATH: Final = "/%:@!$&'()*+,;="


def is_url(reference: str) -> bool:
    """Tells whether the reference is an http or https URL."""
    return reference[:8].lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class UrlReference:
    """The parts of a reference."""

    text: str
    """Without the fragment, as it was given."""
    urls: Sequence[str]
    """Of the image, and of its mirrors: the same file on other servers. May contain credentials."""
    digest: Digest | None = None
    etag: str | None = None
    """The state of the file that an id means: see `UrlCatalog`."""
    checksums: str | None = None
    """The URL of the checksum file; None: one beside the image is searched."""
    unverified: bool = False
    """No checksum file is searched."""
    keyrings: Sequence[str] = ()
    """Files with the keys that may have signed the image or its checksum file."""

    @classmethod
    def of(cls, reference: str, bases: Sequence[str] = ()) -> Self:
        """Parses a reference: a URL, or a path beneath each of the base URLs.

        Raises ValueError; its message shows no credentials.

        >>> UrlReference.of("noble/noble.img", ["https://one.example/", "https://two.example/images"]).urls
        ('https://one.example/noble/noble.img', 'https://two.example/images/noble/noble.img')
        """
        text, _, fragment = reference.partition("#")
        options = parse_qsl(fragment, keep_blank_values=True)
        if unknown := [key for key, _ in options if key not in {*_KEYS, "etag"}] or (fragment and not options):
            raise ValueError(f"#{unknown[0] if isinstance(unknown, list) else fragment}: expected {', '.join(_KEYS)}")
        digests = [digest_of(f"{key}:{value}") for key, value in options if key in LENGTHS]
        if len(digests) > 1:
            raise ValueError("it has several digests, expected one")
        known = dict(options)
        if "unverified" in known and "keyring" in known:
            raise ValueError("unverified and keyring contradict each other")
        urls = [*_urls(text, bases), *(value for key, value in options if key == "mirror")]
        for each in (*urls, *filter(None, [known.get("checksums")])):
            web_url(each)
        return cls(
            text, tuple(urls), digests[0] if digests else None, known.get("etag"), known.get("checksums"),
            "unverified" in known, tuple(value for key, value in options if key == "keyring"),
        )  # fmt: skip

    @staticmethod
    def is_unverified(image_id: str) -> bool:
        """Tells whether the id is that of an image at a URL without a digest."""
        return "://" in image_id and "#etag=" in image_id

    @property
    def name(self) -> str:
        """The name of the file, empty where the URL names a folder."""
        return unquote(web_url(self.urls[0]).parts.path.rpartition("/")[2])

    @property
    def public_text(self) -> str:
        """The text without credentials."""
        return redacted_url(self.text)


def _urls(text: str, bases: Sequence[str]) -> list[str]:
    if is_url(text) or not bases:
        return [text]
    if any(unquote(part) in {"", ".", ".."} for part in text.split("/")):
        raise ValueError("it is neither a URL nor a path beneath the mirrors")
    return [f"{base.rstrip('/')}/{quote(text, safe=_PATH)}" for base in bases]


def digest_of(text: str) -> Digest:
    """Parses `ALGORITHM:HEX`. Raises ValueError.

    >>> digest_of("sha256:abc")
    Traceback (most recent call last):
    ValueError: expected ALGORITHM:HEX, for example sha256: and 64 hex digits
    """
    algorithm, _, value = text.strip().partition(":")
    if LENGTHS.get(algorithm.lower()) != len(value) or not _HEX.fullmatch(value):
        raise ValueError("expected ALGORITHM:HEX, for example sha256: and 64 hex digits")
    return Digest(algorithm, value)


def with_options(
    reference: str,
    *,
    checksum: str | None = None,
    checksums: str | None = None,
    mirrors: Sequence[str] = (),
    keyrings: Sequence[str] = (),
    unverified: bool = False,
) -> str:
    """The reference with these in its fragment. Raises ValueError for a checksum that is none.

    >>> with_options("https://host/a.img", checksums="https://host/SUMS", unverified=False)
    'https://host/a.img#checksums=https%3A%2F%2Fhost%2FSUMS'
    """
    digest = digest_of(checksum) if checksum is not None else None
    options = [
        *([f"{digest.algorithm}={digest.value}"] if digest else []),
        *([f"checksums={quote(checksums, safe='')}"] if checksums is not None else []),
        *(f"mirror={quote(each, safe='')}" for each in mirrors),
        *(f"keyring={quote(str(Path(each).absolute()))}" for each in keyrings),
        *(["unverified"] if unverified else []),
    ]
    return f"{reference}{'&' if '#' in reference else '#'}{'&'.join(options)}" if options else reference
