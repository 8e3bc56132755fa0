"""Images by their URL, with the digest from a checksum file beside them."""

import hashlib
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.checksum_files import Checksums, checksums_of
from lading.adapters.catalogs.url_reference import UrlReference, is_url
from lading.adapters.catalogs.url_signatures import ABSENT, Keyrings, image_signature, signed_text
from lading.adapters.signatures.vendor_keyrings import installed_keyrings
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.documents import read_document
from lading.adapters.web.http import HttpConnection, HttpOptions, HttpRefused, Origin, peer_of
from lading.adapters.web.urls import web_url
from lading.adapters.web.validators import Validators
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, ImageNotFound, ImageUnproven, SettingsError
from lading.ports.image import GIVEN, UNPROVEN, Image, Proof
from lading.ports.location import Location
from lading.ports.redaction import is_redacted, redacted_url

__all__ = ["UrlCatalog"]

_log = logging.getLogger(__name__)
_FIRST_BYTE_SECONDS: Final = 30.0
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


class _Probed(NamedTuple):
    """What the first server that answers says of the file."""

    origin: Origin
    size: int | None
    validators: Validators
    """Those that the next answer will repeat where the file is the same."""


class _Found(NamedTuple):
    checksums: Checksums
    proof: Proof
    """With the URL of the checksum file, or GIVEN."""


class UrlCatalog:
    """Any http or https URL as an image: an ImageCatalog.

    A reference is a `UrlReference`. The id is the URL, with the digest as fragment, or with the state of the file (its
    ETag, else its date, and its size) where no digest is known: so a changed file is another image. The id finds the
    same image again, or none. The name is that of the file, or the path beneath the mirrors.

    A request without a user is the operator's: its URLs are trusted up to the first redirect, as the configured mirrors
    always are. URLs of a user's request are guarded as locations are.

    The digest is the given one, or that in a checksum file. Nothing is cached: a description takes a request for the
    file's first byte, and one for each checksum file that is tried.
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
        # One for all the files beside the image that are tried.
        with closing(HttpConnection(self._options)) as connection:
            found = self._found(asked, probed.origin, context, connection, keyrings)
            proof = found.proof if found else UNPROVEN
            if keyrings.is_demanded and proof.signed_by is None:
                # A vendor whose keyring is installed signs its checksum files.
                proof = _with_signature(proof, probed.origin, connection, keyrings)
        checksums = found.checksums if found else None
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
            proof=proof,
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

    def _found(
        self, asked: UrlReference, origin: Origin, context: Context, connection: HttpConnection, keyrings: Keyrings
    ) -> _Found | None:
        """The digest, and where it is from; None where there is none. Raises CatalogUnavailable and ImageUnproven."""
        if asked.digest is None:
            return self._searched(asked, origin, context, connection, keyrings)
        given = _Found(Checksums(asked.digest), Proof(GIVEN))
        if not keyrings.is_demanded:
            return given
        found = self._searched(asked, origin, context, connection, keyrings)
        is_confirmed = found is not None and found.proof.signed_by and found.checksums.digest == asked.digest
        return found if is_confirmed else given

    def _searched(
        self, asked: UrlReference, origin: Origin, context: Context, connection: HttpConnection, keyrings: Keyrings
    ) -> _Found | None:
        """What a checksum file says; None where there is none. Raises as `_found` does."""
        if asked.unverified or asked.etag is not None:
            return None
        if asked.checksums is not None:
            named = Origin.of(asked.checksums, trusted=self._is_trusted(asked.checksums, context))
            found = self._read(named, asked.name, connection, keyrings, must_exist=True)
            if found is None:
                raise CatalogUnavailable(
                    f"{redacted_url(asked.checksums)}: it is no checksum file, or does not list {asked.name}; {_ADVICE}"
                )
            return found
        for beside in self._beside(origin, connection):
            if (found := self._read(beside, asked.name, connection, keyrings)) is not None:
                return found
        return None

    def _beside(self, origin: Origin, connection: HttpConnection) -> Iterator[Origin]:
        """The checksum files that may be beside an image: the most common first, then those that are listed."""
        file = urlsplit(origin.url).path.rpartition("/")[2]
        builds = ["meta.json"] if file.startswith(_COREOS) else []
        names = (*(f"{file}{ending}" for ending in _OF_IMAGE), *_OF_FOLDER, f"{file.partition('.')[0]}.json", *builds)
        yield from (_in_folder(origin, each) for each in _COMMON)
        listed = self._listed(_in_folder(origin, ""), connection)
        of_composes = [each for each in listed if each.endswith("-CHECKSUM")][:_MOST_LISTED]
        # A page of the folder need not list all: the others are tried too.
        in_order = sorted(names, key=lambda name: name not in listed)
        yield from (_in_folder(origin, each) for each in (*of_composes, *in_order))

    def _listed(self, folder: Origin, connection: HttpConnection) -> Collection[str]:
        """The names in the folder's listing; none where it has no listing."""
        try:
            listing = read_document(connection, folder)
        except SourceBroken as failure:
            _log.info("%s: its listing cannot be read: %s", folder.url, failure)
            return ()
        return dict.fromkeys(_LINK.findall(listing.decode("ascii", "replace")))

    def _read(
        self, origin: Origin, name: str, connection: HttpConnection, keyrings: Keyrings, *, must_exist: bool = False
    ) -> _Found | None:
        """What a checksum file says of the image; None where it does not exist or does not list it.

        Raises CatalogUnavailable where that cannot be told: an image must not pass unverified because a server is away.
        Raises ImageUnproven where its signature does not count.
        """
        url = redacted_url(origin.url)
        try:
            content = read_document(connection, origin)
        except SourceBroken as failure:
            if not must_exist and isinstance(failure, HttpRefused) and failure.status in ABSENT:
                return None
            raise CatalogUnavailable(f"the checksum file {url} cannot be read: {failure}; {_ADVICE}") from failure
        file = urlsplit(origin.url).path.rpartition("/")[2]
        is_alone = must_exist or file.startswith(name)
        signer = None
        try:
            checksums = checksums_of(content, name, alone=is_alone)
            if checksums is not None and keyrings.files:
                content, signer = signed_text(content, origin, connection, keyrings)
                checksums = checksums_of(content, name, alone=is_alone)
        except ValueError as error:
            raise CatalogUnavailable(f"the checksum file {url} contradicts itself: {error}; {_ADVICE}") from None
        if checksums is None:
            _log.info("%s does not list %s", url, name)
            return None
        if checksums.is_weak:
            _log.warning("%s has only a weak digest of %s: %s", url, name, checksums.digest.algorithm)
        return _Found(checksums, Proof(url, signer))


def _with_signature(proof: Proof, origin: Origin, connection: HttpConnection, keyrings: Keyrings) -> Proof:
    """The proof with the signature of the image itself. Raises ImageUnproven where there is none."""
    signature = image_signature(origin, connection, keyrings)
    if signature is None:
        raise ImageUnproven(
            f"{redacted_url(origin.url)} is not signed: no signature is beside it, and none beside its checksum file "
            f'(keyring: {keyrings}); without --keyring, or with policy = "checksum", it is accepted'
        )
    return replace(proof, signature=signature)


def _in_folder(origin: Origin, name: str) -> Origin:
    """Another file of the origin's folder. The origin's query is not sent: it may sign that one URL only."""
    return replace(origin, url=urljoin(origin.url, f"./{name}"))


def _pin(probed: _Probed, checksums: Checksums | None) -> str:
    """The fragment of the image's id: its digest, or else the state of its file."""
    if checksums is not None:
        return f"{checksums.digest.algorithm}={checksums.digest.value}"
    state = (probed.origin.url, probed.validators.noted, probed.size)
    return f"etag={hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
