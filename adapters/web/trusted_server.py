"""The guard of URLs that the operator configured."""

from dataclasses import dataclass
from typing import Self

from lading.adapters.web.guard import Guard
from lading.adapters.web.urls import PORTS, plain_host, web_url

__all__ = ["TrustingGuard"]


@dataclass(frozen=True, slots=True)
class TrustingGuard(Guard):
    """Allows the server that the operator named, whatever its address and port, and what Guard allows beside it."""

    trusted_host: str = ""
    trusted_port: int = 0

    @classmethod
    def of_url(cls, url: str, hint: str) -> Self:
        """Trusts the server of this URL. `hint` is for messages about other servers. Raises ValueError."""
        parts = web_url(url).parts
        return cls(
            hint=hint, trusted_host=plain_host(parts.hostname or ""), trusted_port=parts.port or PORTS[parts.scheme]
        )

    def conflict(self, scheme: str, host: str, port: int) -> str | None:
        if self._trusts(host) and port == self.trusted_port:
            return None
        return Guard.conflict(self, scheme, host, port)

    def address_conflict(self, host: str, address: str) -> str | None:
        return None if self._trusts(host) else Guard.address_conflict(self, host, address)

    def _trusts(self, host: str) -> bool:
        return host.lower().removesuffix(".") == self.trusted_host
