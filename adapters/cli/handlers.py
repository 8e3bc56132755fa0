"""`lading handlers`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from lading.adapters.cli.output import as_json, say_row
from lading.adapters.cli.session import Session, command_options

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["handlers"]

_WIDTHS: Final = (12, 8, 32)


@click.command(short_help="List the handlers.")
@command_options
def handlers(session: Session) -> None:
    """List the handlers in order: what each takes, where it comes from, and if it is skipped, why."""
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does without it

    found = plugins.discover(plugins.HANDLERS)
    loaded = session.container.loaded()
    records: list[dict[str, object]] = [
        {
            "name": handler.name,
            "state": "loaded",
            "schemes": None if handler.schemes is None else sorted(handler.schemes),
            "is_local": handler.is_local,
            "from": plugins.origin(found[handler.name]) if handler.name in found else type(handler).__module__,
            "reason": None,
        }
        for handler in loaded.handlers
    ]
    records += [_absent(each.name, "skipped", each.reason, found) for each in loaded.skipped]
    named = {record["name"] for record in records}
    records += [_absent(name, "unused", "not in [handlers] order", found) for name in sorted(found.keys() - named)]
    for record in records:
        if session.json:
            as_json(record)
        else:
            say_row(_cells(record), _WIDTHS)


def _absent(name: str, state: str, reason: str, found: "Mapping[str, EntryPoint]") -> dict[str, object]:
    from lading.adapters import plugins  # noqa: PLC0415 - see above

    origin = plugins.origin(found[name]) if name in found else None
    return {"name": name, "state": state, "schemes": None, "is_local": None, "from": origin, "reason": reason}


def _cells(record: Mapping[str, object]) -> tuple[str, ...]:
    schemes = record["schemes"]
    if record["reason"]:
        what = str(record["reason"])
    elif isinstance(schemes, list):
        what = ", ".join(schemes) or "any location, or none"
    else:
        what = "nothing"
    return str(record["name"]), str(record["state"]), what, str(record["from"] or "-")
