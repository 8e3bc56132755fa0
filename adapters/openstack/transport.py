"""The network policy in keystoneauth's sessions. Loads keystoneauth and requests."""

import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session, TCPKeepAliveAdapter
from requests import PreparedRequest, Response
from requests.cookies import RequestsCookieJar
from typing_extensions import override
from urllib3 import ProxyManager

from lading.adapters.stream.connection_pools import POOLS
from lading.adapters.web.network import DIRECT, Named, NetworkPolicy
from lading.adapters.web.urls import PORTS
from lading.adapters.web.wait_log import logged_wait

if TYPE_CHECKING:
    from requests._types import CertType, TimeoutType, VerifyType

__all__ = ["DEFAULT_LIMITS", "CloudAdapter", "Limits", "follow_policy", "network_of"]


class CloudAdapter(Adapter):
    """A client of a service, which knows its account for messages."""

    account: str = ""
    """The Keystone, the user and the project, without secrets."""


class Limits(NamedTuple):
    """Timeouts of an API's requests, in seconds."""

    connect: float
    answer: float
    """Between two reads; also for the first byte."""


DEFAULT_LIMITS: Final = Limits(10.0, 30.0)


class PolicyAdapter(TCPKeepAliveAdapter):
    """Sends a session's requests by the policy, and within the limits. The session's own timeout overrides those."""

    def __init__(self, network: NetworkPolicy, limits: Limits) -> None:
        self.network = network
        self._limits = limits
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = POOLS

    @override
    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    @override
    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: "TimeoutType" = None,
        verify: "VerifyType" = True,
        cert: "CertType" = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Raises SettingsError for a proxy that cannot be used, and requests' own exceptions."""
        parts = urlsplit(request.url or "")
        proxy = self.network.proxy_for(parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80))
        if timeout is None:
            timeout = self._limits
        elif isinstance(timeout, int | float):
            timeout = (min(self._limits.connect, timeout), timeout)
        with logged_wait(request.url or ""):
            return super().send(request, stream, timeout, verify, cert, {parts.scheme: proxy.url} if proxy else {})


class _NoLock:
    def acquire(self) -> None: ...

    def release(self) -> None: ...


class _CookieJar(RequestsCookieJar):
    """A session's cookies, which a login by SAML needs. An interrupt cannot leave it locked.

    The standard library's jar acquires its lock outside the `try` that releases it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cookies_lock = _NoLock()  # type: ignore[assignment] # each use is within the guard
        self._guard = threading.Lock()

    @override
    def extract_cookies(self, response: Any, request: Any) -> None:
        with self._guard:
            super().extract_cookies(response, request)

    @override
    def add_cookie_header(self, request: Any) -> None:
        with self._guard:
            super().add_cookie_header(request)


def follow_policy(session: Session, network: NetworkPolicy, limits: Limits = DEFAULT_LIMITS) -> None:
    """Makes the session follow the policy, and nothing else: no variable, no `.netrc`."""
    session.session.trust_env = False
    session.session.cookies = _CookieJar()
    for scheme in PORTS:
        session.session.mount(f"{scheme}://", PolicyAdapter(network, limits))
    session.verify = network.verify and (network.ca_file.text if network.ca_file else _system_certificates())
    session.cert = None
    if network.certificate is not None:
        pair = network.certificate.text, network.key.text if network.key else None
        session.cert = (pair[0], pair[1]) if pair[1] is not None else pair[0]


def network_of(session: Session) -> NetworkPolicy:
    """The policy that the session follows, for connections that lading makes itself.

    For a session that is not lading's, that is its own proxies and certificates, and the environment's where requests
    follows those.
    """
    adapter = session.session.get_adapter("https://")
    if isinstance(adapter, PolicyAdapter):
        return adapter.network
    network = NetworkPolicy.of_environment() if session.session.trust_env else DIRECT
    own = {scheme: Named(str(url), "the session's proxies") for scheme, url in session.session.proxies.items()}
    network = replace(
        network,
        http_proxy=own.get("http") or own.get("all") or network.http_proxy,
        https_proxy=own.get("https") or own.get("all") or network.https_proxy,
    )
    if isinstance(session.verify, str):
        network = replace(network, ca_file=Named(session.verify, "the session's verify"))
    names = [session.cert] if isinstance(session.cert, str) else session.cert or []
    certificate, key = [*(Named(each, "the session's cert") for each in names), None, None][:2]
    return replace(network, verify=session.verify is not False, certificate=certificate, key=key)


def _system_certificates() -> str | bool:
    """The certificates that lading's own connections trust. True where the system has none: requests' own."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return paths.cafile
    return paths.capath if paths.capath is not None and any(os.scandir(paths.capath)) else True
