"""Image documents: an image as JSON in the form of Glance's `GET /v2/images/{id}`.

https://docs.openstack.org/api-ref/image/v2/#show-image
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final, cast

from returns.result import Failure, Result, Success

from lading.adapters.codec.proofs import proof_field, proof_from_field
from lading.ports.image import Digest, Image
from lading.ports.location import Location
from lading.ports.redaction import redacted

__all__ = ["PLACES", "PROOF", "catalog_image", "image_from_document", "image_to_document", "read_json", "unnested"]

_TEXTS = ("id", "name", "status", "disk_format", "container_format", "os_hash_algo", "os_hash_value", "checksum")
PLACES: Final = frozenset({"locations", "direct_url", "location"})
"""The keys of an image's URLs, which may contain credentials: they must not become properties.

`location` is a key of Glance's v1 API, and of dumps of its database.
"""
_CONTENT_TEXTS = ("content_hash_algo", "content_hash_value")
"""lading's own keys: the promise of what is in a packed image."""
PROOF: Final = "proof"
"""lading's own key: what it found of the image itself. Documents that others may have written must not have it."""
_KNOWN = frozenset({*_TEXTS, *_CONTENT_TEXTS, "size", "content_size", PROOF, *PLACES})
_LARGEST: Final = 2**63
"""The least number of bytes that no file or volume can have: off_t is a signed integer of 64 bits."""
_DEEPEST: Final = 32
"""The most levels of a nested value; Glance's values have three."""
_DIGITS: Final = 640
"""The most digits of a whole number: as many as every Python parses (sys.set_int_max_str_digits)."""
_SHOWN: Final = 60
"""The most characters of a value in a message."""
_DUPLICATE: Final = object()
"""The value of a key that an object has twice (RFC 8259, section 4: its meaning is not predictable)."""


def read_json(content: bytes) -> object:
    """Parses UTF-8 JSON. Raises ValueError.

    NaN, infinite numbers and duplicate keys are accepted here, and refused by `catalog_image`: one bad document in a
    list must not make the others unreadable.
    """
    try:
        return json.loads(content.decode(), parse_int=_whole_number, object_pairs_hook=_mark_duplicates)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _mark_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for key, value in pairs:
        members[key] = _DUPLICATE if key in members else value
    return members


def catalog_image(document: Mapping[str, object]) -> Result[Image, str]:
    """Returns the image of a document from an untrusted source, or the reason why the document is invalid.

    Refuses more than `image_from_document`: a size of 2**63 bytes or more, and values that JSON does not have or that
    are nested too deeply.

    >>> catalog_image({"id": "a", "min_ram": float("inf")})
    <Failure: min_ram: expected a finite number, got inf>
    """
    for key, value in document.items():
        if (flaw := _flaw(value)) is not None:
            return Failure(f"{_short(key)[1:-1]}: {flaw}")
    for key in ("size", "content_size"):
        size = document.get(key)
        if isinstance(size, int) and size >= _LARGEST:
            return Failure(f"{key}: expected a whole number of bytes below 2**63, got {_short(size)}")
    return image_from_document(document)


def _flaw(value: object, depth: int = 0) -> str | None:
    """The reason why a value of a document is invalid; None when it is valid."""
    if value is _DUPLICATE:
        return "expected one value, got several"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if depth > _DEEPEST:
        return f"expected a value of at most {_DEEPEST} levels"
    nested: Sequence[object] = ()
    if isinstance(value, Mapping):
        nested = list(value.values())
    elif isinstance(value, list | tuple):
        nested = value
    return next((flaw for each in nested if (flaw := _flaw(each, depth + 1)) is not None), None)


def image_from_document(document: Mapping[str, object]) -> Result[Image, str]:
    """Returns the image that the document describes, or the reason why it is invalid. Unknown keys become properties.

    Without visible `locations`, `direct_url` is the only location (Glance's `show_image_direct_url`).

    >>> image_from_document({"id": "a", "size": "big"})
    <Failure: size: expected a whole number of bytes, got 'big'>
    """
    # Lists of all associations come here for each: `isinstance(value, str | None)` takes three times as long.
    values = {key: document.get(key) for key in (*_TEXTS, *_CONTENT_TEXTS)}
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            return Failure(f"{key}: expected a string, got {_short(value)}")
    texts = cast("Mapping[str, str | None]", values)
    if not (image_id := texts["id"]) or not image_id.strip():
        return Failure("id: expected a string that is not blank")
    sizes = {key: document.get(key) for key in ("size", "content_size")}
    for key, size in sizes.items():
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
            return Failure(f"{key}: expected a whole number of bytes, got {_short(size)}")
    known_sizes = cast("Mapping[str, int | None]", sizes)
    locations = _locations(document)
    if isinstance(locations, str):
        return Failure(locations)
    try:
        proof = proof_from_field(document.get(PROOF))
    except ValueError as error:
        return Failure(f"{PROOF}: {error}")
    return Success(
        Image(
            id=image_id,
            name=texts["name"],
            size=known_sizes["size"],
            disk_format=texts["disk_format"],
            container_format=texts["container_format"],
            digest=_digest(texts["os_hash_algo"], texts["os_hash_value"]),
            checksum=texts["checksum"],
            content_digest=_digest(texts["content_hash_algo"], texts["content_hash_value"]),
            content_size=known_sizes["content_size"],
            status=texts["status"] or "active",
            locations=locations,
            properties={key: value for key, value in document.items() if key not in _KNOWN},
            proof=proof,
        )
    )


def _digest(algorithm: str | None, value: str | None) -> Digest | None:
    return Digest(algorithm, value) if algorithm and value else None


def unnested(document: Mapping[str, object]) -> Mapping[str, object]:
    """Returns the document in the API's form. `openstack image show` puts keys unknown to it under `properties`.

    >>> unnested({"id": "a", "properties": {"os_hash_algo": "sha512"}})
    {'os_hash_algo': 'sha512', 'id': 'a'}
    """
    nested = document.get("properties")
    if not isinstance(nested, Mapping):
        return document
    return {**nested, **{key: value for key, value in document.items() if key != "properties"}}


def image_to_document(image: Image) -> dict[str, object]:
    """Returns the document of an image, for `image_from_document`. Keys without a value are left out.

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
        "content_hash_algo": image.content_digest.algorithm if image.content_digest else None,
        "content_hash_value": image.content_digest.value if image.content_digest else None,
        "content_size": image.content_size,
        PROOF: proof_field(image.proof),
    }
    document = {key: value for key, value in known.items() if value is not None}
    if image.locations:
        document["locations"] = [{"url": each.url, "metadata": dict(each.metadata)} for each in image.locations]
    # A property must not replace a field that the image leaves empty.
    return {**{key: value for key, value in image.properties.items() if key not in _KNOWN}, **document}


def _short(value: object) -> str:
    text = redacted(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _locations(document: Mapping[str, object]) -> list[Location] | str:
    """The locations, or the reason why they are invalid."""
    entries, direct_url = document.get("locations"), document.get("direct_url")
    if not isinstance(direct_url, str | None):
        return "direct_url: expected a string"
    if not isinstance(entries, list | None):
        return "locations: expected a list"
    if not entries:
        entries = [{"url": direct_url}] if direct_url else []
    locations: list[Location] = []
    for position, entry in enumerate(entries):
        # The message does not show the entry: it may contain credentials.
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            return f"locations[{position}]: expected an object with a url string"
        metadata = entry.get("metadata")
        if not isinstance(metadata, dict | None):
            return f"locations[{position}].metadata: expected an object"
        locations.append(Location(entry["url"], metadata or {}))
    return locations
