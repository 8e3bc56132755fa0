"""`lading rm`, `mv`, `ls` and `show`: commands on recorded targets."""

import difflib
from pathlib import Path
from typing import Final

import click

from lading.adapters.cli.arguments import PATH, complete_images, in_use_option, is_folder, local_target, target_in
from lading.adapters.cli.output import as_json, association_record, say, say_row, size_text, time_text, verified_text
from lading.adapters.cli.session import Session, command_options
from lading.domain.failures import NotAssociated
from lading.domain.handler import Report
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore

__all__ = ["ls", "mv", "rm", "show"]

_WIDTHS: Final = (40, 24, 10)


@click.command(short_help="Remove a target and its record.", epilog="Example: lading rm /vms/1.img")
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="Remove the target also when it is not the file that was fetched.")
@in_use_option("Remove the target also when another program has it locked, as a running guest has its disk.")
@command_options
def rm(session: Session, target: str, *, force: bool, even_if_in_use: bool) -> None:
    """Remove TARGET and its record, by the handler that fetched it."""
    dispatcher = session.container.dispatcher()
    removed = session.value(dispatcher.remove(local_target(target), force=force, even_if_in_use=even_if_in_use))
    if session.json:
        as_json(association_record(removed))
    else:
        say(f"{removed.target}: removed by {removed.handler}")


@click.command(short_help="Move or rename a target.", epilog="Example: lading mv /vms/1.img /vms/2.img")
@click.argument("source", type=PATH)
@click.argument("destination", type=PATH)
@in_use_option("Move the target to another file system also when another program has it locked.")
@command_options
def mv(session: Session, source: str, destination: str, *, even_if_in_use: bool) -> None:
    """Move the target SOURCE to DESTINATION, by the handler that fetched it. Nothing is overwritten.

    For a DESTINATION that is a folder or ends in a slash, the file keeps its name.
    """
    source = local_target(source)
    to = target_in(destination, Path(source).name) if is_folder(destination) else local_target(destination)
    moved = session.value(session.container.dispatcher().move(source, to, even_if_in_use=even_if_in_use))
    if session.json:
        as_json(association_record(moved))
    else:
        say(f"{moved.target}: moved by {moved.handler}")


@click.command(short_help="List the recorded targets.", epilog="Example: lading ls --image noble")
@click.option("--handler", metavar="NAME", help="List only targets of this handler. Default: of all handlers.")
@click.option(
    "--image",
    metavar="IMAGE",
    shell_complete=complete_images,
    help="List only targets of this image: an id, name or href. Default: of all images.",
)
@command_options
def ls(session: Session, handler: str | None, image: str | None) -> None:
    """List the recorded targets: path or name, image, handler and size."""
    associations: AssociationStore = session.container.associations()
    if handler is not None:
        _check_handler(handler, associations)
    for association in associations.list(handler=handler):
        recorded = association.image
        if image is not None and (recorded is None or not association.is_of(image)):
            continue
        if session.json:
            as_json(association_record(association))
        else:
            name = (recorded.name or recorded.id) if recorded else "-"
            say_row((association.target, name, association.handler, size_text(association.size)), _WIDTHS)


def _check_handler(name: str, associations: AssociationStore) -> None:
    """Raises BadParameter for a name that no handler has, installed or recorded."""
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does without it

    installed = plugins.discover(plugins.HANDLERS)
    if name in installed or next(associations.list(handler=name), None) is not None:
        return
    known = sorted({*installed, *(each.handler for each in associations.list())})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
    raise click.BadParameter(f"no handler is named {name!r}; {hint}", param_hint="--handler")


@click.command(short_help="Show the record and the state of a target.", epilog="Example: lading show /vms/1.img")
@click.argument("target", type=PATH)
@command_options
def show(session: Session, target: str) -> None:
    """Show the record of TARGET (image, location, handler, time, digest) and its state.

    The state is intact, changed, missing, detached or unknown. The bytes are not read; to read them: lading verify.
    """
    target = local_target(target)
    association = session.value(session.container.associations().get(target))
    if association is None:
        session.fail(NotAssociated(target))
    report = session.value(session.container.dispatcher().report(target))
    if session.json:
        as_json({**association_record(association), "state": report.state, "details": dict(report.details)})
    else:
        _print_rows(association, report)


def _print_rows(association: Association, report: Report) -> None:
    image = association.image
    digest = f"{association.digest} ({verified_text(association)})"
    rows = {
        "target": association.target,
        "image": f"{image.id} {image.name or ''}".rstrip() if image else "not named",
        "location": str(association.location or "none"),
        "handler": f"{association.handler} ({association.method})" if association.method else association.handler,
        "landed": time_text(association.landed_at),
        "size": size_text(association.size),
        "digest": digest if association.digest else "unverified",
        "inspected": f"by {association.inspected_by}" if association.inspected_by else "no",
        "state": report.state,
    }
    if association.copied_from:
        rows["copied from"] = association.copied_from
    rows |= dict(report.details) | rows  # a handler's detail does not replace one of these rows
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        say(f"{name + ':':<{width}}{value}")
