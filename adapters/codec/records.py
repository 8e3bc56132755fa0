"""Images and locations as the database's documents hold them: so that they come back exactly as they were put."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from returns.result import Failure, Success

from lading.adapters.codec.documents import image_from_document, image_to_document
from lading.adapters.sqlite.database import Value, as_text, from_text
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = [
    "MALFORMED",
    "decoded",
    "encoded",
    "image_from_record",
    "image_to_record",
    "location_from_record",
    "location_to_record",
]

MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What comes of encoding what JSON doesn't know, and of decoding what was not encoded here."""


def encoded(document: Mapping[str, object]) -> bytes:
    """The document as it is stored. Raises one of NONSENSE when JSON has no words for it."""
    return as_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def decoded(stored: Value) -> dict[str, Any]:
    """The document that is stored. Raises one of NONSENSE when it is none."""
    known = json.loads(from_text(stored))
    if not isinstance(known, dict):
        raise ValueError(f"expected an object, got {type(known).__name__}")  # noqa: TRY004 - a damaged file is no caller's bug
    return known


def image_to_record(image: Image | None) -> dict[str, object]:
    """Two keys of a document, `image` and perhaps `properties`."""
    if image is None:
        return {"image": None}
    document = image_to_document(image)
    if image_from_document(document) == Success(image):
        return {"image": document}
    # A property goes by a name that means something else in an image's document: `size`, `direct_url`, …
    return {"image": image_to_document(replace(image, properties={})), "properties": dict(image.properties)}


def image_from_record(known: Mapping[str, Any]) -> Image | None:
    """Raises one of NONSENSE when it makes none."""
    document, properties = known["image"], known.get("properties")
    if document is None:
        return None
    outcome = image_from_document(document)
    if isinstance(outcome, Failure):
        raise ValueError(f"the image's {outcome.failure()}")  # noqa: TRY004 - the value is wrong, not its type
    image = outcome.unwrap()
    return image if properties is None else replace(image, properties=properties)


def location_to_record(location: Location | None) -> dict[str, object] | None:
    return {"url": location.url, "metadata": dict(location.metadata)} if location else None


def location_from_record(known: Mapping[str, Any] | None) -> Location | None:
    """Raises one of NONSENSE when it makes none."""
    return Location(known["url"], known["metadata"]) if known else None
