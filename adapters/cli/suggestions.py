"""Finds what was meant: names close to an unknown one, ids by their first digits, swapped arguments."""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from lading.adapters.catalogs.remotes import split_reference
from lading.adapters.cli.common_options import CommonOptions
from lading.ports.catalog import ImageCatalog, ImageListing, ImageRegistry
from lading.ports.failures import AmbiguousImage, LadingError

if TYPE_CHECKING:
    from lading.adapters.container import Container

__all__ = [
    "check_order",
    "close_images",
    "close_targets",
    "corrected",
    "full_reference",
    "is_local",
    "may_be_short_id",
    "meant",
]

_SHORT_ID: Final = re.compile(r"[0-9A-Fa-f]{8}[0-9A-Fa-f-]{0,27}")
"""The first digits of a UUID. Fewer than eight could be a name, for example `2404` or `cafe`."""
_IS_TARGET: Final = re.compile(r"/|\.{1,2}/|~/|rbd:|cinder:")
"""Beginnings that targets have and images do not."""
_MOST_TARGETS: Final = 10_000
_CLOSE: Final = 0.8
"""The least similarity of targets: those of one folder are similar anyway."""


def is_local(catalog: ImageCatalog) -> bool:
    """Tells whether the catalog lists its images without a request to a server: those that can be changed here can."""
    return isinstance(catalog, ImageListing) and isinstance(catalog, ImageRegistry)


def meant(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Returns the known names that are close to this one, the closest first. Upper and lower case are the same.

    >>> meant("Nobel", ["noble", "jammy"])
    ['noble']
    """
    by_lower = {each.lower(): each for each in known}
    return [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, cutoff=cutoff)]


def close_images(container: "Container", reference: str) -> list[str]:
    """Returns references that are close to one that was not found: of remotes, and of images of this host."""
    remotes = container.settings().remotes
    remote, name = split_reference(reference, remotes)
    prefix, colon, rest = reference.partition(":")
    found = [f"{each}:{rest}" for each in meant(prefix, remotes)] if colon and remote is None else []
    with suppress(LadingError):
        catalog = container.catalog().remote(remote)
        if is_local(catalog) and isinstance(catalog, ImageListing):
            names = meant(name, (each for image in catalog.images() for each in (image.name, image.id) if each))
            found += names if remote is None else [f"{remote}:{each}" for each in names]
    return found


def close_targets(container: "Container", target: str) -> list[str]:
    """Returns recorded targets that are close to one that is not recorded."""
    with suppress(LadingError):
        recorded = islice(container.associations().list(), _MOST_TARGETS)
        return meant(target, (each.target for each in recorded), _CLOSE)
    return []


def may_be_short_id(reference: str) -> bool:
    """Tells whether the reference may have the first digits of an id.

    >>> may_be_short_id("155d900f"), may_be_short_id("lab:155d900f-4e14"), may_be_short_id("noble")
    (True, True, False)
    """
    return _SHORT_ID.fullmatch(reference.rpartition(":")[2]) is not None


def full_reference(container: "Container", reference: str) -> str:
    """Returns a reference with the full id for one with the first digits of an id, at least eight.

    Any other reference stays as it is, also one to a catalog that is not on this host: Glance cannot search for the
    beginning of an id. An image with exactly this id or name comes first. Raises AmbiguousImage.
    """
    remote, start = split_reference(reference, container.settings().remotes)
    catalog = container.catalog().remote(remote)
    if not may_be_short_id(start) or not is_local(catalog) or not isinstance(catalog, ImageListing):
        return reference
    images = [*catalog.images()]
    ids = [image.id for image in images if image.id.lower().startswith(start.lower())]
    if not ids or any(start in {image.id, image.name} for image in images):
        return reference
    if len(ids) > 1:
        raise AmbiguousImage(reference, tuple(ids))
    return f"{reference.removesuffix(start)}{ids[0]}"


def corrected(changes: Mapping[str, str]) -> str | None:
    """Returns the command line with other words for some of its words, to be copied; None where it has none of them."""
    words = CommonOptions.of(click.get_current_context()).words
    new = [changes.get(each, each) for each in words]
    return shlex.join(["lading", *new]) if new != [*words] else None


def check_order(image: str, target: str) -> None:
    """Raises UsageError for an image that begins like a target and a target that does not: they are swapped."""
    if _IS_TARGET.match(image) and (not _IS_TARGET.match(target) and ("/" not in target or "://" in target)):
        command = corrected({image: target, target: image}) or ""
        raise click.UsageError(f"IMAGE comes before TARGET, and they look swapped. The other way round: {command}")
