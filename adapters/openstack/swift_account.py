"""Sign-in to a Swift by keystoneauth. Loaded when the first Swift location is read."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions import ClientException, HttpError, SSLError, Unauthorized
from keystoneauth1.exceptions import ConnectionError as Disconnected
from keystoneauth1.identity import v2, v3
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session
from typing_extensions import override

from lading.adapters.openstack.cloud import connect_cloud
from lading.adapters.openstack.transport import Limits, follow_policy, network_of
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.network import NetworkPolicy
from lading.adapters.web.urls import web_url
from lading.ports.failures import SettingsError

__all__ = ["SwiftAccount", "of_cloud", "sign_in"]

_OBJECT_STORE: Final = "object-store"
"""The service type in service catalogs."""
_DOMAIN: Final = "default"
"""The id of the default domain of users and projects, as in glance_store."""


class SwiftAccount:
    """An account in an object store, with credentials. Requests are made by its methods, which raise SourceBroken."""

    def __init__(self, client: Adapter) -> None:
        self._client = client

    @property
    def network(self) -> NetworkPolicy:
        """The network policy for connections to the objects."""
        return network_of(self._client.session)

    def storage_url(self) -> str:
        with _source_errors("the object store cannot be found"):
            endpoint = self._client.get_endpoint()
        try:
            return web_url(endpoint or "").parts.geturl().rstrip("/")
        except ValueError:
            raise SourceBroken("the cloud names no object store for this region and interface") from None

    def headers(self, *, fresh: bool = False) -> Mapping[str, str]:
        with _source_errors("no token can be obtained"):
            if fresh:
                self._client.invalidate()
            return dict(self._client.session.get_auth_headers(self._client.auth) or {})


def of_cloud(cloud: str | None, network: NetworkPolicy, limits: tuple[float, float]) -> SwiftAccount:
    """The account of a cloud in clouds.yaml, or of `OS_*`. `limits`: seconds.

    Raises SettingsError and CatalogUnavailable.
    """
    return SwiftAccount(connect_cloud(cloud, _OBJECT_STORE, extra="swift", network=network, limits=Limits(*limits)))


def sign_in(auth_url: str, user: str, key: str, network: NetworkPolicy, limits: tuple[float, float]) -> SwiftAccount:
    """The account that these credentials are for. Raises ValueError.

    The end of the URL tells the protocol: `…/v1` and `…/v1.0` are Swift's own, `…/v2.0` and all others Keystone's.
    """
    version = auth_url.rpartition("/")[2]
    auth: BaseAuthPlugin
    project, colon, name = user.partition(":")
    if version.startswith("v1"):
        auth = _SwiftAuth(auth_url, user, key)
    elif not colon:
        raise ValueError("its credentials are not account:user:key")
    elif version.startswith("v2"):
        auth = v2.Password(auth_url, username=name, password=key, tenant_name=project)
    else:
        auth = v3.Password(
            auth_url,
            password=key,  # a keyword: keystoneauth1 5.8 takes it in no other way
            username=name,
            user_domain_id=_DOMAIN,
            project_name=project,
            project_domain_id=_DOMAIN,
        )
    # Without redirects: the key would be sent wherever they lead.
    session = Session(auth, redirect=False)
    follow_policy(session, network, Limits(*limits))
    return SwiftAccount(Adapter(session, service_type=_OBJECT_STORE, interface="public"))


@contextmanager
def _source_errors(what: str) -> Iterator[None]:
    """Raises SourceBroken for the block's exceptions of keystoneauth, never in the server's own words."""
    try:
        yield
    except SettingsError as error:  # of the network policy
        raise SourceBroken(f"{what}: {error}") from None
    except Unauthorized:
        raise SourceBroken(f"{what}: the credentials are not accepted") from None
    except SSLError:
        raise SourceBroken(f"{what}: its certificate is not trusted, or it does not use TLS") from None
    except Disconnected:
        raise SourceBroken(f"{what}: there is no connection, or no answer") from None
    except HttpError as error:
        raise SourceBroken(f"{what}: HTTP {error.http_status}") from None
    except ClientException as error:
        raise SourceBroken(f"{what}: {type(error).__name__}") from None


class _SwiftAuth(BaseAuthPlugin):
    """Swift's own sign-in (v1): a GET answered with the account's URL and a token.

    https://docs.openstack.org/swift/latest/overview_auth.html
    """

    def __init__(self, url: str, user: str, key: str) -> None:
        super().__init__()
        self._url = url
        self._headers = {"X-Auth-User": user.encode(), "X-Auth-Key": key.encode()}
        self._lock = threading.Lock()
        self._signed_in: tuple[str, str] | None = None

    @override
    def get_token(self, session: Session, **_: Any) -> str:
        return self._sign_in(session)[0]

    @override
    def get_endpoint(self, session: Session, **_: Any) -> str:
        return self._sign_in(session)[1]

    @override
    def invalidate(self) -> bool:
        self._signed_in = None
        return True

    def _sign_in(self, session: Session) -> tuple[str, str]:
        with self._lock:
            if self._signed_in is None:
                response = session.get(self._url, headers=self._headers, authenticated=False, redirect=False, log=False)
                self._signed_in = response.headers.get("X-Auth-Token", ""), response.headers.get("X-Storage-Url", "")
            return self._signed_in
