"""`lading images` and `lading outdated`."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from lading.adapters.catalogs.remotes import of_remote
from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_remotes
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, image_record, print_error, when_text
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import Column, print_table
from lading.adapters.codec.sizes import size_text
from lading.domain.newest import NewestImage
from lading.ports.catalog import ImageListing
from lading.ports.failures import CatalogUnavailable
from lading.ports.image import Image

__all__ = ["FILE_CATALOG", "images", "list_options", "outdated", "print_images"]

FILE_CATALOG: Final = 'use one of [catalog] kind = "file"'
_COLUMNS: Final = (
    Column("ID", 1),
    Column("NAME", 5, least=16),
    Column("SIZE", 4, is_number=True),
    Column("FORMAT", 2, least=6),
    Column("STATUS", 3, least=6),
    Column("AGE", 0, is_number=True),
)
_OUTDATED_COLUMNS: Final = (
    Column("TARGET", 4, least=16, keeps_end=True),
    Column("NAME", 3, least=16),
    Column("RECORDED", 1),
    Column("NEWEST", 2),
)
_SORT_KEYS: Final[Mapping[str, Callable[[Image], Any]]] = {
    "id": lambda image: image.id,
    "name": lambda image: (image.name or "", image.id),
    "size": lambda image: (-(image.size or 0), image.name or ""),
    "format": lambda image: (image.disk_format or "", image.name or ""),
    "status": lambda image: (image.status, image.name or ""),
    "age": lambda image: (-created.timestamp() if (created := _created(image)) else math.inf, image.name or ""),
}
_SHOWN: Final = 12
"""Hex digits of a digest."""


def list_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the argument and the options of a list of images to a command."""
    sort = click.option(
        "--sort",
        type=click.Choice([*_SORT_KEYS]),
        help="Sort by this column: the largest or newest first. Default: the catalog's order.",
    )
    text_help = "List only images with TEXT in the name or the id."
    text = click.option("--filter", "text", metavar="TEXT", default="", help=text_help)
    remote = click.argument("remote", metavar="[REMOTE:[TEXT]]", default="", shell_complete=complete_remotes)
    return remote(text(sort(command)))


@command(
    examples=[
        ("lading images", "Lists the images of the catalog."),
        ("lading images ubuntu: --filter 24.04", "Lists those of the remote ubuntu with 24.04 in the name or the id."),
    ]
)
@list_options
@command_options
def images(session: Session, remote: str, text: str, sort: str | None) -> None:
    """List the images of the catalog, or of REMOTE: id, name, size, format, status and age. TEXT is as in --filter."""
    print_images(session, remote, text, sort)


def print_images(session: Session, remote: str, text: str, sort: str | None) -> None:
    """Prints the images of a remote, `NAME:` or `NAME:TEXT`, or of the default catalog."""
    name, _, of_name = remote.strip().partition(":")
    texts = [of_name.lower(), text.lower()]
    found: Iterable[Image] = (
        image
        for image in listed_images(session, name)
        if all(each in f"{image.id} {image.name or ''}".lower() for each in texts)
    )
    if sort is not None:
        found = sorted(found, key=_SORT_KEYS[sort])
    if session.json:
        for image in found:
            as_json(image_record(image))
    else:
        print_table(_COLUMNS, map(_cells, found))


def _cells(image: Image) -> tuple[str, ...]:
    created = _created(image)
    age = when_text(created) if created else "-"
    return image.id, image.name or "-", size_text(image.size), image.disk_format or "-", image.status, age


def _created(image: Image) -> datetime | None:
    """The time when the image was made, where the catalog has it as Glance has; None: it has none."""
    try:
        created = datetime.fromisoformat(str(image.properties.get("created_at")))
        return created if created.tzinfo else created.replace(tzinfo=UTC)
    except ValueError:
        return None


@command(
    examples=[
        ("lading outdated", "Lists the outdated targets; the exit code is 9 when there are some."),
        ("lading outdated --quiet || echo outdated", "Prints only whether there are outdated targets, for a script."),
    ]
)
@command_options
def outdated(session: Session) -> None:
    """List the recorded targets whose image's name, or URL, means another image by now: target, name, both digests.

    Nothing is changed. To replace such a target: lading fetch NAME TARGET --force. The exit code is 9 when there are
    such targets, else 7 when it cannot be told of some, else 0.
    """
    states: set[bool | None] = set()
    found = _noted(session.container.dispatcher().newest(), states)
    if session.json:
        for each in found:
            as_json(_record(each))
    else:
        print_table(_OUTDATED_COLUMNS, _newer(found))
    if True in states:
        sys.exit(Exit.OUTDATED)
    if None in states:
        sys.exit(Exit.FAILED)


def _noted(found: Iterator[NewestImage], states: set[bool | None]) -> Iterator[NewestImage]:
    """Yields the same, and adds what was found to the states."""
    for each in found:
        states.add(each.is_newer)
        yield each


def _newer(found: Iterator[NewestImage]) -> Iterator[Sequence[str]]:
    """The lines of the targets that are outdated. Prints an error for each of which it cannot be told."""
    for each in found:
        if each.is_newer:
            yield _outdated_cells(each)
        elif each.is_newer is None:
            target = each.association.target
            print_error(f"{target}: it cannot be told whether it is outdated: {each.reason}")


def _outdated_cells(found: NewestImage) -> tuple[str, ...]:
    newest = found.image and _version(found.image)
    recorded = found.association.image and _version(found.association.image)
    return found.association.target, found.reference, recorded or "-", newest or "-"


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
    """The images of a remote, or of the default catalog where its name is empty."""
    name = remote or None
    catalog = session.container.catalog().remote(name)
    if not isinstance(catalog, ImageListing):
        what = f"the remote {name}" if name else "this catalog"
        session.fail(CatalogUnavailable(f"{what} cannot be listed", advice="" if name else FILE_CATALOG))
    return catalog.images() if name is None else (of_remote(name, each) for each in catalog.images())
