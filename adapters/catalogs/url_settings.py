"""Settings of the URL catalog."""

from dataclasses import dataclass
from typing import Literal

from lading.adapters.web.urls import web_url

__all__ = ["UrlCatalogSettings"]


@dataclass(frozen=True, slots=True)
class UrlCatalogSettings:
    mirrors: tuple[str, ...] = ()
    """URLs of folders with the same files, the first to ask first; references are paths beneath them."""
    kind: Literal["url"] = "url"

    def __post_init__(self) -> None:
        for each in self.mirrors:
            try:
                parts = web_url(each).parts
            except ValueError as error:
                raise ValueError(f"mirrors: {error}") from None
            if parts.query or parts.fragment:
                raise ValueError("mirrors: expected URLs of folders, without a query")
