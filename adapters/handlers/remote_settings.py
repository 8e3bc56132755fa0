"""Settings of handlers that read from servers by HTTP."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.network import NetworkPolicy

__all__ = ["RemoteSettings"]

_MOST_CONNECTIONS: Final = 16
"""More would overload the server."""


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """The settings that all these handlers have."""

    connections: int = 4
    """The most connections for one image at a time."""
    connect_seconds: float = 10.0
    """Seconds to wait for a connection."""
    stall_seconds: float = 30.0
    """Seconds without progress after which a connection is closed."""
    first_byte_seconds: float = 120.0
    """Seconds to wait for the first byte: the server may have to get the image first, or to scan it."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    def __post_init__(self) -> None:
        if not 1 <= self.connections <= _MOST_CONNECTIONS:
            raise ValueError(f"connections: expected 1 to {_MOST_CONNECTIONS}")
        if min(self.connect_seconds, self.stall_seconds, self.first_byte_seconds) <= 0:
            raise ValueError("connect_seconds, stall_seconds, first_byte_seconds: expected more than 0")

    def http_options(self, network: NetworkPolicy, guard: Guard | None = None) -> HttpOptions:
        """The options for connections by that policy; `guard` limits where URLs and redirects may lead."""
        return HttpOptions(
            self.connect_seconds, self.stall_seconds, network, guard, first_byte_seconds=self.first_byte_seconds
        )
