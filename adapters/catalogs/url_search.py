"""The search for what proves an image at a URL: a checksum file beside it, and signatures."""

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from lading.adapters.catalogs.checksum_files import Checksums, checksums_of
from lading.adapters.catalogs.url_reference import UrlReference
from lading.adapters.catalogs.url_signatures import ABSENT, Keyrings, image_signature, signed_text
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.documents import read_document
from lading.adapters.web.http import HttpConnection, HttpRefused, Origin
from lading.ports.failures import CatalogUnavailable, ImageUnproven
from lading.ports.image import GIVEN, UNPROVEN, Proof
from lading.ports.redaction import redacted_url

__all__ = ["Found", "Search"]

_log = logging.getLogger(__name__)
_COMMON: Final = ("SHA256SUMS", "SHA512SUMS")
_OF_IMAGE: Final = (".sha256", ".SHA256", ".sha512", ".CHECKSUM", ".SHA256SUM", ".sha256sum", ".DIGESTS")
_OF_FOLDER: Final = ("CHECKSUM", "CHECKSUM.SHA512", "CHECKSUM.SHA256", "MD5SUMS")
_COREOS: Final = ("fedora-coreos-", "rhcos-")
"""Beginnings of names of images that have a description of their build beside them."""
_LINK: Final = re.compile(r"""href=["']?(?:\./)?([A-Za-z0-9._+~-]{1,255})["'\s>]""", re.IGNORECASE)
"""A link of a folder's listing to a file in it."""
_MOST_LISTED: Final = 4
"""Files `…-CHECKSUM`, as Fedora publishes them, that are tried: their names have the compose's version."""
_ADVICE: Final = "--checksum ALGORITHM:HEX gives the digest, --unverified takes the image without"


class Found(NamedTuple):
    """The result of a search."""

    checksums: Checksums | None = None
    """None: no digest is known."""
    proof: Proof = UNPROVEN


class Search:
    """The search for one image, over one connection. All methods raise CatalogUnavailable where a server is away."""

    def __init__(
        self, asked: UrlReference, origin: Origin, sums: Origin | None, connection: HttpConnection, keyrings: Keyrings
    ) -> None:
        """`origin` is the image's; `sums` that of the checksum file that is named; None: one beside the image."""
        self._asked = asked
        self._origin = origin
        self._sums = sums
        self._connection = connection
        self._keyrings = keyrings

    def found(self) -> Found:
        """The digest, and what proves it or the image.

        Raises ImageUnproven where a signature does not count, or where there must be one and none is found, and
        SettingsError where the keyring cannot be read or no tool is installed.
        """
        found = self._digest() or Found()
        if found.proof.signed_by is not None or not self._keyrings.is_demanded:
            return found  # a vendor whose keyring is installed signs its checksum files
        signature = image_signature(self._origin, self._connection, self._keyrings)
        if signature is None:
            raise ImageUnproven(
                f"{redacted_url(self._origin.url)} is not signed: no signature is beside it, and none beside its "
                f'checksum file (keyring: {self._keyrings}); without --keyring, or with policy = "checksum", it is '
                "accepted"
            )
        return found._replace(proof=replace(found.proof, signature=signature))

    def _digest(self) -> Found | None:
        """The digest, and where it is from; None where there is none."""
        if self._asked.digest is None:
            return self._in_checksum_file()
        given = Found(Checksums(self._asked.digest), Proof(GIVEN))
        if not self._keyrings.is_demanded:
            return given
        found = self._in_checksum_file()
        if found is None or found.checksums is None or found.proof.signed_by is None:
            return given
        return found if found.checksums.digest == self._asked.digest else given

    def _in_checksum_file(self) -> Found | None:
        """The result from a checksum file; None where there is none."""
        if self._asked.unverified or self._asked.etag is not None:
            return None
        if self._sums is not None:
            found = self._read(self._sums, must_exist=True)
            if found is None:
                raise CatalogUnavailable(
                    f"{redacted_url(self._sums.url)}: it is no checksum file, or does not list {self._asked.name}; "
                    f"{_ADVICE}"
                )
            return found
        return next(filter(None, map(self._read, self._beside())), None)

    def _beside(self) -> Iterator[Origin]:
        """The checksum files that may be beside the image: the most common first, then those that are listed."""
        file = urlsplit(self._origin.url).path.rpartition("/")[2]
        builds = ["meta.json"] if file.startswith(_COREOS) else []
        names = (*(f"{file}{ending}" for ending in _OF_IMAGE), *_OF_FOLDER, f"{file.partition('.')[0]}.json", *builds)
        yield from map(self._in_folder, _COMMON)
        listed = self._listed()
        of_composes = [each for each in listed if each.endswith("-CHECKSUM")][:_MOST_LISTED]
        # A page of the folder need not list all: the others are tried too.
        in_order = sorted(names, key=lambda name: name not in listed)
        yield from map(self._in_folder, (*of_composes, *in_order))

    def _listed(self) -> Collection[str]:
        """The names in the folder's listing; none where it has no listing."""
        folder = self._in_folder("")
        try:
            listing = read_document(self._connection, folder)
        except SourceBroken as failure:
            _log.info("%s: its listing cannot be read: %s", redacted_url(folder.url), failure)
            return ()
        return dict.fromkeys(_LINK.findall(listing.decode("ascii", "replace")))

    def _in_folder(self, name: str) -> Origin:
        """Another file of the image's folder. The image's query is not sent: it may sign that one URL only."""
        return replace(self._origin, url=urljoin(self._origin.url, f"./{name}"))

    def _read(self, origin: Origin, *, must_exist: bool = False) -> Found | None:
        """The image's entry in a checksum file; None where the file does not exist or does not list it.

        Raises CatalogUnavailable where that cannot be told: an image must not pass unverified because a server is away.
        """
        url, name = redacted_url(origin.url), self._asked.name
        try:
            content = read_document(self._connection, origin)
        except SourceBroken as failure:
            if not must_exist and isinstance(failure, HttpRefused) and failure.status in ABSENT:
                return None
            raise CatalogUnavailable(f"the checksum file {url} cannot be read: {failure}; {_ADVICE}") from failure
        is_alone = must_exist or urlsplit(origin.url).path.rpartition("/")[2].startswith(name)
        signer = None
        try:
            checksums = checksums_of(content, name, alone=is_alone)
            if checksums is not None and self._keyrings.files:
                content, signer = signed_text(content, origin, self._connection, self._keyrings)
                checksums = checksums_of(content, name, alone=is_alone)
        except ValueError as error:
            raise CatalogUnavailable(f"the checksum file {url} contradicts itself: {error}; {_ADVICE}") from None
        if checksums is None:
            _log.info("%s does not list %s", url, name)
            return None
        if checksums.is_weak:
            _log.warning("%s has only a weak digest of %s: %s", url, name, checksums.digest.algorithm)
        return Found(checksums, Proof(url, signer))
