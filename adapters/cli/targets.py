"""`lading rm`, `mv`, `ls`, `show` and `who-has`: commands on recorded targets."""

import difflib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import click

from lading.adapters.cli.arguments import PATH, complete_images, in_use_option, is_folder, local_target, target_in
from lading.adapters.cli.output import (
    as_json,
    association_record,
    check_record,
    is_proven,
    proof_text,
    say,
    say_row,
    shipped_text,
    size_text,
    time_text,
    verified_text,
)
from lading.adapters.cli.session import Session, command_options
from lading.adapters.destinations.device.form import is_device
from lading.domain.failures import NotAssociated
from lading.domain.handler import Report
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore, HostTarget, SupportsHosts
from lading.ports.failures import SettingsError

__all__ = ["ls", "mv", "rm", "show", "who_has"]

_WIDTHS: Final = (40, 24, 10)
_HOST_WIDTH: Final = 16
_MOST_NAMES: Final = 20
"""Names in one message; there may be thousands of hosts."""


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


@click.command(short_help="List the recorded targets.", epilog="Example: lading ls --image noble")
@click.option("--handler", metavar="NAME", help="List only targets of this handler. Default: of all handlers.")
@click.option(
    "--image",
    metavar="IMAGE",
    shell_complete=complete_images,
    help="List only targets of this image: an id, name or href. Default: of all images.",
)
@click.option(
    "--host",
    metavar="NAME",
    help="List the targets of this host, or of the storage that several hosts share by this name. Default: this host.",
)
@click.option("--all", "all_hosts", is_flag=True, help="List the targets of all hosts, with the host first.")
@command_options
def ls(session: Session, handler: str | None, image: str | None, host: str | None, *, all_hosts: bool) -> None:
    """List the recorded targets: path or name, image, handler and size.

    --host and --all need associations that many hosts share: [associations] kind = "etcd".
    """
    if all_hosts and host is not None:
        raise click.UsageError("--host names one host, and --all lists all: give one of them")
    listed = partial(_listed, session, host) if all_hosts or host is not None else partial(_listed_here, session)
    if handler is not None:
        _check_handler(handler, listed)
    for name, association in listed(handler):
        if image is not None and (association.image is None or not association.is_of(image)):
            continue
        if session.json:
            as_json({**({} if name is None else {"host": name}), **association_record(association)})
        elif all_hosts:
            say_row((str(name), *_cells(association)), (_HOST_WIDTH, *_WIDTHS))
        else:
            say_row(_cells(association), _WIDTHS)


def _cells(association: Association) -> tuple[str, ...]:
    image = association.image
    name = (image.name or image.id) if image else "-"
    return association.target, name, association.handler, size_text(association.size)


_Listed = Iterator[tuple[str | None, Association]]


def _listed_here(session: Session, handler: str | None) -> _Listed:
    """The associations of this host."""
    associations: AssociationStore = session.container.associations()
    return ((None, each) for each in associations.list(handler=handler))


def _listed(session: Session, host: str | None, handler: str | None) -> _Listed:
    """The associations of the host, or of all, each with its host. Raises BadParameter for an unknown host."""
    associations = session.container.associations()
    if not isinstance(associations, SupportsHosts):
        settings = session.container.settings()
        raise SettingsError(
            f'{settings.source}: [associations] kind = "{settings.associations.kind}" records only the targets of this '
            'host; for those of many hosts: [associations] kind = "etcd"'
        )
    found = associations.list_host(host)
    first = next(found, None)
    if first is None:
        if host is not None and host not in (known := [*associations.hosts()]):
            raise click.BadParameter(
                f"nothing is recorded for a host {host!r}; {_hint(host, known)}", param_hint="--host"
            )
        return iter(())
    return (each for each in chain([first], found) if handler is None or each[1].handler == handler)


def _check_handler(name: str, listed: Callable[[str | None], _Listed]) -> None:
    """Raises BadParameter for a name that no handler has, installed or recorded."""
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does without it

    installed = plugins.discover(plugins.HANDLERS)
    if name in installed or next(listed(name), None) is not None:
        return
    known = {*installed, *(each.handler for _, each in listed(None))}
    raise click.BadParameter(f"no handler is named {name!r}; {_hint(name, known)}", param_hint="--handler")


def _hint(name: str, known: Collection[str]) -> str:
    """The known names that may be meant, or the known names."""
    if close := difflib.get_close_matches(name, known):
        return f"did you mean {' or '.join(map(repr, close))}?"
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"there are: {', '.join(sorted(known)[:_MOST_NAMES])}{more}"


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
    for each in session.container.dispatcher().holders(image):
        host = os.uname().nodename if each.host is None else each.host
        if session.json:
            as_json(_holder_record(each, host))
        else:
            say_row((host, each.target, size_text(each.size), _known_state(each)), (_HOST_WIDTH, _WIDTHS[0], 10))


def _holder_record(holder: HostTarget, host: str) -> dict[str, object]:
    return {
        "host": host,
        "target": holder.target,
        "handler": holder.handler,
        "size": holder.size,
        "state": _state(holder),
        "verified": holder.verified,
        "landed_at": holder.landed_at.isoformat(),
        "checked": check_record(holder.checked),
    }


def _state(holder: HostTarget) -> str:
    if holder.checked is not None:
        return holder.checked.state
    return "verified" if holder.verified else "unverified"


def _known_state(holder: HostTarget) -> str:
    when = f"checked {time_text(holder.checked.at)}" if holder.checked else f"landed {time_text(holder.landed_at)}"
    return f"{_state(holder)}, {when}"


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
        **({"proven": proof_text(association, image)} if is_proven(association) else {}),
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
