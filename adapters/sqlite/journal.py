"""Intents in the host's database."""

from collections.abc import Iterator, Mapping
from typing import Final

from returns.result import safe

from lading.adapters.codec.intents import encode_notes
from lading.adapters.codec.text import MALFORMED, as_text
from lading.adapters.sqlite.database import Database, Step
from lading.adapters.sqlite.record_file import begin_change, note_change, settle_change
from lading.adapters.sqlite.rows import Row, intent_from_row, intent_row
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent

__all__ = ["FileJournal", "begin_step"]

_COLUMNS: Final = "target, destination, document, notes"
_BEGIN: Final = f"""
REPLACE INTO intents ({_COLUMNS}) VALUES (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))
"""  # noqa: S608 - constants
_NOTE: Final = "UPDATE intents SET notes = CAST(? AS TEXT) WHERE target = CAST(? AS TEXT)"
_SETTLE: Final = "DELETE FROM intents WHERE target = CAST(? AS TEXT)"
_PENDING: Final = f"""
SELECT {_COLUMNS} FROM intents
WHERE target = CAST(?1 AS TEXT) OR destination = CAST(?1 AS TEXT) ORDER BY target <> CAST(?1 AS TEXT) LIMIT 1
"""  # noqa: S608 - constants
_LIST: Final = f"SELECT {_COLUMNS} FROM intents ORDER BY target"  # noqa: S608 - constants


class FileJournal:
    """A Journal in a file: durable, and shared by every process that opens the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @safe(exceptions=(StoreUnavailable,))
    def begin(self, intent: Intent) -> None:
        self._database.change(begin_step(intent))

    @safe(exceptions=(StoreUnavailable,))
    def note(self, target: str, notes: Mapping[str, object]) -> None:
        try:
            written = encode_notes(notes)
        except ValueError as error:
            raise StoreUnavailable(f"the notes on {target} cannot be written down: {error}") from error
        self._database.change(Step(_NOTE, (written, as_text(target)), note_change(target, written)))

    @safe(exceptions=(StoreUnavailable,))
    def settle(self, target: str) -> None:
        self._database.change(Step(_SETTLE, (as_text(target),), settle_change(target)))

    @safe(exceptions=(StoreUnavailable,))
    def pending(self, target: str) -> Intent | None:
        rows = self._database.rows(_PENDING, (as_text(target),))
        return self._intent(rows[0]) if rows else None

    def list(self) -> Iterator[Intent]:
        # There are few at a time: operations that run now or were interrupted.
        for row in self._database.rows(_LIST):
            yield self._intent(row)

    def _intent(self, row: Row) -> Intent:
        try:
            return intent_from_row(row)
        except MALFORMED as error:
            raise self._database.malformed_row("intents", row, error) from error


def begin_step(intent: Intent) -> Step:
    """The step that begins an intent. Raises StoreUnavailable when the intent cannot be stored as it is."""
    try:
        row, document = intent_row(intent)
    except ValueError as error:
        raise StoreUnavailable(f"the intent for {intent.target} cannot be written down: {error}") from error
    return Step(_BEGIN, row, begin_change(document))
