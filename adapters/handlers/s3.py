"""The handler of images in S3, and in servers with its API: Ceph's gateway, MinIO.

Each request is signed in its headers (Signature Version 4), so a URL in a log gives no access, and no URL expires.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from typing import Final, Self
from urllib.parse import quote, urlsplit

from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.remote import RemoteHandler
from lading.adapters.handlers.remote_settings import RemoteSettings
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpRefused, Origin
from lading.adapters.web.network import DIRECT, NetworkPolicy
from lading.adapters.web.urls import web_url
from lading.domain.cost import Cost
from lading.ports.location import Location

__all__ = ["S3Handler", "S3HandlerSettings", "S3Key", "S3Object", "region_of", "sign"]

_URL: Final = re.compile(r"\s*s3(?:\+(https?))?://(?:([^@].*)@)?([^@/?#]+)/([^@?#]+)", re.IGNORECASE | re.DOTALL)
"""A secret is not quoted and may contain `/`: the credentials end at the last `@`."""
_CREDENTIALS: Final = re.compile(r"([!-.0-9;-~]+):([!-~]+)")
_REGION: Final = re.compile(r"(?:.+\.)?s3[.-](?:dualstack\.)?([a-z]+(?:-[a-z]+)+-\d+)\.amazonaws\.com(?:\.cn)?")
_DEFAULT_REGION: Final = "us-east-1"
_SETTING: Final = "[handlers.s3] endpoint names the server that is allowed"
_HINTS: Final[Mapping[int, str]] = {
    HTTPStatus.MOVED_PERMANENTLY: "the bucket is in another region: set [handlers.s3] endpoint and region",
    HTTPStatus.BAD_REQUEST: "is [handlers.s3] region the bucket's?",
    HTTPStatus.FORBIDDEN: "the key is not accepted or may not read it, or this host's clock is wrong",
}


@dataclass(frozen=True, slots=True, repr=False)
class S3Key:
    access_key: str
    secret_key: str
    token: None = None
    """The session token that botocore reads: always None."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """The object at a location."""

    server: str
    """A URL."""
    path: str
    """The bucket and the key, not quoted."""
    key: S3Key | None

    @classmethod
    def of(cls, location: Location) -> Self:
        """Parses a URL as glance_store writes it. Raises ValueError; its message shows no credentials.

        >>> S3Object.of(Location("s3+http://AK:se/cr+t@store.example:8080/images/noble")).server
        'http://store.example:8080'
        >>> S3Object.of(Location("s3://store.example/images/noble")).path
        'images/noble'
        """
        found = _URL.fullmatch(location.url)
        path = found[4].strip("/") if found else ""
        if not path.isprintable():
            raise ValueError("its key has characters that cannot be requested")
        if found is None or "/" not in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise ValueError("it is not s3://[ACCESS:SECRET@]host/bucket/key")
        credentials = _CREDENTIALS.fullmatch(found[2]) if found[2] else None
        if found[2] and credentials is None:
            raise ValueError("its credentials are not ACCESS:SECRET")
        server = web_url(f"{(found[1] or 'https').lower()}://{found[3]}").parts.geturl()
        return cls(server, path, S3Key(credentials[1], credentials[2]) if credentials else None)


@dataclass(frozen=True)
class S3HandlerSettings(RemoteSettings):
    endpoint: str | None = None
    """`https://s3.example.org`; None: the host in each location, which must be public."""
    access_key: str | None = None
    """None: the credentials in each location's URL, for the endpoint, or else for the location's own host."""
    secret_key: str | None = field(default=None, repr=False)
    """The secret of `access_key`."""
    region: str | None = None
    """None: the region in AWS's host names, else `us-east-1`, which most other servers accept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key, secret_key: expected both, or neither")
        if self.access_key is not None and self.endpoint is None:
            raise ValueError("endpoint: expected with an access_key: no key is sent to a server that a URL names")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)


def _check_endpoint(url: str) -> None:
    try:
        _, userinfo = web_url(url)
    except ValueError:
        userinfo = "?"
    if userinfo:
        raise ValueError("endpoint: expected a URL like https://s3.example.org, without credentials")


class S3Handler(RemoteHandler):
    """Takes `s3://`, `s3+https://` (both mean https) and `s3+http://`, with the credentials in the URL or without.

    The settings' endpoint is used instead of the hosts that locations name, and the settings' key instead of theirs.
    Without an endpoint, a location's own host is used if it is public, with the location's own credentials or none.
    """

    name = "s3"
    schemes = frozenset({"s3", "s3+http", "s3+https"})
    is_local = True

    def __init__(
        self,
        settings: S3HandlerSettings,
        files: FileDestination,
        *,
        network: NetworkPolicy = DIRECT,
        first_wait: float = 0.5,
    ) -> None:
        guard = Guard(hint=_SETTING)
        if settings.endpoint is not None:
            guard = Guard.only(settings.endpoint, _SETTING)
        options = settings.http_options(network, guard)
        super().__init__(options, files, connections=settings.connections, first_wait=first_wait)
        self._endpoint = settings.endpoint and settings.endpoint.rstrip("/")
        self._region = settings.region
        self._key = None
        if settings.access_key is not None and settings.secret_key is not None:
            self._key = S3Key(settings.access_key, settings.secret_key)

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        if find_spec("botocore") is None:
            raise PackageMissing("botocore is not installed: pip install 'lading[s3]'")
        settings = setup.read(S3HandlerSettings)
        return cls(settings, setup.files, network=setup.network_trusting(settings.ca_file, cls.name))

    def cost(self, target: str) -> Cost:
        return Cost.STORAGE_NETWORK

    def origin(self, location: Location) -> Origin:
        named = S3Object.of(location)
        server, path, key = self._endpoint or named.server, named.path, self._key or named.key
        prefix = urlsplit(server).path.strip("/")
        if prefix:
            path = path.removeprefix(f"{prefix}/")  # glance_store writes all of its endpoint
        url = web_url(f"{server}/{quote(path)}").parts.geturl()
        return Origin(url, sign=partial(sign, url, key, self._region or region_of(url)) if key else None)

    def advice(self, failure: SourceBroken) -> str:
        return _HINTS.get(failure.status, "") if isinstance(failure, HttpRefused) else ""


def sign(url: str, key: S3Key, region: str) -> Mapping[str, str]:
    """The headers that sign a GET of the URL with the key, at the current time."""
    # Only botocore's signer is used: its clients take half a second to load, and read their own configuration.
    from botocore import auth  # type: ignore[import-untyped] # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # noqa: PLC0415

    auth.logger.addFilter(_is_no_signature)  # adding it again changes nothing
    request = AWSRequest(method="GET", url=url)
    auth.S3SigV4Auth(key, "s3", region).add_auth(request)
    return dict(request.headers.items())


def _is_no_signature(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Signature")


def region_of(url: str) -> str:
    found = _REGION.fullmatch(urlsplit(url).hostname or "")
    return found[1] if found else _DEFAULT_REGION
