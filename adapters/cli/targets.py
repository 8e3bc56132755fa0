"""`lading rm`, `mv` and `who-has`: commands on recorded targets."""

import os
import sys
from pathlib import Path
from typing import Final

import click
from returns.result import Failure

from lading.adapters.cli.arguments import PATH, in_use_option, is_folder, local_target, target_in
from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_images, complete_targets
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.output import (
    as_json,
    association_record,
    check_record,
    last_state,
    say,
    time_text,
)
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import Column, print_table
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.device.form import is_device
from lading.ports.association import Association
from lading.ports.association_store import HostTarget

__all__ = ["mv", "rm", "who_has"]

_HOLDER_COLUMNS: Final = (
    Column("HOST", 3),
    Column("TARGET", 4, least=16, keeps_end=True),
    Column("SIZE", 1, is_number=True),
    Column("STATE", 2),
)


@command(
    examples=[
        ("lading rm /vms/1.img", "Removes the file and its record."),
        ("lading rm /vms/1.img rbd:vms/2", "Removes both. When one cannot be removed, the other still is."),
        ("lading rm /dev/vg0/vm3 --wipe", "Removes the record, and makes the device empty for other programs."),
    ]
)
@click.argument("targets", type=PATH, nargs=-1, required=True, metavar="TARGET...", shell_complete=complete_targets)
@click.option("--force", is_flag=True, help="Remove the target also when it is not the file that was fetched.")
@in_use_option("Remove the target also when another program has it locked, as a running guest has its disk.")
@click.option("--wipe", is_flag=True, help="On a block device: zero the first and the last MiB, where signatures are.")
@command_options
def rm(session: Session, targets: tuple[str, ...], *, force: bool, even_if_in_use: bool, wipe: bool) -> None:
    """Remove each TARGET and its record, by the handler that fetched it.

    When a target cannot be removed, the others still are, and the exit code is that of the first failure.
    Of a block device only the record is removed, and its bytes stay; see --wipe.
    """
    dispatcher = session.container.dispatcher()
    code = Exit.DONE
    for target in dict.fromkeys(map(local_target, targets)):
        removed = dispatcher.remove(target, force=force, even_if_in_use=even_if_in_use, wipe=wipe)
        if isinstance(removed, Failure):
            failed = session.report(removed.failure(), target=target)
            code = code or failed
        else:
            _print_removed(session, removed.unwrap(), wipe=wipe)
    if code is not Exit.DONE:
        sys.exit(code)


def _print_removed(session: Session, removed: Association, *, wipe: bool) -> None:
    if session.json:
        as_json(association_record(removed))
    elif not is_device(removed.target):
        say(f"{removed.target}: removed by {removed.handler}")
    elif wipe:
        say(f"{removed.target}: no longer recorded; its first and its last MiB are zeros")
    else:
        say(f"{removed.target}: no longer recorded; its bytes stay, and only a fetch with --force replaces them")


@command(
    examples=[
        ("lading mv /vms/1.img /vms/2.img", "Renames the file, and its record."),
        ("lading mv /vms/1.img /archive/", "Moves the file to the folder /archive, also on another file system."),
    ]
)
@click.argument("source", type=PATH, shell_complete=complete_targets)
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


@command(
    "who-has",
    examples=[
        ("lading who-has noble", "Lists the targets that hold the image noble."),
        ("lading who-has sha512:6344ab01c2d3", "Lists the targets that hold an image whose digest begins like this."),
    ],
)
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
    reference = session.full_reference(image)
    found = ((each.host or this_host, each) for each in session.container.dispatcher().holders(reference))
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
