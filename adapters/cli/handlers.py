"""`lading handlers`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from lading.adapters.cli.command import command
from lading.adapters.cli.output import as_json
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import Column, print_table

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["handlers"]

_COLUMNS: Final = (
    Column("NAME", 4),
    Column("STATE", 3, least=7),
    Column("SCHEMES, OR REASON", 2, least=20),
    Column("FROM", 1),
)


@command(
    examples=[
        ("lading handlers", "Lists the handlers, and why some are not loaded."),
        ("lading handlers --json", "Prints a JSON object for each handler."),
    ]
)
@command_options
def handlers(session: Session) -> None:
    """List the handlers in the order in which fetch calls them.

    The columns are: name, state (loaded, skipped, unused), the URL schemes that the handler takes or the reason why it
    is not loaded, and the package that it is from.
    """
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does not need it

    installed = plugins.discover(plugins.HANDLERS)
    loaded = session.container.loaded()
    records: list[dict[str, object]] = [
        {
            "name": handler.name,
            "state": "loaded",
            "schemes": None if handler.schemes is None else sorted(handler.schemes),
            "is_local": handler.is_local,
            "from": plugins.origin(installed[handler.name]) if handler.name in installed else type(handler).__module__,
            "reason": None,
        }
        for handler in loaded.handlers
    ]
    records += [_not_loaded(each.name, "skipped", each.reason, installed) for each in loaded.skipped]
    unused = sorted(installed.keys() - {record["name"] for record in records})
    records += [_not_loaded(name, "unused", "not in [handlers] order", installed) for name in unused]
    if session.json:
        for record in records:
            as_json(record)
    else:
        print_table(_COLUMNS, map(_cells, records))


def _not_loaded(name: str, state: str, reason: str, installed: "Mapping[str, EntryPoint]") -> dict[str, object]:
    from lading.adapters import plugins  # noqa: PLC0415 - see above

    origin = plugins.origin(installed[name]) if name in installed else None
    return {"name": name, "state": state, "schemes": None, "is_local": None, "from": origin, "reason": reason}


def _cells(record: Mapping[str, object]) -> tuple[str, ...]:
    schemes = record["schemes"]
    if record["reason"]:
        takes = str(record["reason"])
    elif isinstance(schemes, list):
        takes = ", ".join(schemes) or "any location, or none"
    else:
        takes = "nothing"
    return str(record["name"]), str(record["state"]), takes, str(record["from"] or "-")
