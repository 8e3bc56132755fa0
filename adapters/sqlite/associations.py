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

__all__ = ["FileAssociations", "listing", "recording"]

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

    An association comes back exactly as it was put. One that cannot, because its image's properties or its location's
    metadata hold what JSON does not know, is refused.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @safe(exceptions=(StoreUnavailable,))
    def get(self, target: str) -> Association | None:
        rows = self._database.rows(_GET, (as_text(target),))
        return self._recalled(rows[0]) if rows else None

    @safe(exceptions=(StoreUnavailable,))
    def put(self, association: Association) -> None:
        self._database.change(recording(association))

    @safe(exceptions=(StoreUnavailable,))
    def remove(self, target: str) -> None:
        self._database.change(Step(_REMOVE, (as_text(target),), remove_change(target)))

    def list(self, *, handler: str | None = None, image_id: str | None = None) -> Iterator[Association]:
        after: str | None = None
        while rows := self._database.rows(*listing(handler, image_id, after)):
            for row in rows:
                association = self._recalled(row)
                yield association
            after = association.target

    def _recalled(self, row: Row) -> Association:
        try:
            return association_from_row(row)
        except MALFORMED as error:
            target = row[0].decode(errors="replace") if isinstance(row[0], bytes) else row[0]
            reason = f"what it holds for {target} makes no sense ({type(error).__name__}: {error})"
            advice = "delete that row of the table associations"
            raise StoreUnavailable(f"the database {self._database.path} cannot be used: {reason}: {advice}") from error


def recording(association: Association, *, replacing: bool = True) -> Step:
    """The step that records it, unless, without `replacing`, something is recorded for its target already.

    Raises StoreUnavailable when it cannot be written down so that it comes back as it is.
    """
    try:
        row, document = association_row(association)
    except ValueError as error:
        raise StoreUnavailable(f"the association of {association.target} cannot be written down: {error}") from error
    return Step(_RECORD if replacing else f"{_ADD} NOTHING", row, put_change(document))


def listing(handler: str | None, image_id: str | None, after: str | None) -> Query:
    """The query of the next page of those of the handler and the image, where given, whose targets come after that one.

    From key to key rather than by offset, so that no page costs more than the first, and what comes and goes between
    two pages makes none skip or repeat what stays.
    """
    wanted = [
        (condition, as_text(value))
        for condition, value in (
            ("handler = CAST(? AS TEXT)", handler),
            ("image_id = CAST(? AS TEXT)", image_id),
            ("target > CAST(? AS TEXT)", after),
        )
        if value is not None
    ]
    where = " AND ".join(["TRUE", *(condition for condition, _ in wanted)])
    sql = f"SELECT {_COLUMNS} FROM associations WHERE {where} ORDER BY target LIMIT {_PAGE}"  # noqa: S608 - constants
    return sql, [value for _, value in wanted]
