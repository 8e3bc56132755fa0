"""The rebuild of a damaged or lost database from its record: what can be proven is recorded in a new database.

At any moment the record beside the database holds all that is not rebuilt yet, so that a rebuild can be interrupted:

1. The damaged database gets another name. Then the database looks lost: nothing is read or written.
2. One transaction makes the new database. It contains the intents, with the associations of their targets. It writes a
   new record with these and all other associations of the old record. The old record gets a second name, beside that
   of the damaged database.
3. The other associations are proven, and put into the new database, in batches. It is in use meanwhile.
4. At the end the record is compacted: what could not be proven is dropped.

A rebuild that was interrupted after step 1 begins again; after step 2 it continues. A damaged database without a
record, of a version before there were records, is read row by row as far as SQLite can read it.

The next command recovers the intents, which proves their targets by inode and birth. Only a removal destroys a target
that it finds intact, and its intent may not have been committed, or its end may be in a damaged entry. So an intact
target is kept, and the removal is rolled back. Where entries are damaged, an intent without notes is dropped too:
nothing can prove it.
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
from lading.adapters.sqlite.associations import FileAssociations, put_step
from lading.adapters.sqlite.database import Database, Step, unavailable
from lading.adapters.sqlite.journal import begin_step
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
"""Returns the association to record now, usually with a new fingerprint; None when its target cannot be proven.

It raises nothing."""
_BATCH: Final = 64
"""Associations in one transaction: the most that an interrupted rebuild proves again."""


class Dropped(NamedTuple):
    """An association that is not in the new database."""

    target: str
    why: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The outcome of a rebuild."""

    aside: Path
    """The damaged database, with its log and its record beside it; for a lost one only the record."""
    kept: tuple[Association, ...]
    """The associations in the new database, sorted by target."""
    dropped: tuple[Dropped, ...]
    """Sorted by target."""
    damaged: int
    """Entries of the record that cannot be read."""


@safe(exceptions=(StoreUnavailable,))
def rebuild(path: Path, prove: Prove) -> Rebuilt:
    """Records in a new database the associations of a damaged or lost one that can be proven, and all its intents.

    `prove` is called once for each target, in order. The new database is in use meanwhile, and records of other
    processes stay in it. The next call continues an interrupted rebuild. Verified digests are not rebuilt: the files
    are hashed again when needed.

    Fails with StoreUnavailable, and changes nothing, when the database is whole, another program's, of a newer version,
    or cannot be renamed, and when the record is of a newer version. When the new database cannot be written, the
    failure names the damaged one.
    """
    # The real path: where a link leads to nowhere, no file is made.
    path = Path(os.path.realpath(path))
    record = Record(path)
    try:
        found = record.read()
        aside = _unfinished(path, found)
        if aside is None:
            aside = corrupt_name(path) if _is_lost(path, found) else quarantine(path)
            # Read again: no other process adds to it now.
            found = record.read() or _readable(aside)
            _start(path, aside, found, _provable_intents(found, prove))
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        return _finish(path, aside, found or Contents(), prove)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}; the damaged one is {aside} now") from error


def _is_lost(path: Path, found: Contents | None) -> bool:
    """Returns True when only the record is left."""
    return found is not None and not found.is_empty and holds_nothing(path)


def _unfinished(path: Path, found: Contents | None) -> Path | None:
    """The path of the damaged database of an interrupted rebuild; None: no rebuild was interrupted."""
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
    """Makes the new database with these intents, and its record with all associations to prove."""
    record = Record(path)
    if record.path.exists():
        os.link(record.path, Record(aside).path)
    steps = [begin_step(each) for each in intents]
    steps += [put_step(found.associations[each.target]) for each in intents if each.target in found.associations]
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
    """The associations that SQLite can read before the first damaged page."""
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
            database.change(*(put_step(association, replacing=False) for association in proven))
            kept += proven
            missing = {each.target for each in batch} - {each.target for each in proven}
            dropped += [Dropped(target, "the target cannot be proven to be the recorded one") for target in missing]
        database.finish_rebuild()
    kept.sort(key=lambda each: each.target)
    kept_as = aside if aside.exists() else Record(aside).path
    return Rebuilt(kept_as, tuple(kept), tuple(sorted(dropped)), found.damaged)
