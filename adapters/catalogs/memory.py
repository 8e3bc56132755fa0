"""A catalog in the memory of this process."""

import io
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.lookup import by_id_or_name
from lading.adapters.stream.safe_open import open_regular
from lading.ports.catalog import ByteStream
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, NoImageData
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["MemoryCatalog"]


class MemoryCatalog:
    """A catalog in a dict: ImageCatalog, ImageData, ImageListing and ImageRegistry.

    `data` has the bytes of images by image id, for `read`.
    """

    def __init__(self, images: Iterable[Image] = (), data: Mapping[str, bytes] | None = None) -> None:
        self._images = {image.id: image for image in images}
        self._data: dict[str, bytes | Path] = dict(data or {})
        self._lock = threading.Lock()

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return by_id_or_name(reference, self._images.get(reference), self.images, "the memory catalog")

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        return Success(image.locations)

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        data = self._data.get(image.id)
        if data is None:
            return Failure(NoImageData(f"the memory catalog has no data for image {image.id}"))
        if isinstance(data, bytes):
            return Success(io.BytesIO(data[offset:]))
        opened = open_regular(str(data))
        if isinstance(opened, Failure):
            return Failure(CatalogUnavailable(opened.failure()))
        stream = io.FileIO(opened.unwrap())
        stream.seek(offset)
        return Success(stream)

    def images(self) -> Iterator[Image]:
        with self._lock:
            snapshot = sorted(self._images.values(), key=lambda image: (image.name or "", image.id))
        yield from snapshot

    def add(self, image: Image, data: str | None = None) -> Result[None, CatalogFailure]:
        with self._lock:
            self._images[image.id] = image
            self._data.pop(image.id, None)
            if data is not None:
                self._data[image.id] = Path(data).absolute()
        return Success(None)

    def discard(self, image_id: str) -> Result[None, CatalogFailure]:
        with self._lock:
            self._images.pop(image_id, None)
            self._data.pop(image_id, None)
        return Success(None)
