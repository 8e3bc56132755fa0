"""A damaged database set aside, and a new one made of what can be proven."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from returns.result import safe

from lading.adapters.sqlite.associations import FileAssociations, recording
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.salvage.quarantine import quarantine
from lading.adapters.sqlite.salvage.salvaging import salvaged
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable

__all__ = ["Dropped", "Prove", "Rebuilt", "rebuild", "restore"]

Prove = Callable[[Association], Association | None]
"""The association as it may be recorded now, mostly with a new fingerprint; None when its target can't be proven.

It raises nothing."""
_BATCH: Final = 64
"""Associations to a transaction: so many are asked for again when a rebuilding is interrupted."""


class Dropped(NamedTuple):
    """What is not in the new database."""

    target: str
    why: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of a damaged database."""

    aside: Path
    """Where it is now, with its log beside it."""
    kept: tuple[Association, ...]
    """By target, as they are recorded now."""
    dropped: tuple[Dropped, ...]


@safe(exceptions=(StoreUnavailable,))
def rebuild(path: Path, prove: Prove) -> Rebuilt:
    """Set the damaged database aside, and record in a new one of its associations those that can be proven.

    `prove` is asked once for each target, in order; meanwhile the new database is in use already, and what is recorded
    there by others stays. A rebuilding that was interrupted is finished by `restore`. Verified files are not taken
    along: they are hashed again when they are asked for.

    Fails with StoreUnavailable, and nothing has changed, when the database is whole, another program's, of a newer
    version, or not to be renamed. When the new one can't be written, the failure says where the damaged one is.
    """
    aside = quarantine(path)
    try:
        return _restored(path, aside, prove)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}; the damaged one is {aside} now") from error


@safe(exceptions=(StoreUnavailable,))
def restore(path: Path, aside: Path, prove: Prove) -> Rebuilt:
    """Record in the database what can be proven of one that was set aside. What is recorded already stays as it is."""
    return _restored(path, aside, prove)


def _restored(path: Path, aside: Path, prove: Prove) -> Rebuilt:
    found = salvaged(aside)
    dropped = [Dropped(target, "what was recorded of it is damaged") for target in found.lost]
    # The real path: where a link leads to nowhere, no file is made.
    with closing(Database(os.path.realpath(path))) as database:
        database.change()
        known = {each.target: each for each in FileAssociations(database).list()}
        kept = [known[each.target] for each in found.associations if each.target in known]
        remaining = (each for each in found.associations if each.target not in known)
        while batch := tuple(islice(remaining, _BATCH)):
            proven = [now for now in map(prove, batch) if now is not None]
            database.change(*(recording(association, replacing=False) for association in proven))
            kept += proven
            missing = {each.target for each in batch} - {each.target for each in proven}
            dropped += [Dropped(target, "what is there can't be proven to be what was recorded") for target in missing]
    return Rebuilt(aside, tuple(sorted(kept, key=lambda each: each.target)), tuple(sorted(dropped)))
