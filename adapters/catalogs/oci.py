"""Images in registries of the OCI."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
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

_log = logging.getLogger(__name__)
_SCHEME: Final = "oci://"
_MOST_LISTED: Final = 10_000
"""Images of a list."""
_MOST_REPOSITORIES: Final = 1000
"""Each is a request for its tags."""
_ABSENT: Final = frozenset({400, 404})
"""Statuses of a registry's answer for what it does not have, or cannot have."""
_REFUSED: Final = frozenset({401, 403})


class OciCatalog:
    """Disk images in registries: an ImageCatalog and ImageListing.

    Finds an image by `oci://HOST/REPOSITORY:TAG` or its digest.

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
        self._prefix = None if settings.registry is None else _in_plain_form(settings.registry.rstrip("/"))
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

    def images(self) -> Iterator[Image]:
        """The tags of the settings' repository, and of those beneath it: names only.

        The digest and the size of an image take further requests, which `find` makes.
        """
        if self._prefix is None:
            raise CatalogUnavailable("images are listed of one registry only: set `registry`")
        try:
            found = list(islice(self._tagged(), _MOST_LISTED + 1))
        except SourceBroken as broken:
            raise CatalogUnavailable(f"{self._title} cannot be listed: {broken}") from broken
        if len(found) > _MOST_LISTED:
            _log.warning("%s has more than %d images: the others are left out", self._title, _MOST_LISTED)
        images = [Image(str(each), self._short_name(each)) for each in found[:_MOST_LISTED]]
        return iter(sorted(images, key=lambda image: (image.name or "", image.id)))

    def _tagged(self) -> Iterator[Reference]:
        """The tags. Raises SourceBroken."""
        host, _, path = (self._prefix or "").partition("/")
        registry = self._with_login(Reference(host, path))
        has_tags = False
        if path:
            try:
                for each in self._tags_of(registry):
                    has_tags = True
                    yield each
            except HttpRefused as refused:
                if refused.status not in _ABSENT | _REFUSED:  # there may be repositories beneath it
                    raise
        try:
            repositories = list(islice(self._registries.repositories(registry, trusted=True), _MOST_REPOSITORIES))
        except SourceBroken as broken:
            if has_tags:
                return
            if not isinstance(broken, HttpRefused):
                raise
            hint = 'it may list no repositories: set `registry` to one, "HOST/REPOSITORY"'
            raise SourceBroken(f"{broken}; {hint}") from broken
        for name in repositories:
            if name.startswith(f"{path}/" if path else ""):
                with suppress(HttpRefused):  # a repository without tags is not found, and one may be another's
                    yield from self._tags_of(replace(registry, repository=name))

    def _tags_of(self, repository: Reference) -> Iterator[Reference]:
        if not _is_reference(repository, "latest"):
            return  # a name that no repository can have
        for tag in self._registries.tags(repository, trusted=True):
            if _is_reference(repository, tag):
                yield replace(repository, tag=tag)

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
        try:
            return self._with_login(Reference.of(f"{_SCHEME}{self._prefix}{joint}{reference}"))
        except ValueError:
            raise ValueError("expected REPOSITORY:TAG or REPOSITORY@sha256:…, in lower case") from None

    def _with_login(self, named: Reference) -> Reference:
        """The reference with the settings' credentials, where it is of the settings' registry."""
        if named.login is not None or self._login is None or self._prefix is None:
            return named
        own = self._prefix.partition("/")[0]
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
        """The name by which this catalog finds the image: what follows the settings' registry, or else all."""
        whole = str(named).removeprefix(_SCHEME)
        if self._prefix is not None and whole.startswith(tuple(f"{self._prefix}{each}" for each in "/:@")):
            return whole.removeprefix(self._prefix).removeprefix("/")
        return str(named)

    def _locations(self, blob: Reference, context: Context) -> Sequence[Location]:
        """The blob in its registry, and in the mirrors."""
        if self._prefix is None or not self._is_own(blob):
            return [Location(blob.url, trusted=context == ANONYMOUS)]
        path = f"{blob.registry}/{blob.repository}".removeprefix(self._prefix)
        mirrored = (f"{_SCHEME}{mirror}{path}@{blob.digest}" for mirror in self._mirrors)
        return [Location(url, trusted=True) for url in (blob.url, *mirrored)]


def _is_reference(repository: Reference, tag: str) -> bool:
    """Tells whether the repository and the tag have names that can be, so that the reference finds the image."""
    named = replace(repository, tag=tag, login=None)
    try:
        return Reference.of(str(named)) == named
    except ValueError:
        return False


def _in_plain_form(registry: str) -> str:
    """`HOST[:PORT][/PATH]` with the host and the port as references have them."""
    host, slash, path = registry.partition("/")
    return f"{Reference.of(f'{_SCHEME}{host}/a').registry}{slash}{path}"
