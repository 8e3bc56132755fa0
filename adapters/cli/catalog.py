"""`lading catalog`: adds, lists, shows and removes the images of a catalog."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click
from returns.result import Failure

from lading.adapters.catalogs.url_reference import is_url
from lading.adapters.cli.arguments import PATH
from lading.adapters.cli.command import group
from lading.adapters.cli.completions import complete_formats, complete_images
from lading.adapters.cli.images import FILE_CATALOG, list_options, print_images
from lading.adapters.cli.output import as_json, image_record, say
from lading.adapters.cli.progress import progress_bar, progress_option
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.url_options import UrlOptions, url_options
from lading.adapters.codec.sizes import size_text
from lading.adapters.formats.inspection import agrees, not_a_disk, unsafe
from lading.adapters.formats.scan import Scan, scan, scan_packed
from lading.adapters.formats.unpacking.unpacked import HEAD, packing
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.safe_open import absolute_path, open_regular
from lading.adapters.stream.sources import FileSource
from lading.ports.catalog import ImageListing, ImageRegistry
from lading.ports.context import ANONYMOUS
from lading.ports.failures import CatalogUnavailable
from lading.ports.image import Digest, Image
from lading.ports.location import Location
from lading.ports.observer import Observer

__all__ = ["catalog"]

_NAMESPACE: Final = "6ee75ad1-2e7e-4d1c-b71b-9b3b3f9a7a0d"
"""The namespace of the ids that are made from a name and a digest (RFC 9562, version 5); a random UUID."""


@group(
    examples=[
        ("lading catalog add noble.img", "Adds the file noble.img of this folder to the catalog, as noble."),
        ("lading catalog ls", "Lists the images."),
        ("lading catalog rm noble", "Removes the image noble; its file stays."),
    ]
)
def catalog() -> None:
    """Add, list, show and remove the images of the catalog.

    add and rm need a catalog of this host. For a cloud's catalog (Glance) use openstack image create and delete.
    """


@catalog.command(
    short_help="Add an image to the catalog: a file, or a URL.",
    examples=[
        ("lading catalog add /srv/images/noble.img", "Adds the file as the image noble."),
        ("lading catalog add noble-2.img --name noble --replace", "Gives the name noble to a newer image."),
        (
            "lading catalog add https://cloud.example/noble.img --name noble",
            "Adds the image at the URL; the first fetch reads its bytes.",
        ),
    ],
)
@click.argument("file", type=PATH)
@click.option("--name", help="The name of the image. Default: the file's name without its ending.")
@click.option("--id", "image_id", help="The id of the image. Default: a UUID made from the name and the digest.")
@click.option(
    "--disk-format",
    metavar="FORMAT",
    shell_complete=complete_formats,
    help="The format: raw, qcow2, … Default: the format that the file has.",
)
@click.option("--algorithm", default="sha512", show_default=True, help="The hash algorithm of the digest.")
@click.option("--member", metavar="NAME", help="The name of the disk in an archive of several.")
@click.option("--replace", "replaces", is_flag=True, help="Remove other images of this name from the catalog.")
@url_options
@progress_option
@command_options
def add(
    session: Session,
    file: str,
    name: str | None,
    image_id: str | None,
    disk_format: str | None,
    algorithm: str,
    member: str | None,
    *,
    replaces: bool,
    url: UrlOptions,
) -> None:
    """Add the image in FILE to the catalog: hash it, detect its format, and refuse an unsafe one.

    FILE may be packed: compressed, or an archive such as an OVA. The disk in it is hashed and inspected too.

    The file stays where it is: the catalog records its path. A file with the name and content of a catalog's image is
    that image, and only its path is added.

    FILE may be an http or https URL. Then only what its server and its checksum file say of it is recorded, and the
    image is not fetched.

    With --replace, the name passes from an older image to this one. Targets fetched from the older image stay, and stay
    recorded.
    """
    file = url.reference(session, file)
    registry = _registry(session)
    data = None if is_url(file) else absolute_path(file)
    if data is None:
        described = _described(session, file, disk_format)
    else:
        _check_algorithm(algorithm)
        described = _scanned(session, data, algorithm, disk_format, member)
    name = name or Path(described.name or "").stem
    new = replace(described, id=image_id or _id_of(name, described.digest or described.id), name=name)
    namesakes = _namesakes(session, name)
    known = next((each for each in namesakes if _is_same(each, new) and image_id in {None, each.id}), None)
    image = known or new
    others = [each for each in namesakes if each.id != image.id]
    if others and not replaces:
        raise click.BadParameter(_name_conflict(name, others), param_hint="--name")
    locations = [*new.locations, *(each for each in image.locations if each not in new.locations)]
    image = replace(image, disk_format=disk_format or image.disk_format, locations=locations)
    session.value(registry.add(image, data))
    # In this order: a crash in between leaves two images of that name, and never none.
    for other in others:
        session.value(registry.discard(other.id))
    _print_added(session, image, others, is_known=known is not None)


def _described(session: Session, url: str, disk_format: str | None) -> Image:
    """The image at a URL, which is not read."""
    found = session.value(session.container.catalog().find(url, ANONYMOUS))
    properties = {key: value for key, value in found.properties.items() if key != "self"}
    return replace(found, disk_format=disk_format, properties=properties)


def _scanned(session: Session, path: str, algorithm: str, declared: str | None, member: str | None) -> Image:
    """The image in a file, which is read. Ends the command for a file that cannot be read or is unsafe."""
    scanned = _scan(session, path, algorithm, declared, member)
    return Image(
        path,
        Path(path).name,
        size=scanned.size,
        disk_format=_checked_format(session, scanned, path, declared),
        container_format=_container(scanned),
        digest=scanned.digest,
        content_size=scanned.content.size if scanned.content else None,
        content_digest=scanned.content.digest if scanned.content else None,
        locations=[Location(f"file://{quote(os.fsencode(path))}")],
    )


def _is_same(image: Image, other: Image) -> bool:
    """Tells whether both have the same content: the same digest, or, without one, the same id."""
    return image.digest == other.digest if other.digest else image.id == other.id


def _print_added(session: Session, image: Image, removed: Sequence[Image], *, is_known: bool) -> None:
    if session.json:
        as_json(image_record(image))
        return
    if is_known:
        say(f"{image.id} {image.name}: is in the catalog already, with this content")
    else:
        format_text = image.disk_format or "of a format that the first fetch finds"
        say(f"{image.id} {image.name}: {size_text(image.size)}, {format_text}, {image.digest or 'without a digest'}")
    for each in removed:
        say(f"{each.id} {each.name}: removed from the catalog; its file and the targets fetched from it stay")


def _namesakes(session: Session, name: str) -> Sequence[Image]:
    """The images of that name; none where the catalog cannot list its images."""
    catalog = session.container.default_catalog()
    return [each for each in catalog.images() if each.name == name] if isinstance(catalog, ImageListing) else ()


def _name_conflict(name: str, images: Sequence[Image]) -> str:
    ids = ", ".join(each.id for each in images)
    subject = f"image {ids} has" if len(images) == 1 else f"images {ids} have"
    return f"{subject} the name {name!r} already; --replace gives it to this file, --name gives this file another name"


def _id_of(name: str, digest: Digest | str) -> str:
    """Returns an id that is the same for the same name and content on all hosts (RFC 9562, version 5)."""
    import uuid  # noqa: PLC0415 - only this command needs it

    return str(uuid.uuid5(uuid.UUID(_NAMESPACE), f"{digest} {name!a}"))


def _container(scanned: Scan) -> str:
    """Returns Glance's name of the container."""
    if scanned.content is None:
        return "bare"
    return "ova" if "ova" in scanned.content.layers else "compressed"


def _scan(session: Session, path: str, algorithm: str, declared: str | None, member: str | None) -> Scan:
    """Reads the file with a progress bar. Ends the command when it cannot be read."""
    opened = open_regular(path)
    if isinstance(opened, Failure):
        raise click.BadParameter(opened.failure(), param_hint="FILE")
    with closing(FileSource(opened.unwrap())) as source, progress_bar(Path(path).name) as observer:
        landing = session.container.settings().landing
        packed_as = packing(source.first_bytes(HEAD)) if landing.unpack else None
        read = partial(_report, observer, source.size)
        try:
            if packed_as is None or (declared and agrees(declared, frozenset({packed_as}))):
                return scan(source, algorithm, read)
            return scan_packed(source, algorithm, read, most=landing.max_unpacked, member=member)
        except SourceBroken as broken:
            session.fail(CatalogUnavailable(f"{path}: {broken}"))
        except Refused as refused:
            raise click.BadParameter(f"{path}: {refused}", param_hint="FILE") from refused


def _report(observer: Observer, total: int, done: int) -> None:
    """Reports bytes that were read; a packed file may have more in it than it has itself."""
    observer.progress(done, max(done, total))


def _check_algorithm(algorithm: str) -> None:
    try:
        hashlib.new(algorithm, usedforsecurity=False).hexdigest()
    except (ValueError, TypeError) as error:
        # hashlib raises a TypeError for algorithms whose digest may have any length.
        message = f"{algorithm!r} is not a hash algorithm of this Python; use sha512, for example"
        raise click.BadParameter(message, param_hint="--algorithm") from error


def _checked_format(session: Session, scanned: Scan, path: str, declared: str | None) -> str:
    """Returns the disk format. Raises BadParameter for an unsafe file, a wrong declaration or no disk image."""
    inspects = session.container.settings().landing.inspect  # without it `fetch` accepts these files too
    if inspects and (other := scanned.other_file) and not (declared and agrees(declared, scanned.formats)):
        raise click.BadParameter(f"{path}: {not_a_disk(other)}", param_hint="FILE")
    disk_format = _disk_format(scanned, path, declared)
    if inspects and scanned.dangers:
        raise click.BadParameter(f"{path}: {unsafe(scanned.dangers)}", param_hint="FILE")
    return disk_format


def _disk_format(scanned: Scan, path: str, declared: str | None) -> str:
    """Returns Glance's name of the format. A disk with a partition table is raw; an ISO may have one too."""
    found = " and ".join(sorted(scanned.formats - {"gpt"})) or "raw"
    if not agrees(declared or found, scanned.formats):
        message = f"{path} is {found}, not {declared}" if declared else f"{path} looks like {found} at once"
        raise click.BadParameter(message, param_hint="--disk-format" if declared else "FILE")
    return declared or found


@catalog.command(
    "ls",
    short_help="List the images.",
    examples=[
        ("lading catalog ls", "Lists the images of the catalog."),
        ("lading catalog ls ubuntu:", "Lists the images of the remote ubuntu."),
    ],
)
@list_options
@command_options
def list_images(session: Session, remote: str, text: str, sort: str | None) -> None:
    """List the images of the catalog, or of REMOTE: id, name, size, format, status and age. TEXT is as in --filter."""
    print_images(session, remote, text, sort)


@catalog.command(
    "show",
    short_help="Show one image as JSON.",
    examples=[
        ("lading catalog show noble", "Prints the image noble, with its digest and its locations."),
        ("lading catalog show 6ee75ad1", "Prints the image whose id begins with these digits."),
    ],
)
@click.argument("image", shell_complete=complete_images)
@command_options
def show_image(session: Session, image: str) -> None:
    """Show IMAGE (an id, a name, REMOTE:NAME or a URL) as JSON, in the form of Glance's API.

    Credentials in its locations are masked.
    """
    catalog = session.container.catalog()
    image = session.full_reference(image)
    record = image_record(session.value(catalog.find(image, ANONYMOUS)))
    as_json(record, indent=None if session.json else 2)


@catalog.command(
    "rm",
    short_help="Remove an image from the catalog; keep its file.",
    examples=[
        ("lading catalog rm noble", "Removes the image noble from the catalog; its file stays."),
        ("lading catalog rm 6ee75ad1", "Removes the only image whose id begins with these digits."),
    ],
)
@click.argument("image", shell_complete=complete_images)
@command_options
def discard(session: Session, image: str) -> None:
    """Remove IMAGE (an id or a name) from the catalog.

    The image's file stays, and so do the targets that were fetched from it.
    """
    registry = _registry(session)
    image = session.full_reference(image)
    found = session.value(session.container.default_catalog().find(image, ANONYMOUS))
    session.value(registry.discard(found.id))
    if session.json:
        as_json(image_record(found))
    else:
        say(f"{found.id} {found.name or ''}: removed from the catalog; its file stays")


def _registry(session: Session) -> ImageRegistry:
    catalog = session.container.default_catalog()
    if not isinstance(catalog, ImageRegistry):
        session.fail(
            CatalogUnavailable("images cannot be added to this catalog or removed from it", advice=FILE_CATALOG)
        )
    return catalog
