"""Settings of the URL catalog."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lading.adapters.catalogs.policy import CatalogPolicy, Policy
from lading.adapters.web.urls import web_url

__all__ = ["UrlCatalogSettings"]


@dataclass(frozen=True, slots=True)
class UrlCatalogSettings(CatalogPolicy):
    mirrors: tuple[str, ...] = ()
    """URLs of folders with the same files, the first to ask first; references are paths beneath them."""
    keyring: Path | None = None
    """The OpenPGP keys of the publisher, armored or binary: one of them must have signed."""
    kind: Literal["url"] = "url"

    @property
    def demanded(self) -> Policy:
        return self.policy or ("none" if self.keyring is None else "signature")

    def __post_init__(self) -> None:
        if self.policy == "signature" and self.keyring is None:
            raise ValueError('policy: "signature" needs a keyring')
        for each in self.mirrors:
            try:
                parts = web_url(each).parts
            except ValueError as error:
                raise ValueError(f"mirrors: {error}") from None
            if parts.query or parts.fragment:
                raise ValueError("mirrors: expected URLs of folders, without a query")
