"""Settings of the catalog of a registry."""

from dataclasses import dataclass, field
from typing import Literal

from lading.adapters.catalogs.policy import CatalogPolicy
from lading.adapters.oci.reference import Reference

__all__ = ["OciCatalogSettings"]


@dataclass(frozen=True, slots=True)
class OciCatalogSettings(CatalogPolicy):
    registry: str | None = None
    """`HOST[:PORT][/PATH]`, before each reference that is no `oci://` URL; None: references are URLs."""
    architecture: str | None = None
    """`amd64`, `arm64`, …; None: this host's."""
    username: str | None = None
    """For `registry`; None: those in `[handlers.oci] passwords`, or in the files of podman and docker."""
    password: str | None = field(default=None, repr=False)
    """The password of `username`."""
    mirrors: tuple[str, ...] = ()
    """Registries with the same repositories, `HOST[:PORT][/PATH]` each instead of `registry`. Blobs that `registry`
    does not give are read from them; manifests are not."""
    kind: Literal["oci"] = "oci"

    def __post_init__(self) -> None:
        if self.registry is not None:
            _check_registry("registry", self.registry)
        for mirror in self.mirrors:
            _check_registry("mirrors", mirror)
        if self.mirrors and self.registry is None:
            raise ValueError("registry: expected with mirrors: they have the same repositories")
        if (self.username is None) != (self.password is None):
            raise ValueError("username, password: expected both, or neither")
        if self.username is not None and self.registry is None:
            raise ValueError("registry: expected with a username: a password is for one registry")


def _check_registry(key: str, text: str) -> None:
    try:
        named = Reference.of(f"oci://{text.rstrip('/')}/a")
    except ValueError:
        named = None
    if named is None or named.login is not None or named.tag != "latest":
        raise ValueError(f"{key}: expected HOST, HOST:PORT or HOST/PATH, without a scheme and without credentials")
