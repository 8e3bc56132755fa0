"""Between the original API's dicts and request contexts, and lading's values."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypedDict, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.codec.documents import PLACES, image_from_document, image_to_document, unnested
from lading.domain.matcher import matching
from lading.ports.context import Context
from lading.ports.image import Image
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
"""What Nova's image service always gave (`_extract_attributes` of nova/image/glance.py, 2014), and the multihash."""


class ImageLocation(TypedDict):
    """A location as the original API hands it out."""

    url: str
    metadata: dict[str, object]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """As much of Nova's request context as handlers read: for programs that have none of their own."""

    user_id: str | None = None
    project_id: str | None = None
    auth_token: object | None = field(default=None, repr=False)


def context_from_request(context: object, user_id: str | None = None, project_id: str | None = None) -> Context:
    """The requester: the arguments, else the request context's attributes of the same names, and that context."""
    if isinstance(context, Context):
        return replace(context, user_id=user_id or context.user_id, project_id=project_id or context.project_id)
    return Context(
        user_id=user_id or getattr(context, "user_id", None),
        project_id=project_id or getattr(context, "project_id", None),
        token=getattr(context, "auth_token", None),
        caller=context,
    )


def request_from_context(context: Context) -> object:
    """The embedding program's own request context, else as much of one as lading knows, for a handler of Nova's."""
    return context.caller or RequestContext(context.user_id, context.project_id, context.token)


def schemes_from(answer: Collection[str] | None) -> frozenset[str] | None:
    """What `get_schemes` answers, as a set: a bare string is one scheme, an empty one is none.

    >>> sorted(schemes_from(["rbd", "http"])), schemes_from("rbd"), schemes_from(()), schemes_from(None)
    (['http', 'rbd'], frozenset({'rbd'}), frozenset(), None)
    """
    if answer is None:
        return None
    return frozenset(filter(None, (answer,) if isinstance(answer, str) else answer))


def match_locations(locations: Iterable[_Entry] | None, schemes: Collection[str] | None) -> list[_Entry]:
    """Those of the location dicts that a handler of these schemes takes, themselves, in their order.

    >>> match_locations([{"url": "rbd://a"}, {"url": "http://b"}], ("http",))
    [{'url': 'http://b'}]
    """
    entries = list(locations or ())
    parsed = [Location(str(entry.get("url") or "")) for entry in entries]
    entry_of = dict(zip(map(id, parsed), entries, strict=True))
    return [entry_of[id(location)] for location in matching(parsed, schemes_from(schemes))]


def stripped(path: object) -> str:
    """The path without white space around it; empty for what is no path in words."""
    return path.strip() if isinstance(path, str) else ""


def location_to_plain(location: Location | None) -> ImageLocation | None:
    return None if location is None else {"url": location.url, "metadata": dict(location.metadata)}


def location_from_plain(given: object) -> Location | None:
    """The location that a dict, or a bare URL, names; None when it names none."""
    match given:
        case str():
            return Location(given)
        case {"url": str(url), **rest}:
            metadata = rest.get("metadata")
            return Location(url, dict(metadata) if isinstance(metadata, Mapping) else {})
    return None


def image_to_meta(image: Image | None) -> dict[str, object] | None:
    """The image's description as handlers index it: known keys always, with None where the catalog says nothing.

    Other properties are there twice: at the top, as Glance's v2 API has them, and in `properties`, as Nova had them.

    >>> image_to_meta(Image("noble", properties={"os": "linux"}))["disk_format"] is None
    True
    >>> image_to_meta(Image("noble", properties={"os": "linux"}))["properties"]
    {'os': 'linux'}
    """
    if image is None:
        return None
    document = image_to_document(image)
    properties = {key: value for key, value in image.properties.items() if key in document and key not in _ATTRIBUTES}
    return {**dict.fromkeys(_ATTRIBUTES), **document, "properties": properties}


def image_from_meta(image_meta: Mapping[str, object] | None, image_id: str | None) -> Result[Image | None, str]:
    """The image that a handler is asked for, or what is wrong with its description in words."""
    if image_meta is not None and not isinstance(image_meta, Mapping):
        return Failure(f"image_meta: expected a dict, got {type(image_meta).__name__}")
    if image_meta or image_id:
        described = _document(image_meta or {})
        return image_from_document({**described, "id": described.get("id") or image_id})
    return Success(None)


def _document(image_meta: Mapping[str, object]) -> dict[str, object]:
    """The image document that a description was made from: the inverse of `image_to_meta`."""
    return {key: value for key, value in unnested(image_meta).items() if value is not None or key not in _ATTRIBUTES}


def recordable_image(image_meta: object) -> Image | None:
    """The image as it may be written down: without its locations, of values that JSON has.

    Of a description that makes no sense only the id is kept, if it has one.
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


def recordable_location(given: object) -> Location | None:
    """The location as it may be written down: without credentials, of values that JSON has."""
    location = location_from_plain(given)
    if location is None:
        if given is not None:
            _log.warning("location: expected a dict with a url string; none is recorded")
        return None
    return Location(location.redacted().url, _as_json(location.metadata))


def _as_json(given: Mapping[str, object]) -> dict[str, object]:
    """What of it any store can write down: a date becomes its text, a key that is no text goes."""
    plain: dict[str, object] = json.loads(json.dumps(dict(given), default=str, skipkeys=True))
    return plain
