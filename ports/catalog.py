"""Who knows images. Four small ports: an adapter implements those that it can."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from returns.result import Result

from lading.ports.context import Context
from lading.ports.failures import CatalogFailure
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["ByteStream", "ImageCatalog", "ImageData", "ImageListing", "ImageRegistry"]


class ImageCatalog(Protocol):
    """Finds images. Safe to share between threads."""

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        """The image with this id, or else the only one with this name or href."""
        ...

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        """The locations, in the catalog's order, of an image that it has found. That none are visible is normal."""
        ...


class ByteStream(Protocol):
    """Bytes in order, until the end. Whoever opened it closes it."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the front of `buffer`; how many bytes were put there, 0 only at the end.

        Raises OSError when the source breaks.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class ImageData(Protocol):
    """Gives an image's bytes itself."""

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        """The image's bytes from `offset` (in bytes, not negative) to the end.

        The image may come from an association, which keeps it without its locations. `image.expected_digest` is the
        digest that the caller compares the whole with; None where the caller does not verify.
        """
        ...


@runtime_checkable
class ImageListing(Protocol):
    """Lists what it knows."""

    def images(self) -> Iterator[Image]:
        """Every image, by name and id. Raises CatalogUnavailable when it can't go on."""
        ...


@runtime_checkable
class ImageRegistry(Protocol):
    """Takes images in, and lets them go."""

    def add(self, image: Image, data: str | None = None) -> Result[None, CatalogFailure]:
        """Register the image, replacing one with the same id.

        `data`, if given, is the path of a file on this host that holds its bytes and that the caller vouches for: the
        catalog reads from it whatever folders are allowed otherwise. It stays where it is.
        """
        ...

    def discard(self, image_id: str) -> Result[None, CatalogFailure]:
        """Forget the image. The bytes at its locations are not touched."""
        ...
