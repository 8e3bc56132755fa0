"""`lading show`: the record and the state of a target."""

import shlex
from collections.abc import Mapping
from typing import Final

import click
from returns.result import Failure

from lading.adapters.cli.arguments import PATH, local_target
from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_targets
from lading.adapters.cli.output import (
    age_text,
    as_json,
    association_record,
    proof_text,
    say,
    shipped_text,
    time_text,
)
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import cell_length
from lading.adapters.codec.sizes import exact_size, share_text, size_text
from lading.adapters.destinations.file.partial import received_bytes
from lading.domain.failures import NotAssociated
from lading.domain.handler import Report
from lading.ports.association import Association, State
from lading.ports.image import Image
from lading.ports.journal import Intent, Verb

__all__ = ["show"]

_FILE_STATES: Final = {
    State.INTACT: "it is the same file, with the recorded size and times",
    State.CHANGED: "it is another file, or its size or times are not the recorded ones",
    State.MISSING: "nothing is there",
}
"""The evidence for the state of a file that is not read."""


@command(
    examples=[
        ("lading show /vms/1.img", "Shows the image, the handler, the digest and the state."),
        ("lading show /vms/1.img --json", "Prints the same as a JSON object."),
    ]
)
@click.argument("target", type=PATH, shell_complete=complete_targets)
@command_options
def show(session: Session, target: str) -> None:
    """Show the record of TARGET (image, source, time, digest and what verified it) and its state.

    The state is intact, changed, missing, detached, incomplete, interrupted or unknown. The bytes are not read; to read
    them: lading verify.
    """
    target = local_target(target)
    association = session.value(session.container.associations().get(target))
    if association is None:
        _print_begun(session, target)
        return
    report = session.value(session.container.dispatcher().report(target))
    if session.json:
        as_json({**association_record(association), "state": report.state, "details": dict(report.details)})
    else:
        _print_rows(association, report)


def _print_begun(session: Session, target: str) -> None:
    """Prints the state of a target that is not recorded, because a fetch to it has not ended."""
    intent = session.value(session.container.journal().pending(target))
    if intent is None or intent.verb is not Verb.FETCH:
        session.fail(NotAssociated(target))
    reported = session.container.dispatcher().report(target)
    if isinstance(reported, Failure):  # only of a device it can be told that it is incomplete
        state, details = "interrupted", _received(intent)
    else:
        state, details = reported.unwrap().state, dict(reported.unwrap().details)
    image = intent.image
    if session.json:
        as_json(
            {
                "target": target,
                "image": image.id if image else None,
                "handler": intent.handler,
                "began_at": intent.began_at.isoformat(),
                "state": state,
                "details": details,
            }
        )
        return
    _say_rows(
        {
            "target": target,
            "image": _image_text(image),
            "handler": intent.handler,
            "began": f"{time_text(intent.began_at)} ({age_text(intent.began_at)} ago)",
            "state": state,
            **details,
            "next": f"repeat the fetch, or discard what is kept: lading recover --discard {shlex.quote(target)}",
        }
    )


def _received(intent: Intent) -> dict[str, str]:
    received = received_bytes(intent.target, intent.notes)
    total = intent.image.size if intent.image else None
    return {} if received is None else {"received": share_text(received, total)}


def _print_rows(association: Association, report: Report) -> None:
    way = association.method if association.method not in {None, association.handler} else None
    fetched = f"{time_text(association.landed_at)} ({age_text(association.landed_at)} ago)"
    rows = {
        "target": association.target,
        "image": _image_text(association.image),
        "source": str(association.copied_from or association.location or "the catalog"),
        "fetched": f"{fetched} by {association.handler}{f' ({way})' if way else ''}",
        "size": size_text(association.size),
        **_form_rows(association),
        "digest": str(association.digest or "not known"),
        "proof": proof_text(association, association.image),
        "inspected": f"by {association.inspected_by}" if association.inspected_by else "no",
        "state": _state_text(association, report),
    }
    if (checked := association.checked) is not None:
        rows["checked"] = f"{checked.state}, {time_text(checked.at)} ({age_text(checked.at)} ago), by reading all of it"
    details = dict(map(_detail, report.details, report.details.values()))
    _say_rows(rows | details | rows)  # a handler's detail does not replace one of these rows


def _detail(name: str, text: str) -> tuple[str, str]:
    """A handler's detail; the bytes that a clone or a volume has by now are told as its size."""
    return ("size now", exact_size(int(text))) if name == "bytes" and text.isdecimal() else (name, text)


def _image_text(image: Image | None) -> str:
    return f"{image.id} {image.name or ''}".rstrip() if image else "not named"


def _form_rows(association: Association) -> dict[str, str]:
    """The rows on the target's form, and on what was shipped where that is something else."""
    rows = {}
    if association.format is not None:
        disk = association.virtual_size
        of_disk = f", a disk of {size_text(disk)}" if disk not in {None, association.size} else ""
        rows["format"] = f"{association.format}{of_disk}"
    if (shipped := association.shipped) is not None:
        rows["shipped"] = f"{shipped_text(shipped)}{f', {shipped.digest}' if shipped.digest else ''}"
    if association.converted_by is not None:
        rows["converted"] = f"by {association.converted_by}"
    return rows


def _state_text(association: Association, report: Report) -> str:
    """The state, and how it is told."""
    if association.fingerprint is None:
        return f"{report.state}, as {association.handler} reports it; its bytes were not read"
    if report.state not in _FILE_STATES:
        return report.state
    return f"{report.state}: {_FILE_STATES[report.state]}; its bytes were not read"


def _say_rows(rows: Mapping[str, str]) -> None:
    width = max(map(cell_length, rows)) + 1
    for name, value in rows.items():
        say(f"{name}:{' ' * (width - cell_length(name))}{value}")
