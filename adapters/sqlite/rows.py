"""Associations and intents as rows of the database: columns for queries, and the rest of the document."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from lading.adapters.codec.associations import association_from_document, encode_association
from lading.adapters.codec.intents import encode_intent, intent_from_document
from lading.adapters.codec.text import MALFORMED, as_text, from_text, json_object, to_json
from lading.adapters.sqlite.record_file import begin_change, put_change
from lading.ports.association import Association
from lading.ports.journal import Intent

__all__ = [
    "Row",
    "Value",
    "association_from_row",
    "association_row",
    "count_rows",
    "intent_from_row",
    "intent_row",
    "row_changes",
]

Value = bytes | str | int | float | None
"""A parameter of a statement, or a column of a row."""
Row = tuple[Value, ...]
"""Text is returned as bytes: see `from_text`."""


def association_row(association: Association) -> tuple[Row, bytes]:
    """The columns target, handler, image_id and document, and the whole document. Raises ValueError, like the codec."""
    whole = encode_association(association)
    target, handler = as_text(association.target), as_text(association.handler)
    image_id = as_text(association.image.id) if association.image else None
    return (target, handler, image_id, b"{" + whole[len(_association_head(target, handler)) :]), whole


def association_from_row(row: Row) -> Association:
    """The association of a row (target, handler, document). Raises one of MALFORMED for a malformed row."""
    target, handler, document = row
    return association_from_document(
        {**json_object(document), "target": from_text(target), "handler": from_text(handler)}
    )


def intent_row(intent: Intent) -> tuple[Row, bytes]:
    """The columns target, destination, document and notes, and the whole document. Raises ValueError as the codec."""
    whole = encode_intent(intent)
    target, notes = as_text(intent.target), to_json(dict(intent.notes))
    destination = None if intent.destination is None else as_text(intent.destination)
    return (target, destination, b"{" + whole[len(_intent_head(target, destination, notes)) :], notes), whole


def intent_from_row(row: Row) -> Intent:
    """The intent of a row (target, destination, document, notes). Raises one of MALFORMED for a malformed row."""
    target, destination, document, notes = row
    return intent_from_document(
        {
            **json_object(document),
            "target": from_text(target),
            "destination": None if destination is None else from_text(destination),
            "notes": json_object(notes),
        }
    )


def row_changes(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The changes for the record that produce all rows of the database. Malformed rows are left out."""
    for target, handler, document in connection.execute("SELECT target, handler, document FROM associations"):
        with suppress(*MALFORMED):
            yield put_change(_on_one_line(_association_head(target, handler) + document[1:]))
    for target, destination, document, notes in connection.execute(
        "SELECT target, destination, document, notes FROM intents"
    ):
        with suppress(*MALFORMED):
            yield begin_change(_on_one_line(_intent_head(target, destination, notes) + document[1:]))


def count_rows(connection: sqlite3.Connection) -> int:
    """The number of associations and intents."""
    (count,) = connection.execute(
        "SELECT (SELECT count(*) FROM associations) + (SELECT count(*) FROM intents)"
    ).fetchone()
    return int(count)


def _association_head(target: bytes, handler: bytes) -> bytes:
    return b'{"target":%b,"handler":%b,' % (_json_text(target), _json_text(handler))


def _intent_head(target: bytes, destination: bytes | None, notes: bytes) -> bytes:
    where = b"null" if destination is None else _json_text(destination)
    return b'{"target":%b,"destination":%b,"notes":%b,' % (_json_text(target), where, notes)


def _json_text(text: bytes) -> bytes:
    return to_json(from_text(text))


def _on_one_line(document: bytes) -> bytes:
    # In JSON, a line break is only between tokens: in a string it is escaped (RFC 8259, section 7).
    return document.replace(b"\n", b" ")
