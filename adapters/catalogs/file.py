"""A catalog in a folder of image documents."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.folder import DocumentFolder, FolderError
from lading.adapters.catalogs.lookup import by_id_or_name
from lading.adapters.stream.safe_open import open_located, open_own
from lading.ports.catalog import ByteStream
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, NoImageData
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["FileCatalog"]


class FileCatalog:
    """A folder of image documents: ImageCatalog, ImageData, ImageListing and ImageRegistry.

    A document is a file `*.json` in the form of Glance's `GET /v2/images/{id}`, so that the output of a cloud's API can
    be copied to the folder under any file name. Searches and lists skip an invalid document with a warning. A missing
    folder is an empty catalog.

    Bytes are read from the file that an operator registered with `add`, else from a `file://` location beneath one of
    the allowed folders: other persons than the operator may have set the locations.
    """

    def __init__(self, folder: Path, allowed_folders: Sequence[Path] = ()) -> None:
        self._folder = DocumentFolder(folder)
        self._allowed_folders = tuple(allowed_folders)

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            image = self._folder.image(reference)
            if image is not None:
                return Success(image)
            images = self._folder.images()
        except FolderError as error:
            return Failure(CatalogUnavailable(f"{self} cannot be searched: {error}"))
        return by_id_or_name(reference, images.get(reference), lambda: _sorted(images.values()), str(self))

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        if image.locations:
            return Success(image.locations)
        # An association records its image without locations.
        return self.find(image.id, context).map(lambda found: found.locations if found.id == image.id else ())

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        registered = self._folder.linked(image.id).bind(open_own)
        if isinstance(registered, Success):
            return _stream(registered.unwrap(), offset)
        locations = self.locations(image, context)
        if isinstance(locations, Failure):
            return Failure(locations.failure())
        reasons = [registered.failure()]
        for location in locations.unwrap():
            opened = self._open(location)
            if isinstance(opened, Success):
                return _stream(opened.unwrap(), offset)
            reasons.append(opened.failure())
        if not locations.unwrap():
            reasons.append("it has no locations")
        is_elsewhere = not self._folder.is_linked(image.id) and not any(map(_is_file, locations.unwrap()))
        kind = NoImageData if is_elsewhere else CatalogUnavailable
        return Failure(kind(f"{self} cannot read image {image.id!r}: {'; '.join(reasons)}"))

    def images(self) -> Iterator[Image]:
        try:
            images = self._folder.images()
        except FolderError as error:
            raise CatalogUnavailable(f"{self} cannot be listed: {error}") from error
        yield from _sorted(images.values())

    def add(self, image: Image, data: str | None = None) -> Result[None, CatalogFailure]:
        try:
            self._folder.put(image, data)
        except FolderError as error:
            return Failure(CatalogUnavailable(f"image {image.id!r} cannot be added to {self}: {error}"))
        return Success(None)

    def discard(self, image_id: str) -> Result[None, CatalogFailure]:
        try:
            self._folder.erase(image_id)
        except FolderError as error:
            return Failure(CatalogUnavailable(f"image {image_id!r} cannot be removed from {self}: {error}"))
        return Success(None)

    def __str__(self) -> str:
        return f"the catalog {self._folder.path}"

    def _open(self, location: Location) -> Result[int, str]:
        if not _is_file(location):
            return Failure(f"{location} is not a file of this host")
        return open_located(self._allowed_folders, location).alt(str)


def _is_file(location: Location) -> bool:
    return location.scheme in {"file", "filesystem"}


def _sorted(images: Iterable[Image]) -> Iterator[Image]:
    return iter(sorted(images, key=lambda image: (image.name or "", image.id)))


def _stream(descriptor: int, offset: int) -> Result[ByteStream, CatalogFailure]:
    stream = os.fdopen(descriptor, "rb", buffering=0)
    try:
        stream.seek(offset)
    except (OSError, OverflowError) as error:
        stream.close()
        return Failure(CatalogUnavailable(f"byte {offset} cannot be read: {error}"))
    return Success(stream)
