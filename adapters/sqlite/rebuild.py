"""Rebuilds a damaged or lost database from its record: what can be proven is recorded in a new one.

At any moment the record beside the database holds all that is not rebuilt yet, so that a rebuild can be interrupted:

1. The damaged database gets another name. What is left looks like a lost database: nothing is read or written.
2. One transaction makes the new database. It takes the intents, with the associations of their targets, and writes a
   new record, in which are these and all other associations of the old one. The old record keeps a second name, beside
   that of the damaged database.
3. The other associations are proven, and put into the new database, some at a time. It is in use meanwhile.
4. When all are done, the record is compacted: what could not be proven is dropped.

Interrupted after 1, a rebuild begins again; interrupted after 2, it is continued. A damaged database without a record,
of a lading before there were records, is read row by row as far as SQLite reads it.

The next command recovers the intents, which proves their targets by inode and birth. A removal alone destroys what it
finds intact, and its intent may be one that was never committed, or whose end is in a damaged entry. So an intact
target is kept, and the removal is undone. Where entries are damaged, an intent without notes is left out as well: there
is nothing to prove it by.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

from returns.result import safe

from lading.adapters.codec.associations import encode_association
from lading.adapters.codec.intents import encode_intent
from lading.adapters.codec.text import MALFORMED
from lading.adapters.sqlite.associations import FileAssociations, recording
from lading.adapters.sqlite.database import Database, Step, unavailable
from lading.adapters.sqlite.journal import beginning
from lading.adapters.sqlite.quarantine import corrupt_name, holds_nothing, quarantine, unfinished_rebuild
from lading.adapters.sqlite.record import Record
from lading.adapters.sqlite.record_file import Contents, begin_change, put_change
from lading.adapters.sqlite.rows import association_from_row
from lading.adapters.sqlite.schema import connect, create_file
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Verb

__all__ = ["Dropped", "Prove", "Rebuilt", "rebuild"]

Prove = Callable[[Association], Association | None]
"""The association as it may be recorded now, mostly with a new fingerprint; None when its target cannot be proven.

It raises nothing."""
_BATCH: Final = 64
"""Associations to a transaction: so many are proven again when a rebuild is interrupted."""


class Dropped(NamedTuple):
    """An association that is not in the new database."""

    target: str
    why: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The outcome of a rebuild."""

    aside: Path
    """The damaged database, with its log and its record beside it; of a lost one the record alone."""
    kept: tuple[Association, ...]
    """By target, as they are recorded now."""
    dropped: tuple[Dropped, ...]
    """By target."""
    damaged: int
    """Entries of the record that could not be read: what they held is not known."""


@safe(exceptions=(StoreUnavailable,))
def rebuild(path: Path, prove: Prove) -> Rebuilt:
    """Records in a new database the associations of a damaged or lost one that can be proven, and all its intents.

    `prove` is called once for each target, in order; meanwhile the new database is in use already, and what is recorded
    there by others stays. A rebuild that was interrupted is continued by the next call. Verified digests are not taken
    along: those files are hashed again when that is needed.

    Fails with StoreUnavailable, and nothing has changed, when the database is whole, another program's, of a newer
    version, or cannot be renamed, and when the record is of a newer version. When the new one cannot be written, the
    failure says where the damaged one is.
    """
    # The real path: where a link leads to nowhere, no file is made.
    path = Path(os.path.realpath(path))
    record = Record(path)
    try:
        found = record.read()
        aside = _unfinished(path, found)
        if aside is None:
            aside = corrupt_name(path) if _is_lost(path, found) else quarantine(path)
            # Read again, now that no other process adds to it.
            found = record.read() or _readable(aside)
            _start(path, aside, found, _provable_intents(found, prove))
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        return _finish(path, aside, found or Contents(), prove)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}; the damaged one is {aside} now") from error


def _is_lost(path: Path, found: Contents | None) -> bool:
    """Whether the record has outlived its database."""
    return found is not None and not found.is_empty and holds_nothing(path)


def _unfinished(path: Path, found: Contents | None) -> Path | None:
    """The name that the damaged database got from a rebuild that was interrupted."""
    name = unfinished_rebuild(path) if found is not None else None
    return path.with_name(name) if name else None


def _provable_intents(found: Contents, prove: Prove) -> list[Intent]:
    """The intents that recovery may act on, by target."""
    return [
        intent
        for target, intent in sorted(found.intents.items())
        if (intent.notes or not found.damaged)
        and not (intent.verb is Verb.REMOVE and target in found.associations and prove(found.associations[target]))
    ]


def _start(path: Path, aside: Path, found: Contents, intents: Sequence[Intent]) -> None:
    """Makes the new database with these intents, and its record with all that is to be proven."""
    record = Record(path)
    if record.path.exists():
        os.link(record.path, Record(aside).path)
    steps = [beginning(each) for each in intents]
    steps += [recording(found.associations[each.target]) for each in intents if each.target in found.associations]
    create_file(path)
    try:
        connect(path, lambda connection: _adopt(connection, record, steps, found, intents, aside.name)).close()
    except sqlite3.Error as error:
        raise unavailable(path, error) from error


def _adopt(
    connection: sqlite3.Connection,
    record: Record,
    steps: Sequence[Step],
    found: Contents,
    intents: Sequence[Intent],
    name: str,
) -> None:
    for sql, parameters, _ in steps:
        connection.execute(sql, parameters)
    changes = chain(
        (put_change(encode_association(each)) for each in found.associations.values()),
        (begin_change(encode_intent(each)) for each in intents),
    )
    record.adopt(connection, changes, len(found.associations) + len(intents), name)


def _readable(aside: Path) -> Contents:
    """The associations that SQLite reads before it comes to what is damaged."""
    found = Contents()
    with (
        suppress(sqlite3.Error, UnicodeDecodeError),
        closing(sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)) as connection,
    ):
        connection.text_factory = bytes
        for row in connection.execute("SELECT target, handler, document FROM associations"):
            with suppress(*MALFORMED):
                association = association_from_row(row)
                found.associations[association.target] = association
    return found


def _finish(path: Path, aside: Path, found: Contents, prove: Prove) -> Rebuilt:
    dropped: list[Dropped] = []
    with closing(Database(path)) as database:
        known = {each.target: each for each in FileAssociations(database).list()}
        kept = [known[target] for target in found.associations if target in known]
        remaining = (each for target, each in sorted(found.associations.items()) if target not in known)
        while batch := tuple(islice(remaining, _BATCH)):
            proven = [now for now in map(prove, batch) if now is not None]
            database.change(*(recording(association, replacing=False) for association in proven))
            kept += proven
            missing = {each.target for each in batch} - {each.target for each in proven}
            dropped += [Dropped(target, "what is there cannot be proven to be what was recorded") for target in missing]
        database.finish_rebuild()
    kept.sort(key=lambda each: each.target)
    kept_as = aside if aside.exists() else Record(aside).path
    return Rebuilt(kept_as, tuple(kept), tuple(sorted(dropped)), found.damaged)
