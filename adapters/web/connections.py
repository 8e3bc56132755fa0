"""Connections to hosts that a guard allows: by the very address that it checked, or through a proxy."""

import contextlib
import http.client
import socket
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from lading.adapters.stream.errors import error_text
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.threads import watchdog
from lading.adapters.web.guard import Guard
from lading.adapters.web.network import Proxy, authority
from lading.adapters.web.retries import TRANSIENT_STATUSES

__all__ = ["Forbidden", "check_literal", "connect_checked", "connect_proxy", "open_tunnel", "require_credentials"]

_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6})


class Forbidden(SourceBroken):
    """The server may not be connected to. A retry cannot help."""

    is_forbidden = True


def connect_checked(host: str, port: int, seconds: float, guard: Guard | None) -> socket.socket:
    """Connects to the first of the host's addresses that is allowed and answers, within `seconds` each.

    The name is resolved once, and the connection goes to the very address that the guard checked: resolved again, the
    name could lead to another address (DNS rebinding). Raises Forbidden where no address is allowed, and OSError.
    """
    forbidden: str | None = None
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if family not in _FAMILIES:
            continue
        if guard is not None and (conflict := guard.address_conflict(host, str(address[0]))) is not None:
            forbidden = forbidden or conflict
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(seconds)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            failure = error
        else:
            return sock
    if failure is None and forbidden is not None:
        raise Forbidden(forbidden)
    raise failure or OSError("its name resolves to no address")


def check_literal(host: str, guard: Guard | None) -> None:
    """Raises Forbidden for an address that is not allowed, in whatever form it is written.

    For hosts that a proxy connects to. The proxy resolves names, so that nothing but an address can be checked here;
    `2130706433` and `localhost` are 127.0.0.1 to the proxy too.
    """
    address = _literal(host.lower().removesuffix("."))
    if guard is None or address is None:
        return
    if (conflict := guard.address_conflict(host, address)) is not None:
        raise Forbidden(conflict)
    if "." in address and host != address and not _is_localhost(host):
        raise Forbidden(f"{host} is another spelling of {address}, which a proxy may read differently")


def _literal(name: str) -> str | None:
    """The address that the name is without a look-up; None: it is none."""
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
    """Connects to the proxy. No guard is asked: its address is the operator's choice. Raises SourceBroken."""
    try:
        return connect_checked(proxy.host, proxy.port, seconds, None)
    except OSError as error:
        raise SourceBroken(f"the proxy {proxy} ({proxy.place}) cannot be reached: {error_text(error)}") from error


def open_tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int, seconds: float) -> None:
    """Makes the proxy connect `sock` to the host, within `seconds` (CONNECT: RFC 9110, section 9.3.6).

    Raises Forbidden where the proxy refuses, and SourceBroken where the next try may succeed.
    """
    server = authority(host, port)
    headers = {"Host": server, "User-Agent": "lading", **proxy.headers}
    request = [f"CONNECT {server} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    answer = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        with watchdog(seconds, partial(_shut_down, sock)):
            sock.sendall("\r\n".join(request).encode())
            answer.begin()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceBroken(f"the proxy {proxy} does not connect to {server}: {type(error).__name__}") from error
    finally:
        answer.close()  # its reader, not the connection
    require_credentials(answer.status, proxy)
    text = f"HTTP {answer.status} {http.client.responses.get(answer.status, '')}".strip()
    if answer.status in TRANSIENT_STATUSES:
        raise SourceBroken(f"the proxy {proxy} cannot connect to {server}: {text}")
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise Forbidden(f"the proxy {proxy} refuses to connect to {server}: {text}")


def require_credentials(status: int, proxy: Proxy) -> None:
    """Raises Forbidden where the status says that the proxy does not accept the credentials, or wants some."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise Forbidden(f"the proxy {proxy} wants credentials, or others than those in {proxy.place} (HTTP 407)")


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
