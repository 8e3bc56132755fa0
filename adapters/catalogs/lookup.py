"""Image lookup by id or name, and the form of an href."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from returns.result import Failure, Result, Success

from lading.ports.failures import AmbiguousImage, CatalogFailure, ImageNotFound
from lading.ports.image import Image

__all__ = ["HREF", "by_id_or_name"]

HREF: Final = re.compile(r"(https?://[^\s?#]+)/v2/images/([^/\s?#]+)/?", re.IGNORECASE)
"""A URL of an image in a Glance: the Glance, and the id."""


def by_id_or_name(
    reference: str, with_that_id: Image | None, images: Callable[[], Iterator[Image]], catalog: str, hint: str = ""
) -> Result[Image, CatalogFailure]:
    """Returns the image with that id if there is one, else the only image with that name.

    `catalog` names the catalog in a failure, and `hint` says which other images there are.
    """
    if with_that_id is not None:
        return Success(with_that_id)
    match [image for image in images() if image.name == reference]:
        case [image]:
            return Success(image)
        case []:
            return Failure(ImageNotFound(reference, catalog, hint))
        case several:
            return Failure(AmbiguousImage(reference, tuple(image.id for image in several)))
