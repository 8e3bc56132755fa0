"""`lading images` and `lading outdated`."""

import sys
from collections.abc import Iterator
from typing import Final

import click

from lading.adapters.catalogs.remotes import of_remote
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, image_record, print_error, say_row, size_text
from lading.adapters.cli.session import Session, command_options
from lading.domain.newest import NewestImage
from lading.ports.catalog import ImageListing
from lading.ports.failures import CatalogUnavailable
from lading.ports.image import Image

__all__ = ["FILE_CATALOG", "images", "listed_images", "outdated", "print_image"]

FILE_CATALOG: Final = 'use one of [catalog] kind = "file"'
_WIDTHS: Final = (36, 24, 9, 6)
_SHOWN: Final = 12
"""Hex digits of a digest."""


@click.command(short_help="List the images of the catalog or of a remote.", epilog="Example: lading images ubuntu:")
@click.argument("remote", metavar="[REMOTE:]", default="")
@click.option("--filter", "text", metavar="TEXT", default="", help="List only images with TEXT in the name or the id.")
@command_options
def images(session: Session, remote: str, text: str) -> None:
    """List the images of the catalog, or of REMOTE: id, name, size, format and status."""
    for image in listed_images(session, remote):
        if text.lower() in f"{image.id} {image.name or ''}".lower():
            print_image(session, image)


def print_image(session: Session, image: Image) -> None:
    """Prints one image of a list."""
    if session.json:
        as_json(image_record(image))
    else:
        cells = (image.id, image.name or "-", size_text(image.size), image.disk_format or "-", image.status)
        say_row(cells, _WIDTHS)


@click.command(
    short_help="List targets whose image's name means a newer image by now.", epilog="Example: lading outdated"
)
@command_options
def outdated(session: Session) -> None:
    """List the recorded targets whose image's name, or URL, means another image by now: target, name, both digests.

    Nothing is changed. To replace such a target: lading fetch NAME TARGET --force. The exit code is 9 when there are
    such targets, else 7 when it cannot be told of some, else 0.
    """
    code = Exit.DONE
    for found in session.container.dispatcher().newest():
        if session.json:
            as_json(_record(found))
        elif found.is_newer:
            newest = found.image and _version(found.image)
            recorded = found.association.image and _version(found.association.image)
            say_row((found.association.target, found.reference, recorded or "-", newest or "-"), _WIDTHS)
        elif found.is_newer is None:
            print_error(f"{found.association.target}: it cannot be told whether it is outdated: {found.reason}")
        if found.is_newer:
            code = Exit.OUTDATED
        elif found.is_newer is None and code is Exit.DONE:
            code = Exit.FAILED
    if code is not Exit.DONE:
        sys.exit(code)


def _version(image: Image) -> str:
    """The digest, cut, or else the id."""
    digest = image.expected_digest
    return f"{digest.algorithm}:{digest.value[:_SHOWN]}" if digest else image.id


def _record(found: NewestImage) -> dict[str, object]:
    recorded = found.association.image
    return {
        "target": found.association.target,
        "reference": found.reference,
        "image": recorded.id if recorded else None,
        "newest": found.image.id if found.image else None,
        "digest": str(found.image.expected_digest) if found.image and found.image.expected_digest else None,
        "outdated": found.is_newer,
        "reason": masked(found.reason) if found.reason else None,
    }


def listed_images(session: Session, remote: str) -> Iterator[Image]:
    """The images of a remote, `NAME:`, or of the default catalog where it is empty."""
    name = remote.strip().removesuffix(":") or None
    catalog = session.container.catalog().remote(name)
    if not isinstance(catalog, ImageListing):
        what = f"the remote {name}" if name else "this catalog"
        session.fail(CatalogUnavailable(f"{what} cannot be listed", advice="" if name else FILE_CATALOG))
    return catalog.images() if name is None else (of_remote(name, each) for each in catalog.images())
