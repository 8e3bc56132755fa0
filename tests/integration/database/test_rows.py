"""Rows of the database: read by an index, and refused where they make no sense."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import reduce

import pytest
from returns.result import Success
from tests.integration.database.recorded import NOBLE, refusal

from lading.adapters.codec.text import from_text
from lading.adapters.sqlite.associations import FileAssociations, list_query
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Association, Fingerprint
from lading.ports.image import Digest, Image
from lading.ports.location import Location


@pytest.mark.parametrize(
    ("handler", "image_id", "after", "index"),
    [
        (None, None, None, "sqlite_autoindex_associations_1"),
        (None, None, "/vms", "sqlite_autoindex_associations_1"),
        ("file", None, None, "associations_by_handler"),
        ("file", None, "/vms", "associations_by_handler"),
        (None, "155d900f", None, "associations_by_image"),
        (None, "155d900f", "/vms", "associations_by_image"),
        ("file", "155d900f", "/vms", "associations_by_"),
    ],
)
def test_every_page_of_a_list_comes_from_an_index_in_order(
    database: Database, handler: str | None, image_id: str | None, after: str | None, index: str
) -> None:
    database.change()
    sql, parameters = list_query(handler, image_id, after)
    plan = " ".join(str(row[3]) for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert "TEMP B-TREE" not in plan
    assert f"USING INDEX {index}" in plan
    # The whole list's first page alone has no key to begin at: it begins at the first.
    assert ("SEARCH" if any((handler, image_id, after)) else "SCAN") in plan


@pytest.mark.parametrize(
    "document",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"landed_at": 1, "location": null, "image": null}',
        '{"landed_at": "2026-01-01T00:00:00+00:00", "location": "file:///noble.img"}',
        '{"location": null, "image": {"id": ""}}',
        b"\xff\xff",
    ],
)
def test_a_row_without_sense_can_be_removed_or_replaced(
    associations: FileAssociations, database: Database, document: str | bytes
) -> None:
    associations.put(NOBLE)
    database.change(("UPDATE associations SET document = CAST(? AS TEXT)", (document,)))
    told = str(associations.get(NOBLE.target).failure())
    assert told.startswith(f"the database {database.path} cannot be used: its row for /vms/1/disk is malformed")
    assert told.endswith("; delete that row of the table associations")
    assert refusal(lambda: list(associations.list())) == told
    assert associations.put(NOBLE) == Success(None)
    assert associations.get(NOBLE.target) == Success(NOBLE)
    assert associations.remove(NOBLE.target) == Success(None)


def nested(depth: int) -> Mapping[str, object]:
    return reduce(lambda inner, _: {"deeper": inner}, range(depth), dict[str, object]())


@pytest.mark.parametrize(
    "odd",
    [
        replace(NOBLE, image=Image("a", properties={"tags": ("one", "two")})),
        replace(NOBLE, image=Image("a", properties={"key": b"bytes"})),
        replace(NOBLE, image=Image("a", properties={"key": {1: "one"}})),
        replace(NOBLE, image=Image("a", properties={"key": float("nan")})),
        replace(NOBLE, image=Image("a", properties=nested(100_000))),
        replace(NOBLE, image=Image(" ")),
        replace(NOBLE, image=Image("a", size=-1)),
        replace(NOBLE, location=Location("file:///a", {"key": {1}})),
        replace(NOBLE, landed_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is odd about it
    ],
    ids=["tuple", "bytes", "number as key", "NaN", "too deep", "blank id", "negative size", "set", "no time zone"],
)
def test_a_value_that_would_come_back_changed_is_refused(associations: FileAssociations, odd: Association) -> None:
    associations.put(NOBLE)
    told = str(associations.put(odd).failure())
    assert told.startswith(f"the association of {NOBLE.target} cannot be written down: ")
    assert list(associations.list()) == [NOBLE]


def test_a_damaged_digest_counts_as_none(database: Database) -> None:
    verified, file = FileVerifiedFiles(database), Fingerprint(1, 2, 3, 4, 5)
    verified.remember(file, Digest("sha256", "ab"))
    database.change(("UPDATE verifications SET value = CAST(? AS TEXT)", (b"\xff",)))
    assert verified.digest(file, "sha256") == Success(None)


def test_bytes_are_not_taken_for_text() -> None:
    with pytest.raises(ValueError, match="expected text, got None"):
        from_text(None)
