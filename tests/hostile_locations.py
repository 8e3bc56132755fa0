"""A network for locations that want this host to fetch what they should not.

Nothing leaves the machine: names resolve by a table, and a connection to anything but a server that the test permits
fails it.
"""

import errno
import hashlib
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result
from tests.faulty_server import FaultyServer

from lading import Digest, Image, Landing, Location, Refusal, Work
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions

PUBLIC = "93.184.215.14"
LONG = "a" * 9000
BYTES = b"noble"
IMAGE = Image("id", size=len(BYTES), digest=Digest("sha256", hashlib.sha256(BYTES).hexdigest()))
TRANSFER = FileDestination(MemoryVerifiedFiles(), Rules(inspect=False))


class Network:
    """What names resolve to, what is looked up, and what is connected to, while something is fetched."""

    def __init__(self) -> None:
        self.names: dict[str, Sequence[str]] = {
            "good.example": [PUBLIC],
            "localhost": ["127.0.0.1"],
            "inside.example": ["10.0.0.5"],
            "inside6.example": ["fd12::5", "::ffff:10.0.0.5"],
            "metadata.google.internal": ["169.254.169.254"],
            "metadata.google.internal.": ["169.254.169.254"],
        }
        self.refusing: list[str] = []
        """Addresses where nobody listens."""
        self.looked_up: list[str] = []
        self.connected: list[str] = []
        self._permitted: set[tuple[str, int]] = set()
        self._really_look_up = socket.getaddrinfo
        self._really_connect = socket.socket.connect

    def permit(self, server: FaultyServer) -> None:
        self._permitted.add(("127.0.0.1", server.port))

    def look_up(self, host: str, port: int, **_: object) -> list[object]:
        """Numbers as the system reads them, which asks nobody."""
        self.looked_up.append(host)
        return [
            answer
            for each in self.names.get(host, [host])
            for answer in self._really_look_up(each, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        ]

    def connect(self, wire: socket.socket, address: tuple[str, int]) -> None:
        self.connected.append(address[0])
        if address[0] in self.refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        assert address in self._permitted, f"connected to {address}"
        self._really_connect(wire, address)

    def fetch(
        self, handler: FileHandler | HttpHandler, target: Path, *urls: str | Location
    ) -> Result[Landing, Refusal]:
        locations = [url if isinstance(url, Location) else Location(url) for url in urls]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", self.look_up)
            patch.setattr(socket.socket, "connect", lambda wire, address: self.connect(wire, address))  # noqa: PLW0108 - bound
            return handler.fetch(Work(str(target), replace(IMAGE, locations=locations), locations[0]))


def http(guard: Guard | None = None) -> HttpHandler:
    options = HttpOptions(connect_seconds=5, stall_seconds=5, guard=guard or Guard())
    return HttpHandler(options, TRANSFER, connections=1, first_wait=0.0)


NO_URL = "not an http or https URL"
