"""The handler of images in OpenStack's object store, Swift, and in servers with its API: Ceph's gateway."""

import re
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, unquote, urlsplit

from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.remote import RemoteHandler
from lading.adapters.handlers.remote_settings import RemoteSettings
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.stream.errors import Refused, unavailable
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpRefused, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.network import DIRECT, NetworkPolicy
from lading.adapters.web.urls import PORTS, web_url
from lading.domain.cost import Cost
from lading.domain.handler import Work
from lading.domain.refusals import Unconfigured, Unsupported
from lading.ports.failures import CatalogUnavailable, SettingsError
from lading.ports.location import Location

if TYPE_CHECKING:
    from lading.adapters.openstack.swift_account import SwiftAccount

__all__ = ["SwiftHandler", "SwiftHandlerSettings", "SwiftObject"]

_URL: Final = re.compile(
    r"\s*swift(?:\+(https?))?://(?:([^@].*)@)?([^@/?#]+)/(?:([^@?#]*)/)?([^@/?#]+)/([^@/?#]+)",
    re.IGNORECASE | re.DOTALL,
)
"""A `/` in a key is not quoted: the credentials end at the last `@`."""
_HOSTS: Final = "[handlers.swift] hosts lists those that are allowed"


@dataclass(frozen=True, slots=True)
class SwiftObject:
    """The object at a location."""

    server: str
    """The URL of the account; with credentials, the URL for the sign-in."""
    container: str
    name: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    """The user (Keystone's as `project:user`) and the key."""

    @classmethod
    def of(cls, location: Location) -> Self:
        """Parses a URL as glance_store writes it. Raises ValueError; its message shows no credentials.

        >>> SwiftObject.of(Location("swift+https://store.example/v1/AUTH_x/images/noble"))
        SwiftObject(server='https://store.example/v1/AUTH_x', container='images', name='noble')
        >>> SwiftObject.of(Location("swift://account%3Auser:k%3Aey@auth.example:5000/v3/images/noble")).server
        'https://auth.example:5000/v3'
        """
        found = _URL.fullmatch(location.url)
        if found is None or not {".", ".."}.isdisjoint(found[0].split("/")):
            raise ValueError("it is not swift://account:user:key@host/v3/container/object or swift://host/v1/…")
        user, colon, key = map(unquote, (found[2] or "").rpartition(":"))  # their own colons are quoted
        if found[2] and not (colon and user and key and user.isprintable() and key.isprintable()):
            raise ValueError("its credentials are not account:user:key")
        path = quote(found[4] or "", safe="/%:")
        server = web_url(f"{(found[1] or 'https').lower()}://{found[3]}/{path}").parts.geturl()
        return cls(server.rstrip("/"), found[5], found[6], (user, key) if found[2] else None)

    @property
    def path(self) -> str:
        return f"{quote(self.container, safe='')}/{quote(self.name, safe='')}"


@dataclass(frozen=True)
class SwiftHandlerSettings(RemoteSettings):
    cloud: str | None = None
    """The name in clouds.yaml of the cloud with the Swift and its credentials. None: the `OS_*` variables', if set."""
    hosts: tuple[str, ...] = ()
    """Other Keystones and Swifts, `host` or `host:port`, to which a location's credentials may be sent."""


class SwiftHandler(RemoteHandler):
    """Takes `swift://`, `swift+https://` (both mean https) and `swift+http://`, of one tenant and of many.

    A location with credentials is of one tenant: it names the server to sign in to. With a cloud in the settings, that
    cloud's credentials and object store are used instead. A location without credentials is the URL of an account. It
    is read with the request's own token, or else with the cloud's. Tokens and keys are sent only to the cloud's own
    servers and to the settings' hosts. Large objects need nothing special: the server joins their segments.
    """

    name = "swift"
    schemes = frozenset({"swift", "swift+http", "swift+https", "swift+config"})
    is_local = True

    def __init__(
        self,
        settings: SwiftHandlerSettings,
        files: FileDestination,
        *,
        network: NetworkPolicy = DIRECT,
        first_wait: float = 0.5,
    ) -> None:
        options = settings.http_options(network)
        super().__init__(options, files, connections=settings.connections, first_wait=first_wait)
        self._settings = settings
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._lock = threading.Lock()
        self._known: SwiftAccount | None = None

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        for module, package in (("openstack", "openstacksdk"), ("keystoneauth1",) * 2):
            if find_spec(module) is None:
                raise PackageMissing(f"{package} is not installed: pip install 'lading[swift]'")
        settings = setup.read(SwiftHandlerSettings)
        return cls(settings, setup.files, network=setup.network_trusting(settings.ca_file, cls.name))

    def cost(self, target: str) -> Cost:
        return Cost.STORAGE_NETWORK

    def mirrors(self, work: Work, location: Location) -> Mirrors:
        if location.scheme == "swift+config":
            raise Refused(Unsupported("only Glance's own configuration names its server and credentials"))
        token = work.context.token if isinstance(work.context.token, str) else None
        try:
            named = SwiftObject.of(location)
            return self._in_signed_account(named) if named.credentials else self._in_account(named, token or None)
        except ValueError as error:
            raise Refused(Unsupported(str(error))) from None
        except (CatalogUnavailable, SettingsError) as failure:
            hint = "[handlers.swift] cloud is its name in clouds.yaml"
            raise Refused(Unconfigured(str(failure), advice=hint)) from failure
        except SourceBroken as broken:
            raise Refused(unavailable(broken)) from broken

    def origin(self, location: Location) -> Origin:
        raise ValueError("each account has its own sign-in: locations are not mirrors of each other")

    def _in_signed_account(self, named: SwiftObject) -> Mirrors:
        """The server of the credentials' account. Raises the same errors as `_in_account`."""
        if self._settings.cloud is not None:
            account = self._cloud()
        elif self._is_listed(named):
            account = self._signed_in(named)
        else:
            raise SourceBroken(f"{urlsplit(named.server).hostname} is not allowed for a sign-in; {_HOSTS}")
        return self._server(named, account.storage_url(), account)

    def _in_account(self, named: SwiftObject, token: str | None) -> Mirrors:
        """The server of the URL's account.

        Raises SettingsError, CatalogUnavailable, ValueError and SourceBroken.
        """
        if token and self._is_listed(named):
            return self._server(named, named.server, None, token)
        account = self._cloud()
        if not self._is_listed(named) and _peer(account.storage_url()) != _peer(named.server):
            raise SourceBroken(f"{urlsplit(named.server).hostname} is not the cloud's own Swift; {_HOSTS}")
        return self._server(named, named.server, account, token)

    def _server(
        self, named: SwiftObject, storage: str, account: "SwiftAccount | None", token: str | None = None
    ) -> Mirrors:
        """The server, with the token, or else with the account's own token, which can be renewed."""
        url = f"{storage}/{named.path}"
        guard = Guard.only(storage, "only the object store itself may be")
        options = replace(self._options, guard=guard, network=account.network if account else self._options.network)
        if token is not None or account is None:
            return Mirrors([Origin(url, {"X-Auth-Token": token or ""})], options, first_wait=self._first_wait)
        return Mirrors(
            [_origin(url, account)],
            options,
            renew=partial(_origin, url, account),
            first_wait=self._first_wait,
        )

    def _is_listed(self, named: SwiftObject) -> bool:
        parts = urlsplit(named.server)
        return not self._hosts.isdisjoint({parts.netloc, parts.hostname or ""})

    def _signed_in(self, named: SwiftObject) -> "SwiftAccount":
        from lading.adapters.openstack.swift_account import sign_in  # noqa: PLC0415 - keystoneauth with it

        assert named.credentials is not None  # noqa: S101 - called only then
        user, key = named.credentials
        return sign_in(named.server, user, key, self._options.network, self._limits)

    @property
    def _limits(self) -> tuple[float, float]:
        return self._settings.connect_seconds, self._settings.stall_seconds

    def _cloud(self) -> "SwiftAccount":
        """The account of the settings' cloud, or of the `OS_*` variables."""
        from lading.adapters.openstack.swift_account import of_cloud  # noqa: PLC0415 - keystoneauth with it

        with self._lock:
            if self._known is None:
                self._known = of_cloud(self._settings.cloud, self._options.network, self._limits)
            return self._known


def _origin(url: str, account: "SwiftAccount", refused: HttpRefused | None = None) -> Origin:
    """The URL with the account's token; a fresh one after the server `refused` the last one."""
    return Origin(url, account.headers(fresh=refused is not None))


def _peer(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]
