"""Intents in the host's database."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Final

from returns.result import safe

from lading.adapters.codec.records import (
    MALFORMED,
    decoded,
    encoded,
    image_from_record,
    image_to_record,
    location_from_record,
    location_to_record,
)
from lading.adapters.sqlite.database import Database, Row, as_text, from_text
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Verb

__all__ = ["FileJournal"]

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
        destination = as_text(intent.destination) if intent.destination is not None else None
        try:
            row = (as_text(intent.target), destination, _document(intent), encoded(dict(intent.notes)))
            changed = _difference(intent, _intent(row))
        except MALFORMED as error:
            raise StoreUnavailable(f"what is to be done to {intent.target} can't be written down: {error}") from error
        if changed is not None:
            raise StoreUnavailable(
                f"what is to be done to {intent.target} can't be written down: its {changed} would come back changed"
            )
        self._database.change((_BEGIN, row))

    @safe(exceptions=(StoreUnavailable,))
    def note(self, target: str, notes: Mapping[str, object]) -> None:
        try:
            written = encoded(dict(notes))
            is_kept = decoded(written) == notes
        except MALFORMED as error:
            raise StoreUnavailable(f"what is done to {target} can't be written down: {error}") from error
        if not is_kept:
            raise StoreUnavailable(f"what is done to {target} can't be written down: it would come back changed")
        self._database.change((_NOTE, (written, as_text(target))))

    @safe(exceptions=(StoreUnavailable,))
    def settle(self, target: str) -> None:
        self._database.change((_SETTLE, (as_text(target),)))

    @safe(exceptions=(StoreUnavailable,))
    def pending(self, target: str) -> Intent | None:
        rows = self._database.rows(_PENDING, (as_text(target),))
        return self._recalled(rows[0]) if rows else None

    def list(self) -> Iterator[Intent]:
        # Few at a time: each is somebody at work just now, or cut off.
        for row in self._database.rows(_LIST):
            yield self._recalled(row)

    def _recalled(self, row: Row) -> Intent:
        try:
            return _intent(row)
        except MALFORMED as error:
            target = row[0].decode(errors="replace") if isinstance(row[0], bytes) else row[0]
            reason = f"what it holds for {target} makes no sense ({type(error).__name__}: {error})"
            advice = "delete that row of the table intents"
            raise StoreUnavailable(f"the database {self._database.path} can't be used: {reason}: {advice}") from error


def _document(intent: Intent) -> bytes:
    return encoded(
        {
            "verb": intent.verb,
            "handler": intent.handler,
            "began_at": intent.began_at.astimezone(UTC).isoformat(),
            "force": intent.force,
            "even_if_in_use": intent.even_if_in_use,
            "location": location_to_record(intent.location),
            **image_to_record(intent.image),
        }
    )


def _intent(row: Row) -> Intent:
    """Raises one of NONSENSE when the row makes none."""
    target, destination, document, notes = row
    known = decoded(document)
    return Intent(
        target=from_text(target),
        verb=Verb(known["verb"]),
        handler=known["handler"],
        began_at=datetime.fromisoformat(known["began_at"]),
        image=image_from_record(known),
        location=location_from_record(known["location"]),
        destination=None if destination is None else from_text(destination),
        force=known["force"],
        even_if_in_use=known.get("even_if_in_use", False),  # not in what earlier versions wrote
        notes=decoded(notes),
    )


def _difference(one: Intent, other: Intent) -> str | None:
    """The name of a field that they don't agree in."""
    return next((each.name for each in fields(one) if getattr(one, each.name) != getattr(other, each.name)), None)
