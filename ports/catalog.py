"""The ports of image catalogs. There are four small ones: an adapter implements those that it can."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from returns.result import Result

from lading.ports.context import Context
from lading.ports.failures import CatalogFailure
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["ByteStream", "ImageCatalog", "ImageData", "ImageListing", "ImageRegistry"]


class ImageCatalog(Protocol):
    """A catalog of images. Safe to share between threads."""

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        """Returns the image with this id, or else the only one with this name or href."""
        ...

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        """Returns the locations of an image that it has found, in the catalog's order. There may be none."""
        ...


class ByteStream(Protocol):
    """A stream of bytes. The code that opened it closes it."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Reads bytes into the front of `buffer`. Returns their number; 0 only at the end.

        Raises OSError when the source breaks.
        """
        ...

    def close(self) -> None:
        """Releases the stream. May be called again."""
        ...


@runtime_checkable
class ImageData(Protocol):
    """A catalog that provides the bytes of its images."""

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        """Opens the image's bytes from `offset` (in bytes, not negative) to the end.

        The image may come from an association, which keeps it without its locations. `image.expected_digest` is the
        digest that the caller compares the whole with; None where the caller does not verify.

        The failure is NoImageData where the catalog has none of the image's bytes.
        """
        ...


@runtime_checkable
class ImageListing(Protocol):
    """A catalog that lists its images."""

    def images(self) -> Iterator[Image]:
        """Iterates over all images, ordered by name and id. Raises CatalogUnavailable or SettingsError.

        Where a catalog must request each image by itself, it may list them with their names only. Such an image's id
        is a reference that finds it.
        """
        ...


@runtime_checkable
class ImageRegistry(Protocol):
    """A catalog that images can be added to."""

    def add(self, image: Image, data: str | None = None) -> Result[None, CatalogFailure]:
        """Registers the image. It replaces one with the same id.

        `data` is the path of a file of this host with the image's bytes. The caller vouches for it: the catalog reads
        it even outside the allowed folders. The file stays where it is.
        """
        ...

    def discard(self, image_id: str) -> Result[None, CatalogFailure]:
        """Removes the image from the catalog. The bytes at its locations are not touched."""
        ...
