"""Images in registries of the OCI."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.oci.manifest import disk_format, host_architecture
from lading.adapters.oci.reference import Login, Reference
from lading.adapters.oci.registry import Registries
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpRefused
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import CatalogFailure, CatalogUnavailable, ImageNotFound
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["OciCatalog"]

_SCHEME: Final = "oci://"
_ABSENT: Final = frozenset({400, 404})
"""Statuses of a registry's answer for what it does not have, or cannot have."""
_REFUSED: Final = frozenset({401, 403})


class OciCatalog:
    """Disk images in registries: an ImageCatalog. Finds an image by `oci://HOST/REPOSITORY:TAG` or its digest.

    With a registry in the settings, a reference is what follows that: `noble:1.2`, or `:1.2` and `@sha256:…` where the
    registry's path is the repository. A request without a user is the operator's: the registry that it names is
    trusted, as that of the settings always is. Registries that a user names are guarded as locations are.
    """

    def __init__(
        self,
        registries: Registries,
        settings: OciCatalogSettings = OciCatalogSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._registries = registries
        self._architecture = settings.architecture or host_architecture()
        self._prefix = None if settings.registry is None else settings.registry.rstrip("/")
        self._mirrors = tuple(mirror.rstrip("/") for mirror in settings.mirrors)
        self._login = None
        if settings.username is not None and settings.password is not None:
            self._login = Login(settings.username, settings.password)

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            named = self._named(reference)
        except ValueError as error:
            return Failure(ImageNotFound(reference, self._title, str(error)))
        try:
            return Success(self._image(named, context))
        except HttpRefused as refused:
            if refused.status in _ABSENT:
                return Failure(ImageNotFound(reference, f"the registry {named.registry}"))
            hint = ": are there credentials for it, and is it there?" if refused.status in _REFUSED else ""
            return Failure(CatalogUnavailable(f"{named} cannot be read: {refused}{hint}"))
        except SourceBroken as broken:
            return Failure(CatalogUnavailable(f"{named} cannot be read: {broken}"))

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        """The blob's location, also for an image as an association remembers it."""
        if image.digest is None:
            return Success(image.locations)
        try:
            named = self._with_login(Reference.of(image.id))
        except ValueError as error:
            return Failure(CatalogUnavailable(f"image {image.id}: {error}"))
        return Success(self._locations(named.with_digest(image.digest), context))

    @property
    def _title(self) -> str:
        return f"the registry {self._prefix}" if self._prefix else "a registry"

    def _named(self, reference: str) -> Reference:
        """Raises ValueError."""
        if reference.strip().lower().startswith(_SCHEME):
            return self._with_login(Reference.of(reference))
        if self._prefix is None:
            raise ValueError("expected oci://HOST/REPOSITORY:TAG")
        joint = "" if reference.startswith((":", "@")) else "/"
        return self._with_login(Reference.of(f"{_SCHEME}{self._prefix}{joint}{reference}"))

    def _with_login(self, named: Reference) -> Reference:
        """The reference with the settings' credentials, where it is of the settings' registry."""
        if named.login is not None or self._login is None or self._prefix is None:
            return named
        own = self._prefix.partition("/")[0].lower()
        return replace(named, login=self._login) if named.registry == own else named

    def _is_own(self, named: Reference) -> bool:
        """Tells whether the repository is in the settings' registry, at its path."""
        return f"{named.registry}/{named.repository}/".startswith(f"{self._prefix}/")

    def _image(self, named: Reference, context: Context) -> Image:
        """Raises HttpRefused and SourceBroken."""
        trusted = context == ANONYMOUS or self._is_own(named)
        found, entry = self._registries.manifest(named, trusted=trusted), None
        try:
            if found.manifest.is_index:
                entry = found.manifest.for_host(self._architecture)
                found = self._registries.manifest(named.with_digest(entry.digest), trusted=trusted)
                if found.manifest.is_index:
                    raise SourceBroken("its index names another index")
            disk = found.manifest.disk()
        except ValueError as error:
            raise SourceBroken(str(error)) from None
        return Image(
            str(named.with_digest(found.digest)),
            self._short_name(named),
            size=disk.size,
            disk_format=disk_format(found.manifest, disk, entry),
            digest=disk.digest,
            locations=self._locations(named.with_digest(disk.digest), context),
            properties={"self": str(named)},
        )

    def _short_name(self, named: Reference) -> str:
        """The name by which this catalog finds the image: what follows the settings' registry."""
        whole = f"{named.registry}/{named.name}"
        if self._prefix is not None and whole.startswith((f"{self._prefix}/", f"{self._prefix}:")):
            return whole.removeprefix(self._prefix).removeprefix("/")
        return named.name

    def _locations(self, blob: Reference, context: Context) -> Sequence[Location]:
        """The blob in its registry, and in the mirrors."""
        if self._prefix is None or not self._is_own(blob):
            return [Location(blob.url, trusted=context == ANONYMOUS)]
        path = f"{blob.registry}/{blob.repository}".removeprefix(self._prefix)
        mirrored = (f"{_SCHEME}{mirror}{path}@{blob.digest}" for mirror in self._mirrors)
        return [Location(url, trusted=True) for url in (blob.url, *mirrored)]
