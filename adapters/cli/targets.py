"""`lading rm`, `mv`, `show` and `who-has`: commands on recorded targets."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from lading.adapters.cli.arguments import PATH, complete_images, in_use_option, is_folder, local_target, target_in
from lading.adapters.cli.output import (
    as_json,
    association_record,
    check_record,
    last_state,
    say,
    shipped_text,
    time_text,
    verified_text,
)
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import Column, print_table
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.device.form import is_device
from lading.domain.failures import NotAssociated
from lading.domain.handler import Report
from lading.ports.association import Association
from lading.ports.association_store import HostTarget

__all__ = ["mv", "rm", "show", "who_has"]

_HOLDER_COLUMNS: Final = (
    Column("HOST", 3),
    Column("TARGET", 4, least=16, keeps_end=True),
    Column("SIZE", 1, is_number=True),
    Column("STATE", 2),
)


@click.command(short_help="Remove a target and its record.", epilog="Example: lading rm /vms/1.img")
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="Remove the target also when it is not the file that was fetched.")
@in_use_option("Remove the target also when another program has it locked, as a running guest has its disk.")
@click.option("--wipe", is_flag=True, help="On a block device: zero the first and the last MiB, where signatures are.")
@command_options
def rm(session: Session, target: str, *, force: bool, even_if_in_use: bool, wipe: bool) -> None:
    """Remove TARGET and its record, by the handler that fetched it.

    Of a block device only the record is removed, and its bytes stay; see --wipe.
    """
    dispatcher = session.container.dispatcher()
    removed = session.value(
        dispatcher.remove(local_target(target), force=force, even_if_in_use=even_if_in_use, wipe=wipe)
    )
    if session.json:
        as_json(association_record(removed))
    elif not is_device(removed.target):
        say(f"{removed.target}: removed by {removed.handler}")
    elif wipe:
        say(f"{removed.target}: no longer recorded; its first and its last MiB are zeros")
    else:
        say(f"{removed.target}: no longer recorded; its bytes stay, and only a fetch with --force replaces them")


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


@click.command("who-has", short_help="List the targets that hold an image.", epilog="Example: lading who-has noble")
@click.argument("image", shell_complete=complete_images)
@command_options
def who_has(session: Session, image: str) -> None:
    """List the recorded targets that hold IMAGE: host, target, size and state as last known.

    IMAGE is an id, a name or an href of the catalog, or a digest, for example sha512:6344ab01c2d3: twelve digits are
    enough. An id or a digest is also found when the catalog no longer has it.

    The state is what the last verification found: intact, changed or missing. A target that was never verified since
    its fetch is called verified when the fetch compared its digest with the catalog's, or else unverified.
    """
    this_host = os.uname().nodename
    found = ((each.host or this_host, each) for each in session.container.dispatcher().holders(image))
    if session.json:
        for host, each in found:
            as_json(_holder_record(each, host))
    else:
        print_table(
            _HOLDER_COLUMNS, ((host, each.target, size_text(each.size), _known_state(each)) for host, each in found)
        )


def _holder_record(holder: HostTarget, host: str) -> dict[str, object]:
    return {
        "host": host,
        "target": holder.target,
        "handler": holder.handler,
        "size": holder.size,
        "state": last_state(holder),
        "verified": holder.verified,
        "landed_at": holder.landed_at.isoformat(),
        "checked": check_record(holder.checked),
    }


def _known_state(holder: HostTarget) -> str:
    when = f"checked {time_text(holder.checked.at)}" if holder.checked else f"landed {time_text(holder.landed_at)}"
    return f"{last_state(holder)}, {when}"


@click.command(short_help="Show the record and the state of a target.", epilog="Example: lading show /vms/1.img")
@click.argument("target", type=PATH)
@command_options
def show(session: Session, target: str) -> None:
    """Show the record of TARGET (image, location, handler, time, digest) and its state.

    The state is intact, changed, missing, detached, incomplete or unknown. The bytes are not read; to read them: lading
    verify.
    """
    target = local_target(target)
    association = session.value(session.container.associations().get(target))
    report = session.value(session.container.dispatcher().report(target))
    if association is None:
        _print_incomplete(session, target, report)
    elif session.json:
        as_json({**association_record(association), "state": report.state, "details": dict(report.details)})
    else:
        _print_rows(association, report)


def _print_incomplete(session: Session, target: str, report: Report) -> None:
    """Prints the state of a target that is not recorded, because a fetch to it has not ended."""
    intent = session.value(session.container.journal().pending(target))
    if intent is None:  # it has ended in the meantime
        session.fail(NotAssociated(target))
    image = intent.image
    if session.json:
        as_json(
            {
                "target": target,
                "image": image.id if image else None,
                "handler": intent.handler,
                "began_at": intent.began_at.isoformat(),
                "state": report.state,
                "details": dict(report.details),
            }
        )
        return
    _say_rows(
        {
            "target": target,
            "image": f"{image.id} {image.name or ''}".rstrip() if image else "not named",
            "handler": intent.handler,
            "began": time_text(intent.began_at),
            "state": report.state,
            **report.details,
        }
    )


def _form_rows(association: Association) -> dict[str, str]:
    """The rows on the target's form, and on what was shipped where that is something else."""
    rows = {}
    if association.format is not None:
        disk = association.virtual_size
        of_disk = f", a disk of {size_text(disk)}" if disk not in {None, association.size} else ""
        rows["format"] = f"{association.format}{of_disk}"
    if (shipped := association.shipped) is not None:
        digest = f", {shipped.digest}" if shipped.digest else ""
        rows["shipped"] = f"{shipped_text(shipped)}{digest} ({verified_text(association)})"
    if association.converted_by is not None:
        rows["converted"] = f"by {association.converted_by}"
    return rows


def _print_rows(association: Association, report: Report) -> None:
    image = association.image
    verified = f" ({verified_text(association)})"
    digest = f"{association.digest}{'' if association.shipped else verified}"
    rows = {
        "target": association.target,
        "image": f"{image.id} {image.name or ''}".rstrip() if image else "not named",
        "location": str(association.location or "none"),
        "handler": f"{association.handler} ({association.method})" if association.method else association.handler,
        "landed": time_text(association.landed_at),
        "size": size_text(association.size),
        **_form_rows(association),
        "digest": digest if association.digest else "unverified",
        "inspected": f"by {association.inspected_by}" if association.inspected_by else "no",
        "state": report.state,
    }
    if (checked := association.checked) is not None:
        rows["checked"] = f"{checked.state}, {time_text(checked.at)}"
    if association.copied_from:
        rows["copied from"] = association.copied_from
    rows |= dict(report.details) | rows  # a handler's detail does not replace one of these rows
    _say_rows(rows)


def _say_rows(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        say(f"{name + ':':<{width}}{value}")
