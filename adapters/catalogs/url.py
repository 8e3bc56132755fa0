"""Images by their URL, with the digest from a checksum file beside them."""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.checksum_files import Checksums
from lading.adapters.catalogs.url_reference import UrlReference, is_url
from lading.adapters.catalogs.url_search import Search
from lading.adapters.catalogs.url_signatures import ABSENT, Keyrings
from lading.adapters.signatures.vendor_keyrings import installed_keyrings
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpConnection, HttpOptions, HttpRefused, Origin, peer_of
from lading.adapters.web.urls import web_url
from lading.adapters.web.validators import Validators
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, ImageNotFound, ImageUnproven, SettingsError
from lading.ports.image import Image
from lading.ports.location import Location
from lading.ports.redaction import is_redacted, redacted_url

__all__ = ["UrlCatalog"]

_log = logging.getLogger(__name__)
_FIRST_BYTE_SECONDS: Final = 30.0


class _Probed(NamedTuple):
    """What the first server that answers says of the file."""

    origin: Origin
    size: int | None
    validators: Validators
    """Those that the next answer will repeat where the file is the same."""


class UrlCatalog:
    """Any http or https URL as an image: an ImageCatalog.

    A reference is a `UrlReference`. The id is the URL, with the digest as fragment, or with the state of the file (its
    ETag, else its date, and its size) where no digest is known: so a changed file is another image. The id finds the
    same image again, or none. The name is that of the file, or the path beneath the mirrors.

    A request without a user is the operator's: its URLs are trusted up to the first redirect, as the configured mirrors
    always are. URLs of a user's request are guarded as locations are.

    The digest is the given one, or that in a checksum file; see `Search`. Nothing is cached: a description takes a
    request for the file's first byte, and one for each file beside it that is tried.
    """

    def __init__(self, options: HttpOptions, mirrors: Sequence[str] = (), keyring: Path | None = None) -> None:
        """`mirrors` are URLs of folders on servers with the same files; references are paths beneath them.

        `keyring`: a key of it must have signed each image, or its checksum file.
        """
        self._options = replace(options, first_byte_seconds=min(options.first_byte_seconds, _FIRST_BYTE_SECONDS))
        self._mirrors = tuple(mirrors)
        self._keyring = keyring

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            asked = UrlReference.of(reference, self._mirrors)
        except ValueError as error:
            return Failure(ImageNotFound(redacted_url(reference), "the web", str(error)))
        if is_redacted(asked.text):
            hint = "its password or its query is not recorded, give the whole URL"
            return Failure(ImageNotFound(asked.public_text, "the web", hint))
        try:
            image = self._described(asked, context)
        except (ImageNotFound, ImageUnproven, CatalogUnavailable, SettingsError) as failure:
            return Failure(failure)
        if asked.etag is not None and image.id != f"{asked.public_text}#etag={asked.etag}":
            return Failure(ImageNotFound(redacted_url(reference), "the web", "the file at its URL has changed"))
        return Success(image)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        if image.locations:
            return Success(image.locations)
        # An association records its image without locations.
        try:
            asked = UrlReference.of(image.id, self._mirrors)
        except ValueError as error:
            return Failure(ImageNotFound(redacted_url(image.id), "the web", str(error)))
        if asked.digest is None or is_redacted(asked.text):
            return self.find(image.id, context).map(lambda found: found.locations)
        return Success(self._locations(asked, context))

    def _described(self, asked: UrlReference, context: Context) -> Image:
        """Raises ImageNotFound, ImageUnproven, CatalogUnavailable and SettingsError."""
        if not asked.name:
            raise ImageNotFound(asked.public_text, "the web", "it names a folder, expected the URL of a file")
        keyrings = self._keyrings(asked, context)
        probed = self._probe(asked, context)
        sums = asked.checksums and Origin.of(asked.checksums, trusted=self._is_trusted(asked.checksums, context))
        # One for all the files beside the image that are tried.
        with closing(HttpConnection(self._options)) as connection:
            found = Search(asked, probed.origin, sums or None, connection, keyrings).found()
        checksums = found.checksums
        validators = probed.validators
        return Image(
            f"{asked.public_text}#{_pin(probed, checksums)}",
            asked.name if is_url(asked.text) else asked.text,
            probed.size,
            digest=checksums.digest if checksums else None,
            content_digest=checksums.content_digest if checksums else None,
            locations=self._locations(asked, context),
            properties={
                **({"self": asked.public_text} if is_url(asked.text) else {}),
                **({"etag": validators.etag} if validators.etag else {}),
                **({"last_modified": validators.modified} if validators.modified else {}),
            },
            proof=found.proof,
        )

    def _locations(self, asked: UrlReference, context: Context) -> Sequence[Location]:
        return tuple(Location(each, trusted=self._is_trusted(each, context)) for each in asked.urls)

    def _keyrings(self, asked: UrlReference, context: Context) -> Keyrings:
        """The keyrings of the reference, or the catalog's, or else those that the vendor's package has installed.

        Raises ImageNotFound where a user names keyrings: who may choose them can sign anything.
        """
        if asked.keyrings and context != ANONYMOUS:
            raise ImageNotFound(asked.public_text, "the web", "#keyring is for the operator, whose files they are")
        named = (*map(Path, asked.keyrings), *([self._keyring] if self._keyring else []))
        if named:
            return Keyrings(named, is_demanded=True)
        host = web_url(asked.urls[0]).parts.hostname or ""
        return Keyrings(() if asked.unverified or asked.digest else installed_keyrings(host))

    def _is_trusted(self, url: str, context: Context) -> bool:
        return context == ANONYMOUS or any(url.startswith(f"{each.rstrip('/')}/") for each in self._mirrors)

    def _probe(self, asked: UrlReference, context: Context) -> _Probed:
        """Requests the file's first byte, of one server after the other. Raises ImageNotFound, CatalogUnavailable."""
        failures: list[str] = []
        is_absent = True
        for url in asked.urls:
            origin = Origin.of(url, trusted=self._is_trusted(url, context))
            try:
                # Closed at once: a server that ignores ranges sends the whole file.
                with closing(HttpConnection(self._options, digest_decides=True)) as connection:
                    answer = connection.open(origin, 0, 1)
            except SourceBroken as failure:
                is_absent = is_absent and isinstance(failure, HttpRefused) and failure.status in ABSENT
                failures.append(f"{redacted_url(url)}: {failure}")
                continue
            validators, size = answer.validators, answer.total
            if answer.peer != peer_of(origin.url):
                # The next redirect may lead to another mirror, whose ETags are its own.
                validators = Validators(None, validators.modified)
            return _Probed(origin, size, validators)
        if is_absent:
            raise ImageNotFound(asked.public_text, "the web", "; ".join(failures))
        raise CatalogUnavailable("; ".join(failures))


def _pin(probed: _Probed, checksums: Checksums | None) -> str:
    """The fragment of the image's id: its digest, or else the state of its file."""
    if checksums is not None:
        return f"{checksums.digest.algorithm}={checksums.digest.value}"
    state = (probed.origin.url, probed.validators.noted, probed.size)
    return f"etag={hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
