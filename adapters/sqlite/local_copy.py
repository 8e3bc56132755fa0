"""This host's copy of its part of a shared record, and the changes that the shared record does not have yet.

A change is made in the copy, and added to the changes, in one transaction. The copy is a FileAssociations. It also has
the record beside the database; the changes are only in the database.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from lading.adapters.codec.associations import association_from_document, encode_association
from lading.adapters.codec.text import MALFORMED, as_text, from_text, json_object
from lading.adapters.sqlite.associations import FileAssociations, put_step, remove_step
from lading.adapters.sqlite.database import Database, Query, Step
from lading.adapters.sqlite.rows import Row, Value
from lading.domain.handler_calls import value_or_raise
from lading.ports.association import Association
from lading.ports.handover import Change, Difference
from lading.ports.image import Digest

__all__ = ["CopyState", "LocalCopy"]

_Decoded = TypeVar("_Decoded")
_ADD: Final = """
INSERT INTO changes (id, target, before, after, decided_at)
VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?)
"""
_CHANGES: Final = "SELECT target, id, before, after, decided_at FROM changes ORDER BY number"
_FIRST: Final = f"{_CHANGES} LIMIT 1"
_IS_PENDING: Final = "SELECT 1 FROM changes WHERE id = ?"
_HAS_CHANGES: Final = "SELECT 1 FROM changes WHERE target = CAST(? AS TEXT)"
_DONE: Final = "DELETE FROM changes WHERE id = ?"
_DROP: Final = "DELETE FROM changes WHERE target = CAST(? AS TEXT)"
_LOSE: Final = """
INSERT INTO conflicts (target, own, shared)
SELECT target, after, CAST(? AS TEXT) FROM changes WHERE target = CAST(? AS TEXT) ORDER BY number
"""
_CONFLICTS: Final = "SELECT target, own, shared FROM conflicts ORDER BY number"
_HAS_CONFLICTS: Final = "SELECT 1 FROM conflicts WHERE target = CAST(? AS TEXT)"
_ACKNOWLEDGE: Final = "DELETE FROM conflicts WHERE target = CAST(? AS TEXT)"
_STATE: Final = "SELECT is_copied, paused_until FROM shared_record"
_COPIED: Final = """
INSERT INTO shared_record (id, is_copied) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET is_copied = 1
"""
_PAUSE: Final = """
INSERT INTO shared_record (id, paused_until) VALUES (1, ?)
ON CONFLICT (id) DO UPDATE SET paused_until = excluded.paused_until
"""


class CopyState(NamedTuple):
    """The state of a copy."""

    is_copied: bool
    """False: it was never compared with the shared record."""
    paused_until: float
    """The time, in seconds since the epoch, before which the shared record is not tried again."""

    def is_paused(self, seconds: float) -> bool:
        """Tells whether a pause of so many seconds has not ended. A clock that was set back does not make it longer."""
        return 0 < self.paused_until - time.time() <= seconds


class LocalCopy:
    """The copy in a database. Safe to share between threads and processes. All methods raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._associations = FileAssociations(database)

    def get(self, target: str) -> Association | None:
        return value_or_raise(self._associations.get(target))

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        return self._associations.list(handler=handler, image_id=image_id, digest=digest)

    def change(self, target: str, association: Association | None) -> None:
        """Records the association, or removes the target's. The change is pending until `done` or `lose`."""
        with self._database.transaction() as steps:
            before = self.get(target)
            if before != association:
                steps += [_copy_step(target, association), _change_step(target, before, association)]

    def first_change(self) -> Change | None:
        """The change to hand over next; None: nothing is pending."""
        return next(iter(self._decoded("changes", _FIRST, _change)), None)

    def changes(self) -> Sequence[Change]:
        """All pending changes, in order."""
        return self._decoded("changes", _CHANGES, _change)

    def conflicts(self) -> Sequence[Difference]:
        """The changes that were lost, in order."""
        return self._decoded("conflicts", _CONFLICTS, _difference)

    def done(self, change: Change) -> None:
        """Ends a change that the shared record has."""
        self._database.change((_DONE, (change.id,)))

    def lose(self, change: Change, shared: Association | None) -> bool:
        """Turns all changes of the target into conflicts: the shared record has another state, which the copy takes.

        False: another process has ended the change meanwhile.
        """
        target = as_text(change.target)
        with self._database.transaction() as steps:
            is_pending = bool(self._database.rows(_IS_PENDING, (change.id,)))
            if is_pending:
                steps += [(_LOSE, (_document(shared), target)), (_DROP, (target,)), _copy_step(change.target, shared)]
        return is_pending

    def acknowledge(self, target: str) -> bool:
        """Forgets the target's conflicts. False: there are none."""
        if not self._database.rows(_HAS_CONFLICTS, (as_text(target),)):
            return False
        self._database.change((_ACKNOWLEDGE, (as_text(target),)))
        return True

    def take(self, target: str, seen: Association | None, shared: Association | None) -> bool:
        """Takes the target's state from the shared record, which was read after the copy, when that had `seen`.

        False: this host has changed the target meanwhile, so the copy stays.
        """
        with self._database.transaction() as steps:
            is_unchanged = self.get(target) == seen and not self._database.rows(_HAS_CHANGES, (as_text(target),))
            if is_unchanged:
                steps.append(_copy_step(target, shared))
        return is_unchanged

    def fill(self, shared: Mapping[str, Association]) -> None:
        """Fills the copy at the first contact. What the database had before, and is not shared, is a pending change."""
        with self._database.transaction() as steps:
            if self.state().is_copied:
                return
            pending = {each.target for each in self.changes()}
            for each in self.list():
                if each.target not in pending and shared.get(each.target) != each:
                    steps.append(_change_step(each.target, None, each))
            steps += [put_step(each, replacing=False) for each in shared.values() if each.target not in pending]
            steps.append((_COPIED, ()))

    def state(self) -> CopyState:
        for is_copied, paused_until in self._database.rows(_STATE):
            return CopyState(bool(is_copied), float(paused_until or 0))
        return CopyState(is_copied=False, paused_until=0)

    def pause(self, until: float) -> None:
        """Lets no process of this host try the shared record before that time."""
        self._database.change((_PAUSE, (until,)))

    def _decoded(self, table: str, query: str, decode: Callable[[Row], _Decoded]) -> Sequence[_Decoded]:
        found = []
        for row in self._database.rows(query):
            try:
                found.append(decode(row))
            except MALFORMED as error:
                raise self._database.malformed_row(table, row, error) from error
        return found


def _copy_step(target: str, association: Association | None) -> Step:
    return remove_step(target) if association is None else put_step(association)


def _change_step(target: str, before: Association | None, after: Association | None) -> Query:
    decided_at = datetime.now(UTC).isoformat()
    return _ADD, (secrets.token_hex(8), as_text(target), _document(before), _document(after), decided_at)


def _document(association: Association | None) -> bytes | None:
    return None if association is None else encode_association(association)


def _association(document: Value) -> Association | None:
    return None if document is None else association_from_document(json_object(document))


def _change(row: Row) -> Change:
    target, identity, before, after, decided_at = row
    return Change(
        from_text(identity),
        from_text(target),
        _association(before),
        _association(after),
        datetime.fromisoformat(from_text(decided_at)),
    )


def _difference(row: Row) -> Difference:
    target, own, shared = row
    return Difference(from_text(target), _association(own), _association(shared))
