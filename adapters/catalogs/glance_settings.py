"""Settings of the Glance catalog."""

from dataclasses import dataclass
from typing import Literal

from lading.adapters.catalogs.policy import CatalogPolicy

__all__ = ["GlanceCatalogSettings"]


@dataclass(frozen=True, slots=True)
class GlanceCatalogSettings(CatalogPolicy):
    cloud: str | None = None
    """Its name in clouds.yaml; None: `OS_CLOUD`, or as the other `OS_*` say."""
    hosts: tuple[str, ...] = ()
    """Other Glances that an image's href may name, `host` or `host:port`. They are sent the token."""
    first_byte_seconds: float = 120.0
    """Seconds to wait for the first byte of an image: Glance over Cinder attaches a volume first."""
    kind: Literal["glance"] = "glance"

    def __post_init__(self) -> None:
        if self.first_byte_seconds <= 0:
            raise ValueError("first_byte_seconds: expected more than 0")
