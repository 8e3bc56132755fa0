"""Connections to hosts that a guard lets through, by the very address that it looked at, or through a proxy."""

import contextlib
import http.client
import socket
import threading
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.guard import Guard
from lading.adapters.web.network import Proxy, authority

__all__ = ["Forbidden", "check_literal", "connect_checked", "connect_proxy", "open_tunnel", "require_credentials"]

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""A proxy's answers that may be another the next time."""
_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6})


class Forbidden(SourceBroken):
    """It may not be asked: asking again can't help."""


def connect_checked(host: str, port: int, seconds: float, guard: Guard | None) -> socket.socket:
    """A connection to the first of the host's addresses that may be reached and answers, within `seconds` each.

    The name is looked up once, and what was judged is what is connected to: looked up again, it could resolve to
    another address (DNS rebinding). Raises Forbidden when none may be reached, and OSError.
    """
    barred: str | None = None
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if family not in _FAMILIES:
            continue
        if guard is not None and (conflict := guard.against_address(host, str(address[0]))) is not None:
            barred = barred or conflict
            continue
        try:
            return _connected(socket.socket(family, kind, protocol), address, seconds)
        except OSError as error:
            failure = error
    if failure is None and barred is not None:
        raise Forbidden(barred)
    raise failure or OSError("its name resolves to no address")


def check_literal(host: str, guard: Guard | None) -> None:
    """Raises Forbidden for an address that may not be reached, in whatever form it is written.

    For what a proxy is asked to connect to. The proxy resolves names, so that nothing else can be judged here; but
    `2130706433` and `localhost` are 127.0.0.1 to it too.
    """
    address = _literal(host.lower().removesuffix("."))
    if guard is None or address is None:
        return
    if (conflict := guard.against_address(host, address)) is not None:
        raise Forbidden(conflict)
    if "." in address and host != address and not _is_localhost(host):
        raise Forbidden(f"{host} is another spelling of {address}, which a proxy may read differently")


def _literal(name: str) -> str | None:
    """The address that the name is, without anything being looked up."""
    if _is_localhost(name):
        return "127.0.0.1"
    with contextlib.suppress(ValueError):
        return str(ip_address(name))
    with contextlib.suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(name))
    return None


def _is_localhost(host: str) -> bool:
    """RFC 6761, section 6.3."""
    return f".{host.lower().removesuffix('.')}".endswith(".localhost")


def connect_proxy(proxy: Proxy, seconds: float) -> socket.socket:
    """A connection to the proxy, wherever it is: its address is the operator's choice. Raises SourceBroken."""
    try:
        return connect_checked(proxy.host, proxy.port, seconds, None)
    except OSError as error:
        raise SourceBroken(f"the proxy {proxy} ({proxy.place}) cannot be reached: {error.strerror or error}") from error


def open_tunnel(wire: socket.socket, proxy: Proxy, host: str, port: int, seconds: float) -> None:
    """Has the proxy connect the connection to that host, within `seconds` (CONNECT: RFC 9110, section 9.3.6).

    Raises Forbidden where the proxy refuses, and SourceBroken where it may not the next time.
    """
    server = authority(host, port)
    headers = {"Host": server, "User-Agent": "lading", **proxy.headers}
    request = [f"CONNECT {server} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    answer = http.client.HTTPResponse(wire, method="CONNECT")
    watchdog = threading.Timer(seconds, _shut, [wire])
    watchdog.start()
    try:
        wire.sendall("\r\n".join(request).encode())
        answer.begin()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceBroken(f"the proxy {proxy} does not connect to {server}: {type(error).__name__}") from error
    finally:
        watchdog.cancel()
        answer.close()  # its reader, not the connection
    require_credentials(answer.status, proxy)
    told = f"HTTP {answer.status} {http.client.responses.get(answer.status, '')}".strip()
    if answer.status in _PASSING:
        raise SourceBroken(f"the proxy {proxy} cannot connect to {server}: {told}")
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise Forbidden(f"the proxy {proxy} refuses to connect to {server}: {told}")


def require_credentials(status: int, proxy: Proxy) -> None:
    """Raises Forbidden where the proxy's answer is that it doesn't take those that it was given."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise Forbidden(f"the proxy {proxy} wants credentials, or others than those in {proxy.place} (HTTP 407)")


def _shut(wire: socket.socket) -> None:
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


def _connected(wire: socket.socket, address: tuple[object, ...], seconds: float) -> socket.socket:
    try:
        wire.settimeout(seconds)
        wire.connect(address)
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        wire.close()
        raise
    return wire
