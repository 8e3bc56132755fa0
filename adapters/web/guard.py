"""The address guard: the schemes, ports, hosts and addresses that a location may lead to.

A user who may set a location makes this host request it. This host can reach its own services, the cloud's metadata
and the operator's network (OSSA-2026-004; OWASP's cheat sheet on SSRF). So only public addresses are allowed, unless an
operator says otherwise. A name proves nothing: the address is checked just before the connection is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from lading.adapters.web.urls import PORTS, plain_host, web_url

__all__ = ["Guard"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_EVERYTHING: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "fd00:ec2::254",  # AWS
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "168.63.129.16",  # Azure, where it is a public address
        ),
    )
)
_KINDS: Final = ("unspecified", "loopback", "link_local", "multicast", "reserved", "private")
"""Kinds of addresses, as ipaddress names them; the narrower ones first."""
# Special-purpose networks (IANA) that some versions of ipaddress take for public.
_NOT_PUBLIC: Final = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
"""The only block from which IANA assigns public addresses so far."""
_COMPATIBLE: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052. The local one, 64:ff9b:1::/48 (RFC 8215), is not public."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The allowed servers. By default the ports 80 and 443 of all public addresses, as in Glance's image import."""

    schemes: frozenset[str] = frozenset(PORTS)
    ports: frozenset[int] = frozenset(PORTS.values())
    """Empty: any."""
    hosts: tuple[str, ...] = ()
    """Names in plain form; `.example.org` is that domain and all beneath it. Empty: any."""
    networks: tuple[_Network, ...] = ()
    """Allowed although they are not public."""
    hint: str | None = None
    """The hint in messages, for a handler that does not have the http handler's settings."""

    @classmethod
    def only(cls, url: str, hint: str) -> Self:
        """Allows the server of a URL that the operator chose, whatever its address, and no other. Raises ValueError."""
        parts = web_url(url).parts
        port = parts.port or PORTS[parts.scheme]
        host = plain_host(parts.hostname or "")
        return cls(frozenset({parts.scheme}), frozenset({port}), (host,), _EVERYTHING, hint)

    @classmethod
    def of(cls, schemes: Iterable[str], ports: Iterable[int], hosts: Iterable[str], networks: Iterable[str]) -> Self:
        """Makes a guard of the settings' values. Raises ValueError that names the setting."""
        some = cls(frozenset(schemes), frozenset(ports), tuple(map(_host, hosts)), tuple(map(_network, networks)))
        if not some.schemes or not some.schemes <= PORTS.keys():
            raise ValueError("allowed_schemes: expected http, https or both")
        if not all(0 < port < 1 << 16 for port in some.ports):
            raise ValueError("allowed_ports: expected 1 to 65535")
        return some

    def conflict(self, scheme: str, host: str, port: int) -> str | None:
        """The reason why that server is not allowed, before its name is resolved; None: it is."""
        if scheme not in self.schemes:
            return f"{scheme} to {host} is not allowed; {self._setting('allowed_schemes lists those that are')}"
        if self.ports and port not in self.ports:
            return f"port {port} of {host} is not allowed; {self._setting('allowed_ports lists those that are')}"
        name = host.lower().removesuffix(".")
        if self.hosts and not any(_covers(each, name) for each in self.hosts):
            return f"{host} is not allowed; {self._setting('allowed_hosts lists those that are')}"
        return None

    def address_conflict(self, host: str, address: str) -> str | None:
        """The reason why that address, to which the host's name resolved, is not allowed; None: it is."""
        found = ip_address(address.partition("%")[0])  # without the zone, which means an interface
        meant = _embedded(found) or (found,)
        if self._lists(found) or all(map(self._lists, meant)):
            return None
        kind = next(filter(None, map(_kind, meant)), None)
        if kind is None:
            return None
        named = f"{host} is" if host == address else f"{host} resolves to {address},"
        return f"{named} {kind}; {self._setting('allowed_networks lists those that are allowed')}"

    def _setting(self, text: str) -> str:
        return self.hint or f"[handlers.http] {text}"

    def _lists(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)


def _embedded(address: _Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, by a tunnel or by NAT64."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return ()


def _kind(address: _Address) -> str | None:
    """The kind of an address that is not public; None: it is public."""
    if address in _METADATA:
        return "a metadata service's address"
    for kind in _KINDS:
        if getattr(address, f"is_{kind}"):
            return f"a{'n' if kind[0] == 'u' else ''} {kind.replace('_', '-')} address"
    is_given_out = isinstance(address, IPv4Address) or address in _PUBLIC_IPV6
    if address.is_global and is_given_out and not any(address in network for network in _NOT_PUBLIC):
        return None
    return "no public address"


def _covers(allowed: str, name: str) -> bool:
    return f".{name}".endswith(allowed) if allowed.startswith(".") else name == allowed


def _host(text: str) -> str:
    domain = text.removeprefix(".")
    try:
        return f"{text[: len(text) - len(domain)]}{plain_host(domain)}"
    except ValueError:
        raise ValueError("allowed_hosts: expected names like images.example or .images.example") from None


def _network(text: str) -> _Network:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("allowed_networks: expected networks like 10.0.0.0/8, or addresses") from None
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"allowed_networks: {text} is an address in a network, did you mean {meant}?") from None
