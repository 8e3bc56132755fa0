"""Images in an OpenStack Glance.

https://docs.openstack.org/api-ref/image/v2/
"""

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from http.client import responses
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote, urlencode, urlsplit

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.glance_settings import GlanceCatalogSettings
from lading.adapters.catalogs.lookup import HREF, by_id_or_name
from lading.adapters.codec.documents import PROOF, catalog_image, read_json
from lading.adapters.openstack.cloud import account_of, connect_cloud, get_with_retries, vendor_errors
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpOptions, HttpRefused, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.network import NetworkPolicy
from lading.adapters.web.remote import RemoteStream
from lading.ports.catalog import ByteStream
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, ImageNotFound, SettingsError
from lading.ports.image import Image
from lading.ports.location import Location

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from keystoneauth1.session import Session

__all__ = ["GlanceCatalog"]

_log = logging.getLogger(__name__)
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_ABSENT: Final = frozenset({400, 404, 410})
"""Statuses of Glance's answer for an id that it does not have, or cannot have."""
_WITHOUT_LOCATIONS: Final = _ABSENT | {_FORBIDDEN, 405}
"""Statuses of the locations API where there is none, or none for this user."""
_OFFERED: Final = (
    ({"visibility": "community"}, "is a community image"),
    ({"visibility": "shared", "member_status": "all"}, "is shared with this project, which has not accepted it"),
)
"""Filters for images that Glance does not list by default, and what those images are.

https://docs.openstack.org/api-ref/image/v2/#list-images
"""
_TOLD: Final = 3
"""The most images that a hint names, of each kind."""
_DATA_WORDS: Final = {
    204: "it has no data",
    401: "the credentials are not accepted",
    403: "its data may not be read: it is deactivated, or the policy forbids it",
    404: "it is gone, or not this project's",
    409: "its data cannot be read in its present state",
}


class _Place(NamedTuple):
    """An image's place: which Glance, and which id there."""

    endpoint: str
    """A URL without the version."""
    id: str

    @property
    def url(self) -> str:
        return f"{self.endpoint}/v2/images/{quote(self.id, safe='')}"


class GlanceCatalog:
    """A Glance: an ImageCatalog, ImageData and ImageListing. Finds images by id, name or href.

    A request's own token (`Context.token`, a string) is used for that request, else the credentials of the cloud or
    session. Hrefs may name other Glances. Those must be among `hosts` (`host` or `host:port`), because they are sent
    the token.
    """

    def __init__(
        self,
        connect: Callable[[], "Adapter"],
        hosts: Sequence[str] = (),
        *,
        options: HttpOptions | None = None,
        first_byte_seconds: float = 120.0,
    ) -> None:
        """`options` for reading data; None: the session's network policy, and `first_byte_seconds`."""
        self._connect = connect
        self._first_byte_seconds = first_byte_seconds
        self._hosts = frozenset(host.lower() for host in hosts)
        self._options = options
        self._lock = threading.Lock()
        self._adapter: Adapter | None = None
        self._without_locations: set[tuple[str, str | None]] = set()

    @classmethod
    def from_settings(cls, settings: GlanceCatalogSettings, network: NetworkPolicy | None = None) -> Self:
        return cls(
            lambda: connect_cloud(settings.cloud, network=network),
            settings.hosts,
            first_byte_seconds=settings.first_byte_seconds,
        )

    @classmethod
    def from_session(cls, session: "Session", hosts: Sequence[str] = (), **endpoint: Any) -> Self:  # noqa: ANN401 - keystoneauth's own
        """A catalog for a service that has its own keystoneauth session; `endpoint` are arguments of its Adapter."""
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415 - loaded with the session, if at all

        return cls(lambda: Adapter(session, **{"service_type": "image", **endpoint}), hosts)

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            place = self._place(reference)
            if not _is_text(reference):
                return Failure(ImageNotFound(reference, f"the Glance {place.endpoint}"))
            # These are neither ids nor names: a client removes the dots from the path.
            document = None if place.id in {"", ".", ".."} else self._get(place.url, context, absent=_ABSENT)
            if document is not None:
                return _image(place, document)
            if place.id != reference:
                return Failure(ImageNotFound(reference, place.endpoint))
            return self._find_by_name(reference, place.endpoint, context)
        except (CatalogUnavailable, SettingsError) as failure:
            return Failure(failure)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        """The locations by the locations API (v2.17, for services), else those in the image's document.

        A failure of that API is only logged: the image can be read without it.
        """
        try:
            place = self._place_of(image)
        except (CatalogUnavailable, SettingsError) as failure:
            return Failure(failure)
        user = (place.endpoint, context.user_id)
        if user in self._without_locations:
            return Success(image.locations)
        try:
            listed = self._get(f"{place.url}/locations", context, absent=_WITHOUT_LOCATIONS)
        except CatalogUnavailable as failure:
            _log.info("image %s: the locations API failed: %s", image.id, failure)
            return Success(image.locations)
        # Whether there is the API depends on the user's roles. Of a token without a user nothing is remembered.
        if listed is None and (context.user_id or not _token(context)):
            self._without_locations.add(user)
        return Success(image.locations if listed is None else _shown(image, listed))

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        try:
            place = self._place_of(image)
            mirrors = Mirrors(
                [self._origin(place, context)],
                self._http_options(),
                renew=None if _token(context) else partial(self._origin, place, context),
                digest_decides=image.expected_digest is not None,
            )
            stream = RemoteStream(mirrors, offset)
            stream.open()
        except HttpRefused as refused:
            words = _DATA_WORDS.get(refused.status, "Glance cannot give its data")
            return Failure(CatalogUnavailable(f"image {image.id}: {words} ({refused})"))
        except SourceBroken as broken:
            return Failure(CatalogUnavailable(f"image {image.id}: {broken}"))
        except (CatalogUnavailable, SettingsError) as failure:
            return Failure(failure)
        return Success(stream)

    def images(self) -> Iterator[Image]:
        yield from self._list(ANONYMOUS)

    def _find_by_name(self, name: str, endpoint: str, context: Context) -> Result[Image, CatalogFailure]:
        """The image that Glance lists, else one that its owner hides from lists (`os_hidden`).

        Other projects' images that this one has not accepted (community images, and shared ones that are pending) are
        only named in the failure: anybody can give an image any name.
        """
        for hidden in ({}, {"os_hidden": "true"}):
            named = [image for image in self._list(context, name=_operand(name), **hidden) if image.name == name]
            if named:
                break
        offered = "" if named else self._offered(name, context)
        return by_id_or_name(name, None, lambda: iter(named), f"the Glance {endpoint}", hint=offered)

    def _offered(self, name: str, context: Context) -> str:
        """A hint that names other projects' images of that name; empty where there are none, or Glance refuses."""
        hints: list[str] = []
        try:
            for filters, words in _OFFERED:
                offered = (each for each in self._list(context, name=_operand(name), **filters) if each.name == name)
                hints += (
                    f"image {each.id} of project {each.properties.get('owner', '?')} {words}"
                    for each in islice(offered, _TOLD)
                )
        except CatalogUnavailable as failure:
            _log.info("other projects' images cannot be listed: %s", failure)
        return f"{'; '.join(hints)}: name it by its id, if it is the one that you want" if hints else ""

    def _place(self, reference: str) -> _Place:
        href = HREF.fullmatch(reference)
        if href is None:
            return _Place(self._endpoint(), reference)
        endpoint = href[1]
        parts, own = urlsplit(endpoint.lower()), urlsplit(self._endpoint().lower())
        # The scheme counts: a token for https must not be sent over http.
        if parts[:2] != own[:2] and not {parts.netloc, parts.hostname} & self._hosts:
            raise CatalogUnavailable(
                f"{parts.hostname} is not allowed", advice="[catalog] hosts lists the Glances that are"
            )
        return _Place(endpoint, href[2])

    def _place_of(self, image: Image) -> _Place:
        """The place where the image was found: its document's `self` is absolute for an image of another Glance."""
        own = image.properties.get("self")
        return self._place(own if isinstance(own, str) and HREF.fullmatch(own) else image.id)

    def _client(self) -> "Adapter":
        with self._lock:
            if self._adapter is None:
                self._adapter = self._connect()
            return self._adapter

    def _endpoint(self) -> str:
        client = self._client()
        with vendor_errors("Glance cannot be found", client):
            endpoint: str | None = client.get_endpoint()
        if not endpoint:
            raise CatalogUnavailable("the cloud's service catalog has no image endpoint for this region and interface")
        return re.sub(r"/v2(\.\d+)?/?$", "", endpoint).rstrip("/")

    def _origin(self, place: _Place, context: Context, refused: HttpRefused | None = None) -> Origin:
        """The URL of the data, with a token; a fresh one after Glance `refused` the last one."""
        client = self._client()
        with vendor_errors("no token can be obtained", client):
            if refused is not None:
                client.invalidate()
            headers = _headers(context) or client.session.get_auth_headers(client.auth) or {}
        return Origin(f"{place.url}/file", dict(headers))

    def _http_options(self) -> HttpOptions:
        if self._options is None:
            from lading.adapters.openstack.transport import network_of  # noqa: PLC0415 - loads keystoneauth

            network = network_of(self._client().session)
            self._options = HttpOptions(network=network, first_byte_seconds=self._first_byte_seconds)
        return self._options

    def _list(self, context: Context, **filters: str) -> Iterator[Image]:
        endpoint = self._endpoint()
        query: str | None = urlencode({**filters, "sort": "name:asc,id:asc"})
        listed: set[str] = set()
        while query is not None:
            if query in listed:
                raise CatalogUnavailable(f"{endpoint} lists the same page of images again and again")
            listed.add(query)
            page = self._get(f"{endpoint}/v2/images?{query}", context)
            if not isinstance(page, dict) or not isinstance(page.get("images"), list):
                raise CatalogUnavailable(f"{endpoint} answers with no list of images: is it a Glance?")
            for document in page["images"]:
                match _image(_Place(endpoint, _id(document)), document):
                    case Success(Image() as image):
                        yield image
                    case failure:
                        _log.warning("left out of the list: %s", failure.failure())
            # After a page without images Glance names no other. A server that does could do so for ever.
            query = _next_query(endpoint, page.get("next")) if page["images"] else None

    def _get(self, url: str, context: Context, *, absent: Collection[int] = ()) -> Any:  # noqa: ANN401 - JSON
        """The API's JSON; None where it answers with one of the statuses `absent`. Raises CatalogUnavailable."""
        headers = _headers(context)
        response = get_with_retries(self._client(), url, headers=headers, authenticated=not headers)
        status = response.status_code
        if status in absent:
            return None
        if status != _OK:
            place = advice = ""
            if status in {_UNAUTHORIZED, _FORBIDDEN}:
                place, advice = account_of(self._client()), "are the credentials right?"
            elif response.is_redirect:
                advice = "no token is sent where that leads: image_endpoint_override in clouds.yaml is the right place"
            reason = f"Glance answers {urlsplit(url).path} with HTTP {status} {responses.get(status, '')}"
            raise CatalogUnavailable(reason, place=place, advice=advice)
        try:
            return read_json(response.content)
        except ValueError as error:
            raise CatalogUnavailable(f"Glance answers {urlsplit(url).path} with what is no JSON") from error


def _is_text(reference: str) -> bool:
    """Tells whether it can be sent: an argument that is not UTF-8 has lone surrogates (PEP 383)."""
    try:
        reference.encode()
    except UnicodeEncodeError:
        return False
    return True


def _operand(name: str) -> str:
    """The name as a filter's value. Glance would read what precedes a colon as an operator, so `eq:` goes before it.

    Not `in:"…"`: Glance leaves the backslash in a value in which a quote is escaped
    (glance.common.utils.split_filter_value_for_quotes).
    """
    return f"eq:{name}" if ":" in name else name


def _next_query(endpoint: str, link: object) -> str | None:
    """The query of the next page, by a page's `next`; None after the last page. Raises CatalogUnavailable.

    Glance writes `/v2/images?marker=…`, whatever path a proxy puts before it. So only the query is used: the request
    and the token go to the endpoint.
    """
    if not link:
        return None
    try:
        parts = urlsplit(link if isinstance(link, str) and _is_text(link) else "")
        is_own = parts.hostname in {None, urlsplit(endpoint).hostname}
    except ValueError:
        is_own = False
    if not is_own or not parts.query or parts.path.rstrip("/").rpartition("/")[2] not in {"", "images"}:
        raise CatalogUnavailable(f"{endpoint} names a next page on another server, and no token is sent there")
    return parts.query


def _image(place: _Place, document: object) -> Result[Image, CatalogFailure]:
    if not isinstance(document, dict) or not _is_text(_id(document)):
        return Failure(CatalogUnavailable(f"{place.endpoint} answers with no image: is it a Glance?"))
    # Absolute, so that the image as it is recorded says which Glance has it.
    own = place._replace(id=_id(document)).url
    # A user of Glance may give an image any property.
    described = {key: value for key, value in document.items() if key != PROOF}
    return catalog_image({**described, "self": own}).alt(
        lambda reason: CatalogUnavailable(f"Glance's image {place.id}: {reason}")
    )


def _id(document: object) -> str:
    """The document's id, for messages and links, of whatever type it is."""
    return str(document.get("id")) if isinstance(document, dict) else "without an id"


def _shown(image: Image, listed: object) -> Sequence[Location]:
    """The locations that the locations API lists; the image's own where its answer is no list of locations."""
    if isinstance(listed, list):
        match catalog_image({"id": image.id, "locations": listed}):
            case Success(Image() as found):
                return found.locations
    _log.info("image %s: the locations API answers with no list of locations", image.id)
    return image.locations


def _token(context: Context) -> str | None:
    return context.token if isinstance(context.token, str) and context.token else None


def _headers(context: Context) -> dict[str, str]:
    """The headers of the request's own credentials, if it has some."""
    token = _token(context)
    return {"X-Auth-Token": token} if token else {}
