"""`lading fetch` and `lading explain`."""

import sys
import time
from collections.abc import Sequence

import click

from lading.adapters.cli.arguments import (
    PATH,
    SIZE,
    complete_images,
    file_name,
    in_use_option,
    local_target,
    names_folder,
    target_in,
)
from lading.adapters.cli.exits import exit_code
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, attempt_records, say, size_text, verified_text
from lading.adapters.cli.progress import watching
from lading.adapters.cli.session import Session, command_options
from lading.domain.attempts import AttemptPreview, FetchRequest, FetchResult
from lading.domain.failures import NoHandlerAvailable
from lading.ports.context import ANONYMOUS

__all__ = ["explain", "fetch"]


@click.command(short_help="Fetch an image to a target.", epilog="Example: lading fetch noble /vms/1.img --max-size 20G")
@click.argument("image", shell_complete=complete_images)
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="Replace what is at the target.")
@in_use_option("With --force: replace it also when another program has it locked, as a running guest has its disk.")
@click.option(
    "--size",
    type=SIZE,
    help="The size of the target in bytes, or with K, M, G or T: 20G. Only handlers that can resize accept it: rbd, "
    "cinder. Default: the size of the image.",
)
@click.option(
    "--max-size",
    type=SIZE,
    help="Refuse an image larger than this: bytes, or 20G. Default: max_size in [landing]; without that, no limit.",
)
@command_options
def fetch(
    session: Session,
    image: str,
    target: str,
    *,
    force: bool,
    even_if_in_use: bool,
    size: int | None,
    max_size: int | None,
) -> None:
    """Fetch IMAGE to TARGET: verified, and completely or not at all.

    IMAGE is an id or a name in the catalog. TARGET is a path, rbd:POOL/IMAGE or cinder:NAME. For a path that ends in a
    slash, the file gets the image's name in that folder. A relative path with a colon must begin with ./

    lading tries the handlers in order until one succeeds: see lading explain. An interrupted fetch is resumed by the
    next fetch.
    """
    _limit(session, max_size)
    target = _target(session, image, target)
    started = time.monotonic()
    dispatcher = session.container.dispatcher()
    with watching(image) as observer:
        outcome = dispatcher.fetch(
            FetchRequest(image, target, force=force, even_if_in_use=even_if_in_use, observer=observer, size=size)
        )
    staged = session.value(outcome)
    seconds = time.monotonic() - started
    if session.json:
        as_json(_staged_record(staged, seconds))
    else:
        _tell(staged, seconds)


def _target(session: Session, image: str, target: str) -> str:
    """The target that is meant. In a folder the image's name decides, so that the catalog is called for it first."""
    if not names_folder(target):
        return local_target(target)
    target_in(target, "")  # before the catalog is called
    found = session.value(session.container.catalog().find(image.strip(), ANONYMOUS))
    return target_in(target, file_name(found))


def _limit(session: Session, max_size: int | None) -> None:
    if max_size is not None:
        session.variables["LADING_LANDING__MAX_SIZE"] = str(max_size)


def _staged_record(staged: FetchResult, seconds: float) -> dict[str, object]:
    landing = staged.landing
    return {
        "image": staged.image.id if staged.image else None,
        "target": staged.target,
        "handler": staged.handler,
        "location": str(staged.location) if staged.location else None,
        "copied_from": landing.copied_from,
        "method": landing.method,
        "present": landing.present,
        "size": landing.size,
        "digest": str(landing.digest) if landing.digest else None,
        "verified": landing.verified,
        "resumed": landing.resumed,
        "seconds": round(seconds, 3),
        "attempts": attempt_records(staged.attempts),
    }


def _tell(staged: FetchResult, seconds: float) -> None:
    landing = staged.landing
    place = landing.copied_from or staged.location
    source = f" from {place}" if place else ""
    if landing.present:
        say(f"{staged.target} is there already: {_named(staged)}, as {staged.handler} put it there{source}")
        return
    resumed = f", {size_text(landing.resumed)} of it there already" if landing.resumed else ""
    how = f"{staged.handler} ({landing.method})" if landing.method not in {None, staged.handler} else staged.handler
    told = f"{size_text(landing.size)} by {how}{source}{resumed}, {verified_text(landing)}, {seconds:.1f} s"
    say(f"{staged.target}: {told}")


def _named(staged: FetchResult) -> str:
    image = staged.image
    return f"{image.id} {image.name or ''}".rstrip() if image else "no image that has a name"


@click.command(
    short_help="Show which handlers fetch would try, and why.", epilog="Example: lading explain noble /vms/1.img"
)
@click.argument("image", shell_complete=complete_images)
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="Explain a fetch with --force.")
@in_use_option("Explain a fetch with --even-if-in-use.")
@click.option("--size", type=SIZE, help="Explain a fetch with --size SIZE.")
@click.option("--max-size", type=SIZE, help="Explain a fetch with --max-size SIZE.")
@command_options
def explain(
    session: Session,
    image: str,
    target: str,
    *,
    force: bool,
    even_if_in_use: bool,
    size: int | None,
    max_size: int | None,
) -> None:
    """Show the attempts that fetch would make for IMAGE and TARGET, in order, and whether each would succeed.

    Nothing is transferred. The exit code is 0 when fetch would succeed, else the exit code of fetch.
    """
    _limit(session, max_size)
    target = _target(session, image, target)
    request = FetchRequest(image, target, force=force, even_if_in_use=even_if_in_use, size=size)
    previews = session.container.dispatcher().preview(request)
    chosen = next((each for each in previews if each.would), None)
    if session.json:
        as_json(
            {
                "image": image,
                "target": target,
                "handler": chosen.handler if chosen else None,
                "location": str(chosen.location) if chosen and chosen.location else None,
                "attempts": list(map(_preview_record, previews)),
            }
        )
    else:
        _draw(f"{image} → {target}", previews, chosen)
    if chosen is None:
        sys.exit(exit_code(NoHandlerAvailable(image, target, tuple(each.result for each in previews))))


def _preview_record(preview: AttemptPreview) -> dict[str, object]:
    return {
        "handler": preview.handler,
        "location": str(preview.location) if preview.location else None,
        "cost": preview.cost,
        "would": preview.would,
        "reason": masked(preview.reason),
    }


def _draw(title: str, previews: Sequence[AttemptPreview], chosen: AttemptPreview | None) -> None:
    say(title)
    for position, each in enumerate(previews):
        branch, trunk = ("└─", "  ") if position == len(previews) - 1 else ("├─", "│ ")
        mark = "✓" if each.would else "✗"
        where = f" {each.location}" if each.location else ""
        say(f"{branch} {mark} {each.handler}{where}{'  ← this one' if each is chosen else ''}")
        say(f"{trunk}    {f'[{each.cost}] ' if each.cost else ''}{masked(each.reason)}", dim=True)
    if not previews:
        say("└─ no handler takes any of its locations, and none goes without")
