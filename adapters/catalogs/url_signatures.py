"""Signatures beside checksum files and images, as vendors publish them."""

import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.documents import read_document
from lading.adapters.web.http import HttpConnection, HttpRefused, Origin
from lading.domain.refusals import Unconfigured
from lading.ports.failures import CatalogUnavailable, ImageUnproven, SettingsError
from lading.ports.image import Signature, Signer
from lading.ports.redaction import redacted_url

__all__ = ["ABSENT", "Keyrings", "image_signature", "signed_text"]

_log = logging.getLogger(__name__)
ABSENT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})
"""Statuses of what does not exist. Object stores answer 403 to a user who may not list."""
_OF_TEXT: Final = (".gpg", ".asc", ".sig", ".sign")
_OF_IMAGE: Final = (".sig", ".asc", ".gpg")
_ADVICE: Final = "if the publisher has a new key, --keyring names a file with it; --checksum gives the digest instead"


class Keyrings(NamedTuple):
    """The keys of those who may sign an image."""

    files: tuple[Path, ...] = ()
    is_demanded: bool = False
    """A signature must be there; else one that is there must count."""

    def __str__(self) -> str:
        return ", ".join(map(str, self.files))


class _Beside(NamedTuple):
    """A signature that was found beside a file."""

    url: str
    content: bytes


def signed_text(
    content: bytes, origin: Origin, connection: HttpConnection, keyrings: Keyrings
) -> tuple[bytes, Signer | None]:
    """The text of a checksum file that a key of the keyrings signed, and that key.

    All of the content, and None, where there is no signature. Raises ImageUnproven where it does not count,
    CatalogUnavailable where it cannot be read, and SettingsError where the keyring cannot be read or no tool is there.
    """
    # Only a keyring needs it.
    from lading.adapters.signatures.openpgp import (  # noqa: PLC0415
        is_clear_signed,
        verify_clear_signed,
        verify_detached,
    )

    name = redacted_url(origin.url)
    try:
        if is_clear_signed(content):
            signed = verify_clear_signed(content, keyrings.files, name)
            return signed.text, signed.signer
        for beside in _beside(origin, _OF_TEXT, connection):
            if is_clear_signed(beside.content):  # a copy of the file, with the signature in it
                signed = verify_clear_signed(beside.content, keyrings.files, beside.url)
                return signed.text, signed.signer
            return content, verify_detached(content, beside.content, keyrings.files, name)
    except Refused as refused:
        if not isinstance(refused.refusal, Unconfigured):
            raise ImageUnproven(f"{refused}; {_ADVICE}") from refused
        if keyrings.is_demanded:
            raise SettingsError(str(refused)) from refused
        _log.warning("the signature of %s is not verified: %s", name, refused)
    return content, None


def image_signature(origin: Origin, connection: HttpConnection, keyrings: Keyrings) -> Signature | None:
    """The detached signature beside the image, which is verified when its bytes are read; None: there is none.

    Raises CatalogUnavailable where it cannot be read.
    """
    for beside in _beside(origin, _OF_IMAGE, connection):
        files = tuple(str(each.absolute()) for each in keyrings.files)
        return Signature(b64encode(beside.content).decode(), files, beside.url)
    return None


def _beside(origin: Origin, suffixes: tuple[str, ...], connection: HttpConnection) -> Iterator[_Beside]:
    """The signatures beside the file of the origin. Raises CatalogUnavailable."""
    path, _, _ = origin.url.partition("?")
    for suffix in suffixes:
        beside = replace(origin, url=f"{path}{suffix}")
        try:
            content = read_document(connection, beside)
        except SourceBroken as failure:
            if isinstance(failure, HttpRefused) and failure.status in ABSENT:
                continue
            raise CatalogUnavailable(f"the signature {redacted_url(beside.url)} cannot be read: {failure}") from failure
        if content.lstrip()[:1] == b"<":
            _log.info("%s is HTML, and no signature", redacted_url(beside.url))
            continue
        yield _Beside(redacted_url(beside.url), content)
