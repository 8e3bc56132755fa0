"""Associations in the host's database."""

from collections.abc import Iterator
from typing import Final

from returns.result import safe

from lading.adapters.codec.text import MALFORMED, as_text
from lading.adapters.sqlite.database import Database, Query, Step
from lading.adapters.sqlite.record_file import put_change, remove_change
from lading.adapters.sqlite.rows import Row, association_from_row, association_row
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["FileAssociations", "list_query", "put_step", "remove_step"]

_PAGE: Final = 256
"""Rows that a list holds in memory at a time."""
_COLUMNS: Final = "target, handler, document"
_ADD: Final = """
INSERT INTO associations (target, handler, image_id, document)
VALUES (CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))
ON CONFLICT (target) DO
"""
_RECORD: Final = f"""{_ADD} UPDATE
SET handler = excluded.handler, image_id = excluded.image_id, document = excluded.document
"""
_GET: Final = f"SELECT {_COLUMNS} FROM associations WHERE target = CAST(? AS TEXT)"  # noqa: S608 - constants
_REMOVE: Final = "DELETE FROM associations WHERE target = CAST(? AS TEXT)"


class FileAssociations:
    """An AssociationStore in a file: durable, and shared by every process that opens the same database.

    An association is returned exactly as it was put. It is refused when its image's properties or its location's
    metadata cannot be represented in JSON.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @safe(exceptions=(StoreUnavailable,))
    def get(self, target: str) -> Association | None:
        rows = self._database.rows(_GET, (as_text(target),))
        return self._association(rows[0]) if rows else None

    @safe(exceptions=(StoreUnavailable,))
    def put(self, association: Association) -> None:
        self._database.change(put_step(association))

    @safe(exceptions=(StoreUnavailable,))
    def remove(self, target: str) -> None:
        self._database.change(remove_step(target))

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        after: str | None = None
        while rows := self._database.rows(*list_query(handler, image_id, after, digest)):
            for row in rows:
                association = self._association(row)
                image = association.image
                if digest is None or (image is not None and image.expected_digest == digest):
                    yield association
            after = association.target

    def _association(self, row: Row) -> Association:
        try:
            return association_from_row(row)
        except MALFORMED as error:
            raise self._database.malformed_row("associations", row, error) from error


def put_step(association: Association, *, replacing: bool = True) -> Step:
    """The step that records an association. `replacing` False: an earlier one of its target stays.

    Raises StoreUnavailable when the association cannot be stored as it is.
    """
    try:
        row, document = association_row(association)
    except ValueError as error:
        raise StoreUnavailable(f"the association of {association.target} cannot be written down: {error}") from error
    return Step(_RECORD if replacing else f"{_ADD} NOTHING", row, put_change(document))


def remove_step(target: str) -> Step:
    """The step that removes the association of a target."""
    return Step(_REMOVE, (as_text(target),), remove_change(target))


def list_query(handler: str | None, image_id: str | None, after: str | None, digest: Digest | None = None) -> Query:
    """The query of a page of associations: of the handler and the image, if given, with targets that follow `after`.

    With a digest the page has all documents in which its hex digits are, in any place.

    It pages by key and not by offset: each page costs the same, and a change between two pages makes neither skip or
    repeat other rows.
    """
    conditions = [
        (condition, as_text(value))
        for condition, value in (
            ("handler = CAST(? AS TEXT)", handler),
            ("image_id = CAST(? AS TEXT)", image_id),
            ("instr(document, CAST(? AS TEXT)) > 0", digest.value if digest else None),
            ("target > CAST(? AS TEXT)", after),
        )
        if value is not None
    ]
    where = " AND ".join(["TRUE", *(condition for condition, _ in conditions)])
    sql = f"SELECT {_COLUMNS} FROM associations WHERE {where} ORDER BY target LIMIT {_PAGE}"  # noqa: S608 - constants
    return sql, [value for _, value in conditions]
