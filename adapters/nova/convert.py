"""Conversions between the original API's dicts and request contexts, and lading's values."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypedDict, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.codec.documents import PLACES, PROOF, image_from_document, image_to_document, unnested
from lading.domain.matcher import matching
from lading.ports.context import Context
from lading.ports.image import UNPROVEN, Image
from lading.ports.location import Location

__all__ = [
    "ImageLocation",
    "RequestContext",
    "context_from_request",
    "image_from_meta",
    "image_to_meta",
    "location_from_plain",
    "location_to_plain",
    "match_locations",
    "recordable_image",
    "recordable_location",
    "request_from_context",
    "schemes_from",
    "stripped",
]

_log = logging.getLogger(__name__)
_Entry = TypeVar("_Entry", bound=Mapping[str, object])
_ATTRIBUTES: Final = (
    "id", "name", "status", "size", "disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value",
    "owner", "is_public", "min_disk", "min_ram", "created_at", "updated_at", "deleted", "deleted_at",
)  # fmt: skip
"""The keys that Nova's image service always set (`_extract_attributes` of nova/image/glance.py, 2014), and two more."""


class ImageLocation(TypedDict):
    """A location in the original API."""

    url: str
    metadata: dict[str, object]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The part of Nova's request context that handlers read, for programs that have no context of their own."""

    user_id: str | None = None
    project_id: str | None = None
    auth_token: object | None = field(default=None, repr=False)


def context_from_request(context: object, user_id: str | None = None, project_id: str | None = None) -> Context:
    """Returns the requester from the arguments, else from the request context's attributes of the same names."""
    if isinstance(context, Context):
        return replace(context, user_id=user_id or context.user_id, project_id=project_id or context.project_id)
    return Context(
        user_id=user_id or getattr(context, "user_id", None),
        project_id=project_id or getattr(context, "project_id", None),
        token=getattr(context, "auth_token", None),
        caller=context,
    )


def request_from_context(context: Context) -> object:
    """Returns the embedding program's own request context, else a RequestContext, for a handler of the original API."""
    return context.caller or RequestContext(context.user_id, context.project_id, context.token)


def schemes_from(answer: Collection[str] | None) -> frozenset[str] | None:
    """Returns the answer of `get_schemes` as a set. A string is one scheme, an empty string none.

    >>> sorted(schemes_from(["rbd", "http"])), schemes_from("rbd"), schemes_from(()), schemes_from(None)
    (['http', 'rbd'], frozenset({'rbd'}), frozenset(), None)
    """
    if answer is None:
        return None
    return frozenset(filter(None, (answer,) if isinstance(answer, str) else answer))


def match_locations(locations: Iterable[_Entry] | None, schemes: Collection[str] | None) -> list[_Entry]:
    """Returns the location dicts that a handler with these schemes takes: the same objects in the same order.

    >>> match_locations([{"url": "rbd://a"}, {"url": "http://b"}], ("http",))
    [{'url': 'http://b'}]
    """
    entries = list(locations or ())
    parsed = [Location(str(entry.get("url") or "")) for entry in entries]
    entry_of = dict(zip(map(id, parsed), entries, strict=True))
    return [entry_of[id(location)] for location in matching(parsed, schemes_from(schemes))]


def stripped(path: object) -> str:
    """Returns the path without white space around it; an empty string for a value that is not a string."""
    return path.strip() if isinstance(path, str) else ""


def location_to_plain(location: Location | None) -> ImageLocation | None:
    return None if location is None else {"url": location.url, "metadata": dict(location.metadata)}


def location_from_plain(value: object) -> Location | None:
    """Returns the location of a dict or a URL; None for other values."""
    match value:
        case str():
            return Location(value)
        case {"url": str(url), **rest}:
            metadata = rest.get("metadata")
            return Location(url, dict(metadata) if isinstance(metadata, Mapping) else {})
    return None


def image_to_meta(image: Image | None) -> dict[str, object] | None:
    """Returns the image's metadata for handlers. The known keys are always present, with None for an unknown value.

    Other properties are present twice: at the top, as in Glance's v2 API, and in `properties`, as in Nova.

    >>> image_to_meta(Image("noble", properties={"os": "linux"}))["disk_format"] is None
    True
    >>> image_to_meta(Image("noble", properties={"os": "linux"}))["properties"]
    {'os': 'linux'}
    """
    if image is None:
        return None
    document = image_to_document(replace(image, proof=UNPROVEN))
    properties = {key: value for key, value in image.properties.items() if key in document and key not in _ATTRIBUTES}
    return {**dict.fromkeys(_ATTRIBUTES), **document, "properties": properties}


def image_from_meta(image_meta: Mapping[str, object] | None, image_id: str | None) -> Result[Image | None, str]:
    """Returns the image that the metadata describes, or the reason why the metadata is invalid."""
    if image_meta is not None and not isinstance(image_meta, Mapping):
        return Failure(f"image_meta: expected a dict, got {type(image_meta).__name__}")
    if image_meta or image_id:
        described = _document(image_meta or {})
        return image_from_document({**described, "id": described.get("id") or image_id})
    return Success(None)


def _document(image_meta: Mapping[str, object]) -> dict[str, object]:
    """Returns the image document that the metadata was made from: the inverse of `image_to_meta`.

    It has no proof: Nova's metadata are what a user may have written.
    """
    document = {key: value for key, value in unnested(image_meta).items() if key != PROOF}
    return {key: value for key, value in document.items() if value is not None or key not in _ATTRIBUTES}


def recordable_image(image_meta: object) -> Image | None:
    """Returns the image for an association: without locations, and only with values that JSON has.

    Of invalid metadata only the id is kept, if there is one.
    """
    if not isinstance(image_meta, Mapping):
        if image_meta is not None:
            _log.warning("image_meta: expected a dict, got %s; no image is recorded", type(image_meta).__name__)
        return None
    document = _as_json({key: value for key, value in _document(image_meta).items() if key not in PLACES})
    described = image_from_document(document)
    if not isinstance(described, Failure):
        return described.unwrap()
    known = image_from_document({"id": document.get("id")}).value_or(None)
    _log.warning("image_meta: %s; %s is recorded", described.failure(), "its id alone" if known else "no image")
    return known


def recordable_location(value: object) -> Location | None:
    """Returns the location for an association: without credentials, and only with values that JSON has."""
    location = location_from_plain(value)
    if location is None:
        if value is not None:
            _log.warning("location: expected a dict with a url string; none is recorded")
        return None
    return Location(location.redacted().url, _as_json(location.metadata))


def _as_json(values: Mapping[str, object]) -> dict[str, object]:
    """Returns the values that JSON has: a date becomes a string, a key that is not a string is dropped."""
    plain: dict[str, object] = json.loads(json.dumps(dict(values), default=str, skipkeys=True))
    return plain
