"""Image documents: an image in the JSON shape that Glance's `GET /v2/images/{id}` answers.

https://docs.openstack.org/api-ref/image/v2/#show-image
"""

from collections.abc import Mapping
from typing import Final, cast

from returns.result import Failure, Result, Success

from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = ["PLACES", "image_from_document", "image_to_document", "unnested"]

_TEXTS = ("id", "name", "status", "disk_format", "container_format", "os_hash_algo", "os_hash_value", "checksum")
PLACES: Final = frozenset({"locations", "direct_url", "location"})
"""Where an image's URLs, credentials included, are found: they must not slip through among the properties.

`location` is of Glance's v1, and of what dumps its database.
"""
_KNOWN = frozenset({*_TEXTS, "size", *PLACES})


def image_from_document(document: Mapping[str, object]) -> Result[Image, str]:
    """The image that the document describes, or what is wrong with it in words. Unknown keys become properties.

    Without visible `locations`, `direct_url` is the one location (Glance's `show_image_direct_url`).

    >>> image_from_document({"id": "a", "size": "big"})
    <Failure: size: expected a whole number of bytes, got 'big'>
    """
    for key in _TEXTS:
        if not isinstance(document.get(key), str | None):
            return Failure(f"{key}: expected a string, got {_short(document[key])}")
    texts = {key: cast("str | None", document.get(key)) for key in _TEXTS}
    if not (image_id := texts["id"]) or not image_id.strip():
        return Failure("id: expected a string that is not blank")
    size = document.get("size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        return Failure(f"size: expected a whole number of bytes, got {_short(size)}")
    locations = _locations(document)
    if isinstance(locations, str):
        return Failure(locations)
    algorithm, value = texts["os_hash_algo"], texts["os_hash_value"]
    return Success(
        Image(
            id=image_id,
            name=texts["name"],
            size=size,
            disk_format=texts["disk_format"],
            container_format=texts["container_format"],
            digest=Digest(algorithm, value) if algorithm and value else None,
            checksum=texts["checksum"],
            status=texts["status"] or "active",
            locations=locations,
            properties={key: value for key, value in document.items() if key not in _KNOWN},
        )
    )


def unnested(document: Mapping[str, object]) -> Mapping[str, object]:
    """The document as the API answers it, where a client printed it: `openstack image show` nests what it doesn't know.

    >>> unnested({"id": "a", "properties": {"os_hash_algo": "sha512"}})
    {'os_hash_algo': 'sha512', 'id': 'a'}
    """
    nested = document.get("properties")
    if not isinstance(nested, Mapping):
        return document
    return {**nested, **{key: value for key, value in document.items() if key != "properties"}}


def image_to_document(image: Image) -> dict[str, object]:
    """The document of an image: what `image_from_document` reads, keys whose value is unknown left out.

    >>> image_to_document(Image("a", name="noble", size=1, locations=[Location("file:///noble.img")]))["locations"]
    [{'url': 'file:///noble.img', 'metadata': {}}]
    """
    known: dict[str, object] = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "size": image.size,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "os_hash_algo": image.digest.algorithm if image.digest else None,
        "os_hash_value": image.digest.value if image.digest else None,
        "checksum": image.checksum,
    }
    document = {key: value for key, value in known.items() if value is not None}
    if image.locations:
        document["locations"] = [{"url": each.url, "metadata": dict(each.metadata)} for each in image.locations]
    # A property must not speak for what the image itself doesn't say.
    return {**{key: value for key, value in image.properties.items() if key not in _KNOWN}, **document}


def _short(value: object) -> str:
    return repr(value)[:60]


def _locations(document: Mapping[str, object]) -> list[Location] | str:
    """The locations, or what is wrong with them."""
    entries, direct_url = document.get("locations"), document.get("direct_url")
    if not isinstance(direct_url, str | None):
        return "direct_url: expected a string"
    if not isinstance(entries, list | None):
        return "locations: expected a list"
    if not entries:
        entries = [{"url": direct_url}] if direct_url else []
    locations: list[Location] = []
    for position, entry in enumerate(entries):
        # Not shown as it is: it may hold credentials.
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            return f"locations[{position}]: expected an object with a url string"
        metadata = entry.get("metadata")
        if not isinstance(metadata, dict | None):
            return f"locations[{position}].metadata: expected an object"
        locations.append(Location(entry["url"], metadata or {}))
    return locations
