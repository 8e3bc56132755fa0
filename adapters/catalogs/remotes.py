"""Catalogs side by side: the default one, the remotes, and those of URLs."""

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from lading.adapters.catalogs.lookup import HREF
from lading.adapters.catalogs.policy import Policy, flaw
from lading.ports.catalog import ByteStream, ImageCatalog, ImageData
from lading.ports.context import Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogFailure,
    ImageNotFound,
    ImageUnproven,
    NoImageData,
    SettingsError,
)
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["RoutingCatalog", "of_remote", "split_reference"]

MakeCatalog = Callable[[], ImageCatalog]
_NONE: Final[Mapping[str, MakeCatalog]] = {}


def split_reference(reference: str, remotes: Container[str]) -> tuple[str | None, str]:
    """The remote that a reference names, and the reference there; None: it has no prefix that is a remote.

    >>> split_reference("ubuntu:24.04", {"ubuntu"}), split_reference("debian:12", {"ubuntu"})
    (('ubuntu', '24.04'), (None, 'debian:12'))
    """
    name, colon, rest = reference.partition(":")
    return (name, rest) if colon and name in remotes else (None, reference)


def of_remote(name: str, image: Image) -> Image:
    """The image with the remote's prefix before its id and its name: each leads back to the remote.

    >>> of_remote("ubuntu", Image("24.04/20261101", "noble"))
    Image(id='ubuntu:24.04/20261101', name='ubuntu:noble', ...)
    """
    return replace(image, id=f"{name}:{image.id}", name=f"{name}:{image.name}" if image.name else image.name)


class _Route(NamedTuple):
    """Where a reference or an id leads."""

    remote: str | None
    catalog: ImageCatalog
    reference: str
    """In that catalog."""


class RoutingCatalog:
    """An ImageCatalog, and ImageData, of several catalogs. Each image's id and name lead back to its own.

    `NAME:REFERENCE` is found in the remote NAME, and `SCHEME://…` in the catalog of that scheme, except Glance's hrefs.
    Any other reference is found in the default catalog, also one with a prefix that is no remote. A remote is made when
    it is first used.
    """

    def __init__(
        self,
        default: ImageCatalog,
        remotes: Mapping[str, MakeCatalog] = _NONE,
        schemes: Mapping[str, MakeCatalog] = _NONE,
        policies: Mapping[str | None, Policy] = MappingProxyType({}),
    ) -> None:
        """`remotes` by name, `schemes` by scheme in lower case; the values make the catalogs.

        `policies` by the remote's name, and under None the default catalog's. Others demand nothing.
        """
        self._default = default
        self._remotes = remotes
        self._schemes = schemes
        self._policies = policies
        self._made: dict[MakeCatalog, ImageCatalog] = {}
        self._lock = threading.Lock()

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        try:
            route = self._route(reference)
        except SettingsError as error:
            return Failure(error)
        found = route.catalog.find(route.reference, context)
        remote = route.remote
        if isinstance(found, Failure):
            return found if remote is None else Failure(_of_remote(remote, found.failure()))
        image = found.unwrap() if remote is None else of_remote(remote, found.unwrap())
        policy = self._policy(route)
        if (lacking := flaw(image, policy)) is not None:
            section = "[catalog]" if remote is None else f"[catalogs.{remote}]"
            return Failure(ImageUnproven(f'image {image.id}: {lacking}, and {section} policy is "{policy}"'))
        return Success(image)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        try:
            route = self._route(image.id)
        except SettingsError as error:
            return Failure(error)
        return route.catalog.locations(_in_catalog(route, image), context)

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        try:
            route = self._route(image.id)
        except SettingsError as error:
            return Failure(error)
        if not isinstance(route.catalog, ImageData):
            return Failure(NoImageData("its catalog gives no data"))
        return route.catalog.read(_in_catalog(route, image), offset, context)

    def remote(self, name: str | None) -> ImageCatalog:
        """The remote of that name; None: the default catalog. Raises SettingsError."""
        if name is None:
            return self._default
        if name not in self._remotes:
            known = ", ".join(sorted(self._remotes)) or "none"
            import difflib  # noqa: PLC0415 - only an error needs it

            close = difflib.get_close_matches(name, self._remotes, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise SettingsError(
                f"no remote is named {name!r} (known: {known})", advice=f"{meant}[catalogs.{name}] configures one"
            )
        return self._catalog(self._remotes[name])

    def _route(self, reference: str) -> _Route:
        """Raises SettingsError where the remote cannot be made."""
        remote, rest = split_reference(reference, self._remotes)
        if remote is not None:
            return _Route(remote, self.remote(remote), rest)
        scheme, is_url, _ = reference.partition("://")
        make = self._schemes.get(scheme.lower()) if is_url else None
        if make is not None and not HREF.fullmatch(reference):
            return _Route(None, self._catalog(make), reference)
        return _Route(None, self._default, reference)

    def _policy(self, route: _Route) -> Policy:
        """The policy of the remote, or of the default catalog. A URL by itself has none."""
        is_configured = route.remote is not None or route.catalog is self._default
        return self._policies.get(route.remote, "none") if is_configured else "none"

    def _catalog(self, make: MakeCatalog) -> ImageCatalog:
        with self._lock:
            if make not in self._made:
                self._made[make] = make()
            return self._made[make]


def _in_catalog(route: _Route, image: Image) -> Image:
    """The image as its own catalog knows it."""
    if route.remote is None:
        return image
    prefix = f"{route.remote}:"
    return replace(image, id=route.reference, name=image.name.removeprefix(prefix) if image.name else image.name)


def _of_remote(name: str, failure: CatalogFailure) -> CatalogFailure:
    """The failure with references as the caller writes them."""
    match failure:
        case ImageNotFound():
            return ImageNotFound(f"{name}:{failure.reference}", failure.catalog, failure.advice)
        case AmbiguousImage():
            return AmbiguousImage(f"{name}:{failure.reference}", tuple(f"{name}:{each}" for each in failure.ids))
    return failure
