"""The catalog of images in simplestreams."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.simplestreams.cache import Cache
from lading.adapters.catalogs.simplestreams.documents import Documents
from lading.adapters.catalogs.simplestreams.products import Product, architecture_name, listings, products
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.catalogs.simplestreams.stream import Stream
from lading.adapters.web.http import HttpOptions
from lading.ports.context import Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogFailure,
    CatalogUnavailable,
    ImageNotFound,
    ImageUnproven,
    SettingsError,
)
from lading.ports.image import Image, Proof
from lading.ports.location import Location
from lading.ports.redaction import redacted_url

__all__ = ["SimplestreamsCatalog"]

_INDEX: Final = "streams/v1/index"
_LARGEST_INDEX: Final = 4 << 20
_LARGEST_LISTINGS: Final = 64 << 20
"""Bytes of all lists together."""
_FIRST_BYTE_SECONDS: Final = 30.0
"""The lists are files: no server has to prepare them."""
_FRESH_SECONDS: Final = 60.0
"""For so long this process does not request the lists again."""
_RETRY_SECONDS: Final = 5.0
"""The same after a failure: else each of many waiting fetches would wait for the server in its turn."""


class SimplestreamsCatalog:
    """A mirror with simplestreams: an ImageCatalog and ImageListing.

    A reference is an image's id, or `NAME[/ARCHITECTURE][/SERIAL]`: the name is an alias or a product's key, and means
    the newest version. The id is the SHA-256 of the image as published.
    """

    def __init__(self, settings: SimplestreamsCatalogSettings, options: HttpOptions, *, prefix: str = "") -> None:
        """`options` for connections to the mirror, which the operator named: its guard checks redirects.

        `prefix`: before the names in advice, `ubuntu:` for a remote.
        """
        self._prefix = prefix
        root, index = settings.root_and_index
        self._root = root
        self._architecture = architecture_name(settings.architecture)
        keyring = settings.keyring if settings.demanded == "signature" else None
        names = (".sjson", ".json") if keyring is not None else (".json", ".sjson")
        self._index = (index,) if index else tuple(f"{_INDEX}{name}" for name in names)
        self._documents = Documents(
            root,
            replace(options, first_byte_seconds=min(options.first_byte_seconds, _FIRST_BYTE_SECONDS)),
            Cache(settings.cache),
            keyring=keyring,
            is_offline=settings.offline,
            stale_hours=settings.stale_hours,
        )
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._failure: CatalogUnavailable | None = None
        self._read_at = 0.0

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            stream = self._current_stream()
            image = stream.find(reference)
        except (AmbiguousImage, CatalogUnavailable, ImageUnproven, SettingsError) as failure:
            return Failure(failure)
        if image is None:
            near = [f"{self._prefix}{each}" for each in stream.near(reference)]
            return Failure(ImageNotFound(reference, str(self), f"near: {', '.join(near)}" if near else ""))
        return Success(image)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        # An association records its image without locations.
        return Success(image.locations) if image.locations else self.find(image.id, context).map(_locations)

    def images(self) -> Iterator[Image]:
        yield from self._current_stream().images()

    def __str__(self) -> str:
        return f"the stream {redacted_url(self._root)}"

    def _current_stream(self) -> Stream:
        """The stream, at most a minute old. Raises CatalogUnavailable, ImageUnproven and SettingsError."""
        with self._lock:
            age = time.monotonic() - self._read_at
            if self._failure is not None and age < _RETRY_SECONDS:
                raise self._failure.with_traceback(None)
            if self._stream is None or age > _FRESH_SECONDS:
                self._stream = self._read_stream()
            return self._stream

    def _read_stream(self) -> Stream:
        self._failure = None
        try:
            return Stream(self._products(), self._root, self._architecture)
        except ValueError as error:
            self._failure = CatalogUnavailable(f"{self} cannot be read: {error}")
            raise self._failure from error
        except CatalogUnavailable as failure:
            self._failure = failure
            raise
        finally:
            self._read_at = time.monotonic()

    def _products(self) -> Iterator[Product]:
        left = _LARGEST_LISTINGS
        with closing(self._documents) as documents:
            for listing in listings(documents.read(self._index, _LARGEST_INDEX).tree):
                document = documents.read((listing.path,), left)
                left -= document.size
                proof = Proof(redacted_url(f"{self._root}{listing.path}"), document.signed_by)
                yield from products(document.tree, listing.content_id, proof)


def _locations(image: Image) -> Sequence[Location]:
    return image.locations
