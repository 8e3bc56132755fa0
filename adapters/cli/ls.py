"""`lading ls`: the recorded targets, and the fetches that have not ended."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import chain
from typing import Any, Final, NamedTuple

import click

from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_handlers, complete_hosts, complete_images
from lading.adapters.cli.output import as_json, association_record, last_state, when_text
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.table import Column, print_table
from lading.adapters.codec.sizes import share_text, size_text
from lading.adapters.destinations.file.partial import received_bytes
from lading.domain.ledger import lock_name
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore, SupportsHosts
from lading.ports.failures import SettingsError
from lading.ports.journal import Intent, Verb
from lading.ports.locks import Locks, SupportsHolder

__all__ = ["ls"]

_HOST: Final = Column("HOST", 5)
_COLUMNS: Final = (
    Column("TARGET", 6, least=16, keeps_end=True),
    Column("IMAGE", 4),
    Column("HANDLER", 1),
    Column("SIZE", 3, is_number=True),
    Column("AGE", 2, is_number=True),
    Column("STATE", 5, least=11),
)
_MOST_NAMES: Final = 20
"""Names in one message; there may be thousands of hosts."""


class _Row(NamedTuple):
    """A line of `ls`: a recorded target, or one to which a fetch has not ended."""

    host: str | None
    """None: this host."""
    source: Association | Intent
    state: str
    received: int | None = None
    """Bytes that a fetch has received so far; None: it has ended, or it is not known."""
    total: int | None = None
    """Bytes of the image that it fetches."""

    @property
    def target(self) -> str:
        return self.source.target

    @property
    def image_name(self) -> str:
        image = self.source.image
        return (image.name or image.id) if image else "-"

    @property
    def size(self) -> int | None:
        if isinstance(self.source, Association):
            return self.source.size
        return self.source.image.size if self.source.image else None

    @property
    def at(self) -> datetime:
        return self.source.landed_at if isinstance(self.source, Association) else self.source.began_at

    def has(self, text: str) -> bool:
        """Tells whether the text is in the target, or in the image's name or id."""
        image_id = self.source.image.id if self.source.image else ""
        return text.lower() in f"{self.target}\n{self.image_name}\n{image_id}".lower()

    def cells(self, *, all_hosts: bool) -> tuple[str, ...]:
        state = f"{self.state}, {share_text(self.received, self.total)}" if self.received is not None else self.state
        cells = (self.target, self.image_name, self.source.handler, size_text(self.size), when_text(self.at), state)
        return (str(self.host), *cells) if all_hosts else cells

    def record(self) -> dict[str, object]:
        host = {} if self.host is None else {"host": self.host}
        if isinstance(self.source, Association):
            return {**host, **association_record(self.source), "state": self.state}
        return {**host, **_interrupted_record(self.source), "state": self.state, "received": self.received}


_SORT_KEYS: Final[Mapping[str, Callable[[_Row], Any]]] = {
    "target": lambda row: row.target,
    "image": lambda row: (row.image_name, row.target),
    "handler": lambda row: (row.source.handler, row.target),
    "size": lambda row: (-(row.size or 0), row.target),
    "age": lambda row: (-row.at.timestamp(), row.target),
    "state": lambda row: (row.state, row.target),
}


@command(
    examples=[
        ("lading ls", "Lists the targets of this host."),
        ("lading ls --image noble --json", "Prints a JSON object for each target that holds the image noble."),
        ("lading ls --all", "Lists the targets of all hosts, where the record is in etcd."),
    ]
)
@click.option(
    "--handler",
    metavar="NAME",
    shell_complete=complete_handlers,
    help="List only targets of this handler. Default: of all handlers.",
)
@click.option(
    "--image",
    metavar="IMAGE",
    shell_complete=complete_images,
    help="List only targets of this image: an id, name or href. Default: of all images.",
)
@click.option("--filter", "text", metavar="TEXT", default="", help="List only targets with TEXT in the path or image.")
@click.option(
    "--sort",
    type=click.Choice([*_SORT_KEYS]),
    help="Sort by this column, the largest or newest first. Default: by target.",
)
@click.option(
    "--host",
    metavar="NAME",
    shell_complete=complete_hosts,
    help="List the targets of this host, or of the storage that several hosts share by this name. Default: this host.",
)
@click.option("--all", "all_hosts", is_flag=True, help="List the targets of all hosts, with the host first.")
@command_options
def ls(
    session: Session,
    handler: str | None,
    image: str | None,
    text: str,
    sort: str | None,
    host: str | None,
    *,
    all_hosts: bool,
) -> None:
    """List the recorded targets: path or name, image, handler, size, age and state as last known.

    Interrupted fetches are in the list. The state of a target is what the last verification found, or else whether the
    fetch compared its digest. In a pipe the columns are separated by tabs, and the time of the fetch is there instead
    of the age.

    --host and --all need associations that many hosts share: [associations] kind = "etcd".
    """
    if all_hosts and host is not None:
        raise click.UsageError("--host names one host, and --all lists all: give one of them")
    listed = partial(_listed, session, host) if all_hosts or host is not None else partial(_listed_here, session)
    if handler is not None:
        _check_handler(handler, listed)
    if image is not None:
        image = session.full_reference(image)
    rows: Iterable[_Row] = (row for row in listed(handler) if _is_of(row.source, image) and (not text or row.has(text)))
    if sort is not None:
        rows = sorted(rows, key=_SORT_KEYS[sort])
    if session.json:
        for row in rows:
            as_json(row.record())
    else:
        columns = (_HOST, *_COLUMNS) if all_hosts else _COLUMNS
        print_table(columns, (row.cells(all_hosts=all_hosts) for row in rows))


def _is_of(source: Association | Intent, image: str | None) -> bool:
    if image is None:
        return True
    if isinstance(source, Association):
        return source.image is not None and source.is_of(image)
    return source.image is not None and image in {source.image.id, source.image.name}


def _interrupted_record(intent: Intent) -> dict[str, object]:
    """An interrupted fetch with the keys of a record: what the fetch was to record, as far as it is known."""
    return association_record(
        Association(intent.target, intent.handler, intent.image, intent.location, intent.began_at)
    ) | {"landed_at": None}


_Listed = Iterator[_Row]


def _listed_here(session: Session, handler: str | None) -> _Listed:
    """The associations of this host, and the fetches that have not ended, ordered by target."""
    associations: AssociationStore = session.container.associations()
    fetches = {intent.target: intent for intent in session.container.journal().list() if intent.verb is Verb.FETCH}
    locks = session.container.locks()
    begun = [
        _begun_row(intent, intent, locks)
        for _, intent in sorted(fetches.items())
        if handler in {None, intent.handler} and session.value(associations.get(intent.target)) is None
    ]
    recorded = (
        _begun_row(each, fetches[each.target], locks) if each.target in fetches else _Row(None, each, last_state(each))
        for each in associations.list(handler=handler)
    )
    return merge(begun, recorded, key=lambda row: row.target)


def _begun_row(source: Association | Intent, fetch: Intent, locks: Locks) -> _Row:
    """The line of a target to which a fetch was interrupted, or to which another process fetches."""
    is_held = isinstance(locks, SupportsHolder) and locks.holder(lock_name(fetch.target)) is not None
    received = received_bytes(fetch.target, fetch.notes)
    total = fetch.image.size if fetch.image else None
    return _Row(None, source, "fetching" if is_held else "interrupted", received, total)


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
    return (
        _Row(name, each, last_state(each))
        for name, each in chain([first], found)
        if handler is None or each.handler == handler
    )


def _check_handler(name: str, listed: Callable[[str | None], _Listed]) -> None:
    """Raises BadParameter for a name that no handler has, installed or recorded."""
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does without it

    installed = plugins.discover(plugins.HANDLERS)
    if name in installed or next(listed(name), None) is not None:
        return
    known = {*installed, *(row.source.handler for row in listed(None))}
    raise click.BadParameter(f"no handler is named {name!r}; {_hint(name, known)}", param_hint="--handler")


def _hint(name: str, known: Collection[str]) -> str:
    """The known names that may be meant, or the known names."""
    if close := difflib.get_close_matches(name, known):
        return f"did you mean {' or '.join(map(repr, close))}?"
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"there are: {', '.join(sorted(known)[:_MOST_NAMES])}{more}"
