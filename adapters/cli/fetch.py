"""`lading fetch`."""

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import click

from lading.adapters.catalogs.remotes import split_reference
from lading.adapters.catalogs.url_reference import UrlReference, is_url
from lading.adapters.cli.arguments import (
    DISK_SIZE,
    PATH,
    SIZE,
    file_name,
    in_use_option,
    local_target,
    names_folder,
    target_in,
)
from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_images
from lading.adapters.cli.interruption import interruptible_fetch
from lading.adapters.cli.output import (
    as_json,
    attempt_records,
    form_record,
    proof_record,
    proof_text,
    say,
    say_parts,
    shipped_text,
)
from lading.adapters.cli.progress import image_title, progress_bar, progress_option
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.suggestions import check_order
from lading.adapters.cli.url_options import UrlOptions, url_options
from lading.adapters.codec.sizes import size_text
from lading.domain.attempts import FetchRequest, FetchResult
from lading.ports.context import ANONYMOUS
from lading.ports.form import Form
from lading.ports.image import GIVEN

__all__ = ["fetch", "request_options"]


def request_options(command: Callable[[Session, FetchRequest], None]) -> Callable[..., None]:
    """Adds the arguments and options of a fetch to a command, which gets them as a request."""

    @click.argument("image", shell_complete=complete_images)
    @click.argument("target", type=PATH)
    @url_options
    @click.option("--force", is_flag=True, help="Replace what is at the target.")
    @in_use_option("With --force: replace it also when another program has it locked, as a running guest has its disk.")
    @click.option(
        "--format",
        type=click.Choice(["raw", "qcow2"]),
        help="The format of the target. Default: format in [landing]; without that, the image's.",
    )
    @click.option(
        "--size",
        metavar="SIZE|fill",
        type=DISK_SIZE,
        help="The size of the disk: bytes, or 20G, or fill for all of a block device. Default: the image's.",
    )
    @click.option("--fix-gpt", is_flag=True, help="Move the backup of the disk's GPT to its new end.")
    @click.option(
        "--preallocation",
        type=click.Choice(["metadata", "falloc", "full"]),
        help="Allocate space beforehand; metadata is for qcow2 only. Default: none.",
    )
    @click.option("--member", metavar="NAME", help="The name of the disk in an archive of several.")
    @click.option(
        "--max-size",
        type=SIZE,
        help="Refuse an image larger than this: bytes, or 20G. Default: max_size in [landing]; without that, no limit.",
    )
    @click.option(
        "--reverify",
        is_flag=True,
        help="Hash the image's bytes also when their digest is known from an earlier fetch.",
    )
    @command_options
    @functools.wraps(command)
    def run(
        session: Session,
        image: str,
        target: str,
        *,
        force: bool,
        even_if_in_use: bool,
        format: str | None,  # noqa: A002 - the option's name
        size: int | Literal["fill"] | None,
        fix_gpt: bool,
        preallocation: str | None,
        member: str | None,
        max_size: int | None,
        reverify: bool,
        url: UrlOptions,
    ) -> None:
        if max_size is not None:
            session.variables["LADING_LANDING__MAX_SIZE"] = str(max_size)
        check_order(image.strip(), target.strip())
        form = Form(format, None if size == "fill" else size, size == "fill", fix_gpt, preallocation, member)
        image = session.full_reference(url.reference(session, image.strip()))
        target = _target(session, image, target)
        request = FetchRequest(image, target, force=force, even_if_in_use=even_if_in_use, form=form, reverify=reverify)
        command(session, request)

    return run


@command(
    examples=[
        ("lading fetch noble /vms/1.img", "Fetches the image noble of the catalog to a file."),
        (
            "lading fetch https://cloud.example/noble.img /vms/ --format raw --size 20G",
            "Fetches the image at the URL to /vms/noble.img, as a raw disk of 20 GiB.",
        ),
        (
            "lading fetch ubuntu:24.04 /dev/vg0/vm3 --size fill --fix-gpt",
            "Fetches an image of the remote ubuntu to a block device, and uses all of the device.",
        ),
    ]
)
@progress_option
@request_options
def fetch(session: Session, request: FetchRequest) -> None:
    """Fetch IMAGE to TARGET: verified, and completely or not at all.

    IMAGE is an id or a name in the catalog, REMOTE:NAME, or a URL. TARGET is a path, a block device, rbd:POOL/IMAGE or
    cinder:NAME. A compressed image, or the disk in an archive, is unpacked. For a path that ends in a slash, the file
    gets the image's name in that folder. A relative path with a colon must begin with ./

    lading tries the handlers in order until one succeeds: see lading explain. An interrupted fetch is resumed by the
    next fetch.
    """
    started = time.monotonic()
    dispatcher = session.container.dispatcher()
    with interruptible_fetch(dispatcher, request.target), progress_bar(image_title(request.image_id or "")) as observer:
        outcome = dispatcher.fetch(replace(request, observer=observer))
    result = session.value(outcome)
    seconds = time.monotonic() - started
    if session.json:
        as_json(_result_record(result, seconds))
    else:
        _print_result(result, seconds)


def _target(session: Session, image: str, target: str) -> str:
    """The target that is meant. In a folder the image's name decides, so that the catalog is called for it first."""
    if not names_folder(target):
        return local_target(target)
    target_in(target, "")  # before the catalog is called
    found = session.value(session.container.catalog().find(image.strip(), ANONYMOUS))
    settings = session.container.settings()
    _, name = split_reference(found.name or "", settings.remotes)
    if settings.names_url(image.strip()):
        name = name.rpartition("/")[2]  # it may be a path beneath mirrors
    return target_in(target, file_name(replace(found, name=name)))


def _result_record(result: FetchResult, seconds: float) -> dict[str, object]:
    landing = result.landing
    return {
        "image": result.image.id if result.image else None,
        "target": result.target,
        "handler": result.handler,
        "location": str(result.location) if result.location else None,
        "copied_from": landing.copied_from,
        "method": landing.method,
        "present": landing.present,
        "size": landing.size,
        "digest": str(landing.digest) if landing.digest else None,
        **proof_record(landing, result.image),
        **form_record(landing),
        "resumed": landing.resumed,
        "seconds": round(seconds, 3),
        "attempts": attempt_records(result.attempts),
    }


def _print_result(result: FetchResult, seconds: float) -> None:
    landing = result.landing
    place = landing.copied_from or result.location
    if landing.present:
        source = f" from {place}" if place else ""
        say(f"{result.target} is there already: {_image_text(result)}, as {result.handler} put it there{source}")
        return
    resumed = f", {size_text(landing.resumed)} of it there already" if landing.resumed else ""
    way = f"{result.handler} ({landing.method})" if landing.method not in {None, result.handler} else result.handler
    made = f" {landing.format} ({shipped_text(landing.shipped)} as shipped)" if landing.shipped else ""
    what = f"{result.target}: {size_text(landing.size)}{made} by {way}"
    verified = f"{proof_text(landing, result.image)}{_advice(result)}, {seconds:.1f} s"
    say_parts([what, f"from {place}{resumed},", verified] if place else [f"{what}{resumed},", verified])


def _advice(result: FetchResult) -> str:
    """Advice for an image at a URL that has no digest, or whose signature was not checked."""
    image = result.image
    if image is None or not is_url(image.id) or result.landing.signed_by is not None:
        return ""
    if result.landing.verified:
        return ": --keyring FILE checks it" if image.proof.digest_from not in {None, GIVEN} else ""
    if not UrlReference.is_unverified(image.id):
        return ""
    return ", because no digest of it is known: --checksum or --checksums names one"


def _image_text(result: FetchResult) -> str:
    image = result.image
    return f"{image.id} {image.name or ''}".rstrip() if image else "no image that has a name"
