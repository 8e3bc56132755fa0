"""Connections to hosts that a guard lets through, by the very address that it looked at."""

import contextlib
import socket
from typing import Final

from lading.adapters.transfer.guard import Guard
from lading.adapters.transfer.pipeline import SourceBroken

__all__ = ["Barred", "dial"]

_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6})


class Barred(SourceBroken):
    """It may not be asked: asking again can't help."""


def dial(host: str, port: int, seconds: float, guard: Guard | None) -> socket.socket:
    """A connection to the first of the host's addresses that may be reached and answers, within `seconds` each.

    The name is looked up once, and what was judged is what is connected to: looked up again, it could resolve to
    another address (DNS rebinding). Raises Barred when none may be reached, and OSError.
    """
    barred: str | None = None
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if family not in _FAMILIES:
            continue
        if guard is not None and (objection := guard.against_address(host, str(address[0]))) is not None:
            barred = barred or objection
            continue
        try:
            return _connected(socket.socket(family, kind, protocol), address, seconds)
        except OSError as error:
            failure = error
    if failure is None and barred is not None:
        raise Barred(barred)
    raise failure or OSError("its name resolves to no address")


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
