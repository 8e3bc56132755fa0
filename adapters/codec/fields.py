"""Images and locations as fields of a document, which come back exactly as they were."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from returns.result import Failure, Success

from lading.adapters.codec.documents import image_from_document, image_to_document
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["image_fields", "image_from_fields", "location_field", "location_from_field"]


def image_fields(image: Image | None) -> dict[str, object]:
    """One or two fields of a document: `image`, and `properties` where they would be misread in the image's own."""
    if image is None:
        return {"image": None}
    document = image_to_document(image)
    if image_from_document(document) == Success(image):
        return {"image": document}
    # A property has a name that means something else in an image's document: `size`, `direct_url`, …
    return {"image": image_to_document(replace(image, properties={})), "properties": dict(image.properties)}


def image_from_fields(known: Mapping[str, Any]) -> Image | None:
    """The image of these fields. Raises one of MALFORMED when they describe none."""
    document, properties = known["image"], known.get("properties")
    if document is None:
        return None
    outcome = image_from_document(document)
    if isinstance(outcome, Failure):
        raise ValueError(f"the image's {outcome.failure()}")  # noqa: TRY004 - the value is wrong, not its type
    image = outcome.unwrap()
    return image if properties is None else replace(image, properties=properties)


def location_field(location: Location | None) -> dict[str, object] | None:
    """The location as JSON has it."""
    return {"url": location.url, "metadata": dict(location.metadata)} if location else None


def location_from_field(known: Mapping[str, Any] | None) -> Location | None:
    """The location of this field. Raises one of MALFORMED when it describes none."""
    return Location(known["url"], known["metadata"]) if known else None
