"""Images in a folder of documents."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.folder import DocumentFolder, FolderError
from lading.adapters.catalogs.lookup import by_id_or_name
from lading.adapters.stream.safe_open import open_located, open_own
from lading.ports.catalog import ByteStream
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["FileCatalog"]


class FileCatalog:
    """A folder of image documents: ImageCatalog, ImageData, ImageListing and ImageRegistry.

    A document is a file `*.json` in the shape that Glance's `GET /v2/images/{id}` answers, so that what a cloud's API
    printed can be dropped in under any file name. Searches and lists leave out what isn't one, with a warning. A folder
    that isn't there is an empty catalog.

    Bytes come from the file that an operator vouched for with `add`, or else from a `file://` location beneath one of
    the allowed folders: others than the operator may have set locations.
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
            return Failure(self._unavailable("be searched", error))
        return by_id_or_name(reference, images.get(reference), lambda: _sorted(images.values()), str(self))

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        if image.locations:
            return Success(image.locations)
        # It may be what an association remembers of an image, which is without them.
        return self.find(image.id, context).map(lambda found: found.locations if found.id == image.id else ())

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        return (
            self._open_linked(image)
            .lash(lambda reason: self._open_located(image, reason, context))
            .bind(lambda descriptor: _stream(descriptor, offset))
        )

    def images(self) -> Iterator[Image]:
        try:
            images = self._folder.images()
        except FolderError as error:
            raise self._unavailable("be listed", error) from error
        yield from _sorted(images.values())

    def add(self, image: Image, data: str | None = None) -> Result[None, CatalogFailure]:
        return self._change(f"take image {image.id!r} in", lambda: self._folder.put(image, data))

    def discard(self, image_id: str) -> Result[None, CatalogFailure]:
        return self._change(f"let image {image_id!r} go", lambda: self._folder.erase(image_id))

    def __str__(self) -> str:
        return f"the catalog {self._folder.path}"

    def _change(self, what: str, change: Callable[[], None]) -> Result[None, CatalogFailure]:
        try:
            change()
        except FolderError as error:
            return Failure(self._unavailable(what, error))
        return Success(None)

    def _open_linked(self, image: Image) -> Result[int, str]:
        return self._folder.linked(image.id).bind(open_own)

    def _open_located(self, image: Image, reason: str, context: Context) -> Result[int, CatalogFailure]:
        """The first location that can be opened; `reason` is why the link wasn't."""

        def first(locations: Sequence[Location]) -> Result[int, CatalogFailure]:
            reasons = [reason]
            for location in locations:
                opened = self._open(location)
                if isinstance(opened, Success):
                    return Success(opened.unwrap())
                reasons.append(opened.failure())
            told = "; ".join(reasons if locations else [reason, "it has no locations"])
            return Failure(CatalogUnavailable(f"{self} can't give the bytes of image {image.id!r}: {told}"))

        return self.locations(image, context).bind(first)

    def _open(self, location: Location) -> Result[int, str]:
        if location.scheme not in {"file", "filesystem"}:
            return Failure(f"{location} is no file of this host")
        return open_located(self._allowed_folders, location)

    def _unavailable(self, what: str, error: FolderError) -> CatalogUnavailable:
        return CatalogUnavailable(f"{self} can't {what}: {error}")


def _sorted(images: Iterable[Image]) -> Iterator[Image]:
    return iter(sorted(images, key=lambda image: (image.name or "", image.id)))


def _stream(descriptor: int, offset: int) -> Result[ByteStream, CatalogFailure]:
    stream = os.fdopen(descriptor, "rb", buffering=0)
    try:
        stream.seek(offset)
    except (OSError, OverflowError) as error:
        stream.close()
        return Failure(CatalogUnavailable(f"byte {offset} can't be read: {error}"))
    return Success(stream)
