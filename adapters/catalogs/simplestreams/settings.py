"""Settings of the simplestreams catalog."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from lading.adapters.catalogs.policy import CatalogPolicy, Policy
from lading.adapters.web.urls import web_url

__all__ = ["SimplestreamsCatalogSettings"]

_FOLDER: Final = "/streams/v1/"


@dataclass(frozen=True, slots=True)
class SimplestreamsCatalogSettings(CatalogPolicy):
    url: str = field(repr=False)
    """The mirror's root, or the index beneath it: `https://cloud-images.ubuntu.com/releases/`."""
    cache: Path
    """The folder for copies of the lists."""
    keyring: Path | None = None
    """The OpenPGP keys of the publisher, armored or binary."""
    architecture: str | None = None
    """The architecture of images whose reference names none; None: this host's."""
    offline: bool = False
    """True: only the cache is read."""
    stale_hours: float = 0.0
    """While the server is away, copies in the cache that are not older are used."""
    kind: Literal["simplestreams"] = "simplestreams"

    def __post_init__(self) -> None:
        try:
            parts = web_url(self.url).parts
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if parts.query or parts.fragment:
            raise ValueError("url: expected a URL without a query")
        if self.policy == "signature" and self.keyring is None:
            raise ValueError('policy: "signature" needs a keyring')
        if self.stale_hours < 0:
            raise ValueError("stale_hours: expected 0 or more")

    @property
    def root_and_index(self) -> tuple[str, str | None]:
        """The mirror's root, which ends with a slash, and the index's path beneath it; None: it is to be found."""
        root, found, name = self.url.partition(_FOLDER)
        return f"{root.rstrip('/')}/", f"{_FOLDER[1:]}{name}" if found and name else None

    @property
    def demanded(self) -> Policy:
        return self.policy or ("checksum" if self.keyring is None else "signature")
