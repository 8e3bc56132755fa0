"""`lading catalog`: images taken in, listed, shown and let go."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import quote

import click
from returns.result import Failure, Result, Success

from lading.adapters.cli.arguments import PATH, complete_images
from lading.adapters.cli.output import as_json, image_record, say, say_row, size_text
from lading.adapters.cli.progress import watching
from lading.adapters.cli.session import Session, command_options
from lading.adapters.formats.inspection import agrees, not_a_disk, unsafe
from lading.adapters.formats.scan import Scan, scan
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.safe_open import absolute_path, open_regular
from lading.adapters.stream.sources import FileSource
from lading.ports.catalog import ImageCatalog, ImageListing, ImageRegistry
from lading.ports.context import ANONYMOUS
from lading.ports.failures import CatalogFailure, CatalogUnavailable
from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = ["catalog"]

_WIDTHS: Final = (36, 24, 9, 6)
_NAMESPACE: Final = "6ee75ad1-2e7e-4d1c-b71b-9b3b3f9a7a0d"
"""Of the ids that follow from a name and a content; made at random."""


@click.group(short_help="Take images in, list, show and forget them.")
def catalog() -> None:
    """Say what images there are, where the catalog is this host's own."""


@catalog.command()
@click.argument("file", type=PATH)
@click.option("--name", help="What people call it; the file's name without its ending, if not given.")
@click.option("--id", "image_id", help="Its id; if not given, a UUID that follows from its name and content.")
@click.option("--disk-format", metavar="FORMAT", help="raw, qcow2, …; what is found in the file, if not given.")
@click.option("--algorithm", default="sha512", show_default=True, help="How its bytes are hashed.")
@click.option("--replace", "replaces", is_flag=True, help="Forget other images of that name.")
@command_options
def add(
    session: Session,
    file: str,
    name: str | None,
    image_id: str | None,
    disk_format: str | None,
    algorithm: str,
    *,
    replaces: bool,
) -> None:
    """Hash FILE, detect its format, check that it is safe, and register it where it lies.

    The same content under the same name is the same image: added twice, it is there once. With --replace, the name goes
    from an older image to this one. What was fetched of the older one stays, and stays recorded.
    """
    registry = _registry(session)
    path = absolute_path(file)
    _check_algorithm(algorithm)
    scan = session.value(_scan(path, algorithm))
    inspect = session.container.settings().landing.inspect  # else `fetch` takes it as well
    if inspect and (other := scan.other_file) and not (disk_format and agrees(disk_format, scan.formats)):
        raise click.BadParameter(f"{path}: {not_a_disk(other)}", param_hint="FILE")
    detected = _disk_format(scan, path, disk_format)
    if scan.dangers and inspect:
        raise click.BadParameter(f"{path}: {unsafe(scan.dangers)}", param_hint="FILE")
    name = name or Path(path).stem
    namesakes = _namesakes(session, name)
    known = next((each for each in namesakes if each.digest == scan.digest and image_id in {None, each.id}), None)
    image = known or Image(
        id=image_id or _id_of(name, scan.digest),
        name=name,
        size=scan.size,
        disk_format=detected,
        container_format="bare",
        digest=scan.digest,
    )
    others = [each for each in namesakes if each.id != image.id]
    if others and not replaces:
        raise click.BadParameter(_named_already(name, others, path), param_hint="--name")
    here = Location(f"file://{quote(os.fsencode(path))}")
    locations = [here, *(each for each in image.locations if each != here)]
    image = replace(image, disk_format=disk_format or image.disk_format, locations=locations)
    session.value(registry.add(image, data=path))
    # Afterwards: a crash in between leaves two of that name, and never none.
    for namesake in others:
        session.value(registry.discard(namesake.id))
    _tell(session, image, others, is_known=known is not None)


def _tell(session: Session, image: Image, forgotten: Sequence[Image], *, is_known: bool) -> None:
    if session.json:
        as_json(image_record(image))
        return
    if is_known:
        say(f"{image.id} {image.name}: is in the catalog already, with this content")
    else:
        say(f"{image.id} {image.name}: {size_text(image.size)}, {image.disk_format}, {image.digest}")
    for each in forgotten:
        say(f"{each.id} {each.name}: forgotten; its bytes, and what was fetched of it, stay where they are")


def _namesakes(session: Session, name: str) -> Sequence[Image]:
    """The images of that name, where the catalog can tell."""
    catalog = session.container.catalog()
    return [each for each in catalog.images() if each.name == name] if isinstance(catalog, ImageListing) else ()


def _named_already(name: str, images: Sequence[Image], path: str) -> str:
    ids = ", ".join(each.id for each in images)
    what = f"image {ids} is" if len(images) == 1 else f"images {ids} are"
    return f"{what} named {name!r} already: --replace gives that name to {path}, --name gives {path} another"


def _id_of(name: str, digest: Digest) -> str:
    """The same for the same content under the same name, on every host (RFC 9562, version 5)."""
    import uuid  # noqa: PLC0415 - every other command starts faster without it

    return str(uuid.uuid5(uuid.UUID(_NAMESPACE), f"{digest} {name!a}"))


def _scan(path: str, algorithm: str) -> Result[Scan, CatalogFailure]:
    def read(descriptor: int) -> Result[Scan, CatalogFailure]:
        source = FileSource(descriptor)
        try:
            with watching(path) as observer:
                return Success(scan(source, algorithm, lambda done: observer.progress(done, source.size)))
        except SourceBroken as broken:
            return Failure(CatalogUnavailable(f"{path}: {broken}"))
        finally:
            source.close()

    opened = open_regular(path)
    if isinstance(opened, Failure):
        raise click.BadParameter(opened.failure(), param_hint="FILE")
    return read(opened.unwrap())


def _check_algorithm(algorithm: str) -> None:
    try:
        hashlib.new(algorithm, usedforsecurity=False).hexdigest()
    except (ValueError, TypeError) as error:
        # A TypeError is of those whose digest may have any length.
        told = f"{algorithm!r} is no hash that can be computed here; sha512 is"
        raise click.BadParameter(told, param_hint="--algorithm") from error


def _disk_format(scan: Scan, path: str, declared: str | None) -> str:
    """The format's name as Glance would call it: a disk with a partition table is raw, an ISO may have one too."""
    match sorted(scan.formats - {"gpt"}):
        case []:
            found = "raw"
        case several:
            found = " and ".join(several)
    if not agrees(declared or found, scan.formats):
        told = f"{path} is {found}, not {declared}" if declared else f"{path} looks like {found} at once"
        raise click.BadParameter(told, param_hint="--disk-format" if declared else "FILE")
    return declared or found


@catalog.command("ls")
@command_options
def list_images(session: Session) -> None:
    """List the images."""
    for image in _listing(session).images():
        if session.json:
            as_json(image_record(image))
        else:
            cells = (image.id, image.name or "-", size_text(image.size), image.disk_format or "-", image.status)
            say_row(cells, _WIDTHS)


@catalog.command("show")
@click.argument("image", shell_complete=complete_images)
@command_options
def show_image(session: Session, image: str) -> None:
    """Show IMAGE's document, credentials hidden."""
    catalog: ImageCatalog = session.container.catalog()
    record = image_record(session.value(catalog.find(image, ANONYMOUS)))
    as_json(record, indent=None if session.json else 2)


@catalog.command("rm")
@click.argument("image", shell_complete=complete_images)
@command_options
def discard(session: Session, image: str) -> None:
    """Forget IMAGE. Its bytes stay where they are."""
    registry = _registry(session)
    catalog: ImageCatalog = session.container.catalog()
    found = session.value(catalog.find(image, ANONYMOUS))
    session.value(registry.discard(found.id))
    if session.json:
        as_json(image_record(found))
    else:
        say(f"{found.id} {found.name or ''}: forgotten; its bytes stay where they are")


def _registry(session: Session) -> ImageRegistry:
    catalog = session.container.catalog()
    return catalog if isinstance(catalog, ImageRegistry) else _unable(session, "take images in or let them go")


def _listing(session: Session) -> ImageListing:
    catalog = session.container.catalog()
    return catalog if isinstance(catalog, ImageListing) else _unable(session, "be listed")


def _unable(session: Session, verb: str) -> NoReturn:
    session.fail(CatalogUnavailable(f'this catalog can\'t {verb}; one of [catalog] kind = "file" can'))
