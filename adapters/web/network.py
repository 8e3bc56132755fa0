"""The network policy: proxies and certificates, for every client of lading's.

Settings override environment variables. The variables mean what they mean to curl and requests, with CIDR in
`no_proxy`.
"""

import base64
import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

from lading.adapters.stream.errors import error_text
from lading.adapters.web.urls import PORTS, web_url
from lading.ports.failures import SettingsError

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

__all__ = ["DIRECT", "Named", "NetworkPolicy", "Proxy", "authority"]

_CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_EXEMPTION: Final = re.compile(
    r"\[(?P<v6>[0-9a-f:.]+)\](?::(?P<port6>[0-9]{1,5}))?|(?P<host>[^:]+):(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A value, and the setting or the variable that it comes from."""

    text: str = field(repr=False)
    place: str


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    place: str
    """The setting or the variable that names it."""
    userinfo: str = field(default="", repr=False)
    """`user:password`, percent-encoded."""

    @classmethod
    def of(cls, named: Named) -> Self:
        """Parses `http://[USER:PASSWORD@]HOST[:PORT]`, also without the scheme.

        Raises SettingsError, which does not repeat the URL.

        >>> str(Proxy.of(Named("http://me:hush@proxy.example:3128", "http_proxy")))
        'proxy.example:3128'
        """
        text = named.text.strip()
        try:
            parts, userinfo = web_url(text if "://" in text else f"http://{text}")
            if parts.scheme != "http":
                raise ValueError(parts.scheme)  # noqa: TRY301 - one message for both
        except ValueError:
            expected = "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, special characters percent-encoded"
            raise SettingsError(
                f"{named.place}: expected {expected}; https and SOCKS proxies are not supported"
            ) from None
        return cls(parts.hostname or "", parts.port or PORTS["http"], named.place, userinfo)

    @property
    def url(self) -> str:
        """The URL with the credentials."""
        return f"http://{self.userinfo}{'@' if self.userinfo else ''}{self}"

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for the proxy only."""
        if not self.userinfo:
            return {}
        credentials = base64.b64encode(unquote(self.userinfo).encode()).decode()
        return {"Proxy-Authorization": f"Basic {credentials}"}

    def __str__(self) -> str:
        return authority(self.host, self.port)


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Proxies, trusted certificates, and a client certificate. By default no proxy, and the system's certificates."""

    http_proxy: Named | None = None
    """For `http://` URLs."""
    https_proxy: Named | None = None
    """For `https://` URLs."""
    no_proxy: tuple[str, ...] = ()
    """Domains with all their subdomains, addresses and CIDRs, each with or without `:PORT`; `*` is everything."""
    ca_file: Named | None = None
    """Trusted certificates instead of the system's: a PEM file, or a folder as OpenSSL reads it."""
    verify: bool = True
    """A server's certificate is verified."""
    certificate: Named | None = None
    """The client certificate, a PEM file."""
    key: Named | None = None
    """The client certificate's key, if it is in another file."""

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str],
        *,
        proxy: Named | None = None,
        no_proxy: Sequence[str] | None = None,
        ca_file: Named | None = None,
    ) -> Self:
        """The policy of the settings, and of the environment variables where a setting is missing."""
        shared = ("all_proxy", "ALL_PROXY")
        # A web server hands a client's `Proxy:` header to a CGI program as HTTP_PROXY (CVE-2016-1000110).
        http = ("http_proxy",) if "REQUEST_METHOD" in environ else ("http_proxy", "HTTP_PROXY")
        exempt = _first(environ, "no_proxy", "NO_PROXY")
        return cls(
            proxy or _first(environ, *http) or _first(environ, *shared),
            proxy or _first(environ, "https_proxy", "HTTPS_PROXY") or _first(environ, *shared),
            tuple(no_proxy) if no_proxy is not None else tuple(re.split(r"[\s,]+", exempt.text)) if exempt else (),
            ca_file or next(filter(None, (_first(environ, name) for name in _CA_VARIABLES)), None),
        )

    @classmethod
    def of_environment(cls) -> Self:
        """The policy of this process's environment variables."""
        return cls.of(os.environ)

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for that server; None: a direct connection. Raises SettingsError.

        >>> policy = NetworkPolicy.of({"https_proxy": "proxy.example:3128", "no_proxy": ".inside.example,10.0.0.0/8"})
        >>> str(policy.proxy_for("https", "images.example", 443))
        'proxy.example:3128'
        >>> [policy.proxy_for("https", host, 443) for host in ("inside.example", "a.inside.example", "10.1.2.3")]
        [None, None, None]
        """
        named = self.https_proxy if scheme == "https" else self.http_proxy
        if named is None or is_exempt(self.no_proxy, host, port):
            return None
        return Proxy.of(named)

    def trusting(self, ca_file: "Path | None", place: str) -> "NetworkPolicy":
        """The policy with the certificates of `ca_file`, named at `place`; None: as it is. Raises SettingsError."""
        if ca_file is None:
            return self
        policy = replace(self, ca_file=Named(str(ca_file), place))
        policy.tls_context()
        return policy

    def tls_context(self) -> "SSLContext":
        """The TLS context of connections. Raises SettingsError, which names the setting and the file."""
        return _tls_context(self.ca_file, self.certificate, self.key, verify=self.verify)


DIRECT: Final = NetworkPolicy()
"""Without proxies, with the system's certificates."""


def authority(host: str, port: int) -> str:
    """Host and port as they are written in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_exempt(exemptions: Iterable[str], host: str, port: int) -> bool:
    """Tells whether `no_proxy` lists the host. No name is resolved: a name is compared as a name.

    >>> is_exempt(["example.org"], "images.example.org", 443), is_exempt(["example.org"], "myexample.org", 443)
    (True, False)
    >>> is_exempt(["fd12::/16"], "fd12::1", 80), is_exempt(["images.example:80"], "images.example", 443)
    (True, False)
    """
    name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return any(_covers(each.strip().lower(), name, port) for each in exemptions)


def _covers(entry: str, name: str, port: int) -> bool:
    if entry == "*":
        return True
    if (found := _EXEMPTION.fullmatch(entry)) is not None:
        if int(found["port6"] or found["port"] or port) != port:
            return False
        entry = found["v6"] or found["host"]
    if (address := _address(name)) is not None:
        try:
            network = ip_network(entry, strict=False)
        except ValueError:
            return False
        return network.version == address.version and address in network
    domain = entry.removeprefix("*").removeprefix(".").removesuffix(".")
    return bool(domain) and f".{name}".endswith(f".{domain}")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _first(environ: Mapping[str, str], *names: str) -> Named | None:
    """The first of the variables that is set; None where that one is empty, which disables those after it."""
    for name in names:
        if name in environ:
            return Named(environ[name], name) if environ[name].strip() else None
    return None


@functools.lru_cache(maxsize=16)  # reading the system's certificates takes some milliseconds
def _tls_context(ca_file: Named | None, certificate: Named | None, key: Named | None, *, verify: bool) -> "SSLContext":
    import ssl  # noqa: PLC0415 - reading settings does not need it

    place: dict[str, str] = {}
    if ca_file is not None and verify:
        place = {"capath" if os.path.isdir(ca_file.text) else "cafile": ca_file.text}
        _check_readable(ca_file)
    try:
        context = ssl.create_default_context(**place)  # type: ignore[arg-type]  # cafile or capath
    except (OSError, ValueError) as error:  # SSLError too
        if ca_file is None:
            raise SettingsError(f"SSL_CERT_FILE, SSL_CERT_DIR: the certificates cannot be read: {error}") from error
        raise SettingsError(f"{ca_file.place}: {ca_file.text} holds no certificate in PEM form") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        for each in filter(None, (certificate, key)):
            _check_readable(each)
        try:
            # Without a password argument, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate.text, key.text if key else None, password="")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{certificate.place}: {certificate.text} is no certificate in PEM form with the key that belongs to"
                " it, unencrypted; the key may be in a file of its own"
            ) from error
    return context


def _check_readable(named: Named) -> None:
    try:
        if not os.path.isdir(named.text):
            with open(named.text, "rb"):
                return
        os.listdir(named.text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{named.place}: {named.text} cannot be read: {error_text(error)}") from error
