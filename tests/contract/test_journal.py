"""The contract of Journal, over every adapter. What it says of durable ones, over those; and of FileJournal alone."""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from returns.result import Success
from tests.strategies import HUSH, intents, urls_with_secrets

from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.sqlite import schema
from lading.adapters.sqlite.associations import FileAssociations, put_step
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Image
from lading.ports.journal import Intent, Journal, NullJournal, Verb
from lading.ports.location import Location
from lading.sdk.contracts.strategies import any_targets, json_objects

DURABLE: Final[dict[str, Callable[[Path], Journal]]] = {
    "file": lambda folder: FileJournal(Database(folder / "lading.db")),
}
ADAPTERS: Final[dict[str, Callable[[Path], Journal]]] = {"memory": lambda _: MemoryJournal(), **DURABLE}

NOBLE = Image("155d900f", "noble")
AT = datetime(2026, 1, 1, tzinfo=UTC)
one_journal_for_all = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=ADAPTERS)
def journal(request: pytest.FixtureRequest, quick_folder: Path) -> Journal:
    return ADAPTERS[request.param](quick_folder)


@pytest.fixture(params=DURABLE)
def opening(request: pytest.FixtureRequest, quick_folder: Path) -> Callable[[], Journal]:
    """Opens the same journal, once more each time."""
    return lambda: DURABLE[request.param](quick_folder)


def intent(target: str = "/vms/1/disk", handler: str = "http", destination: str | None = None) -> Intent:
    verb = Verb.MOVE if destination else Verb.FETCH
    return Intent(target, verb, handler, AT, NOBLE, Location("http://host/noble.img"), destination)


def emptied(journal: Journal) -> Journal:
    for each in list(journal.list()):
        journal.settle(each.target)
    return journal


# Every journal.


@one_journal_for_all
@given(intents())
def test_what_is_begun_comes_back_exactly(journal: Journal, begun: Intent) -> None:
    assert journal.begin(begun) == Success(None)
    assert journal.pending(begun.target) == Success(begun)
    assert begun in journal.list()


def test_of_a_target_at_which_nothing_is_under_way_it_knows_nothing(journal: Journal) -> None:
    assert journal.pending("/vms/1/disk") == Success(None)
    assert list(journal.list()) == []


def test_what_is_begun_takes_the_place_of_what_was_begun_at_its_target(journal: Journal) -> None:
    journal.begin(replace(intent(destination="/vms/2/disk"), notes={"moving": True}))
    journal.begin(intent(handler="download"))
    assert list(journal.list()) == [intent(handler="download")]
    assert journal.pending("/vms/2/disk") == Success(None)


@one_journal_for_all
@given(any_targets(), json_objects(), json_objects())
def test_notes_come_back_exactly_and_each_in_place_of_those_before(
    journal: Journal, target: str, first: dict[str, object], second: dict[str, object]
) -> None:
    journal.begin(intent(target))
    for notes in (first, second):
        assert journal.note(target, notes) == Success(None)
        assert journal.pending(target) == Success(replace(intent(target), notes=notes))


def test_notes_are_as_they_were_when_they_were_given(journal: Journal) -> None:
    notes: dict[str, object] = {"part": 1}
    journal.begin(intent())
    journal.note("/vms/1/disk", notes)
    notes["part"] = 2
    assert journal.pending("/vms/1/disk") == Success(replace(intent(), notes={"part": 1}))


def test_notes_may_be_any_mapping(journal: Journal) -> None:
    journal.begin(replace(intent(), notes=MappingProxyType({"part": 1})))
    assert journal.pending("/vms/1/disk").map(lambda known: known and known.notes["part"]) == Success(1)
    journal.note("/vms/1/disk", MappingProxyType({"part": 2}))
    assert journal.pending("/vms/1/disk") == Success(replace(intent(), notes={"part": 2}))


def test_without_an_intent_no_note_is_written(journal: Journal) -> None:
    journal.begin(intent("/vms/1/disk", destination="/vms/2/disk"))
    assert journal.note("/vms/2/disk", {"part": 1}) == Success(None)
    assert journal.note("/vms/3/disk", {"part": 1}) == Success(None)
    assert list(journal.list()) == [intent("/vms/1/disk", destination="/vms/2/disk")]


def test_what_is_settled_is_forgotten_and_may_be_settled_again(journal: Journal) -> None:
    journal.begin(intent("/vms/1/disk"))
    journal.begin(intent("/vms/2/disk"))
    for _ in range(2):
        assert journal.settle("/vms/1/disk") == Success(None)
        assert journal.pending("/vms/1/disk") == Success(None)
        assert list(journal.list()) == [intent("/vms/2/disk")]


def test_settling_what_was_never_begun_is_no_failure(journal: Journal) -> None:
    assert journal.settle("/vms/1/disk") == Success(None)


def test_a_move_is_pending_at_both_its_ends_and_settled_at_its_source(journal: Journal) -> None:
    moving = intent("/vms/1/disk", destination="/vms/2/disk")
    journal.begin(moving)
    assert [journal.pending(f"/vms/{number}/disk").unwrap() for number in (1, 2, 3)] == [moving, moving, None]
    journal.settle("/vms/2/disk")
    assert journal.pending("/vms/2/disk") == Success(moving)
    journal.settle("/vms/1/disk")
    assert journal.pending("/vms/2/disk") == Success(None)


@pytest.mark.parametrize("in_turn", [list, reversed], ids=["moved first", "fetched first"])
def test_what_a_target_is_the_target_of_comes_before_what_it_is_the_destination_of(
    journal: Journal, in_turn: Callable[[list[Intent]], list[Intent]]
) -> None:
    for each in in_turn([intent("/vms/1/disk", destination="/vms/2/disk"), intent("/vms/2/disk")]):
        journal.begin(each)
    assert journal.pending("/vms/2/disk") == Success(intent("/vms/2/disk"))


@one_journal_for_all
@given(st.lists(any_targets(), unique=True))
def test_a_list_goes_by_target(journal: Journal, different: list[str]) -> None:
    emptied(journal)
    for target in different:
        journal.begin(intent(target))
    assert [each.target for each in journal.list()] == sorted(different)


def test_a_list_reads_nothing_before_the_first_is_asked_for(journal: Journal) -> None:
    listed = journal.list()
    journal.begin(intent())
    assert list(listed) == [intent()]


def test_a_list_that_is_left_half_way_keeps_nobody_from_writing(journal: Journal) -> None:
    journal.begin(intent("/1"))
    journal.begin(intent("/2"))
    half_way = journal.list()
    assert next(half_way) == intent("/1")
    assert journal.begin(intent("/3")) == Success(None)
    assert journal.settle("/2") == Success(None)


@one_journal_for_all
@given(st.lists(st.tuples(st.sampled_from(["begin", "note", "settle"]), st.sampled_from("abc"), st.integers())))
def test_it_holds_what_a_dict_would(journal: Journal, steps: list[tuple[str, str, int]]) -> None:
    emptied(journal)
    model: dict[str, Intent] = {}
    for verb, target, number in steps:
        match verb:
            case "begin":
                model[target] = intent(target, str(number))
                journal.begin(model[target])
            case "note":
                model |= {target: replace(model[target], notes={"n": number})} if target in model else {}
                journal.note(target, {"n": number})
            case _:
                model.pop(target, None)
                journal.settle(target)
    assert list(journal.list()) == [model[target] for target in sorted(model)]
    assert [journal.pending(target) for target in "abc"] == [Success(model.get(target)) for target in "abc"]


def test_two_threads_do_not_get_into_each_others_way(journal: Journal) -> None:
    together = threading.Barrier(2)

    def work(thread: int) -> list[Intent | None]:
        target, seen = f"/vms/{thread}/disk", []
        together.wait()
        for number in range(25):
            journal.begin(intent(target))
            journal.note(target, {"n": number})
            seen.append(journal.pending(target).unwrap())
            journal.settle(target)
        return seen

    with ThreadPoolExecutor(2) as threads:
        for thread, seen in enumerate(threads.map(work, range(2))):
            noted = [replace(intent(f"/vms/{thread}/disk"), notes={"n": number}) for number in range(25)]
            assert seen == noted
    assert list(journal.list()) == []


def test_what_one_thread_begins_every_other_sees(journal: Journal) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(journal.begin, [intent(f"/{number}") for number in range(16)])) == {Success(None)}
        found = list(threads.map(journal.pending, [f"/{number}" for number in range(16)]))
    assert found == [Success(intent(f"/{number}")) for number in range(16)]


# No journal.


def test_the_journal_of_who_keeps_none_takes_everything_and_knows_nothing() -> None:
    journal: Journal = NullJournal()
    written = [journal.begin(intent()), journal.note("/vms/1/disk", {"part": 1}), journal.settle("/vms/2/disk")]
    assert written == [Success(None)] * 3
    assert journal.pending("/vms/1/disk") == Success(None)
    assert list(journal.list()) == []


# Durable journals.


def test_what_was_begun_and_noted_is_there_when_it_is_opened_again(opening: Callable[[], Journal]) -> None:
    moving = intent("/vms/1/disk", destination="/vms/2/disk")
    opening().begin(moving)
    assert opening().note(moving.target, {"moving": [1, 2]}) == Success(None)
    assert opening().pending("/vms/2/disk") == Success(replace(moving, notes={"moving": [1, 2]}))
    assert list(opening().list()) == [replace(moving, notes={"moving": [1, 2]})]


def test_what_was_settled_stays_settled(opening: Callable[[], Journal]) -> None:
    opening().begin(intent())
    opening().settle("/vms/1/disk")
    assert list(opening().list()) == []


def test_two_openings_see_what_the_other_does(opening: Callable[[], Journal]) -> None:
    one, other = opening(), opening()
    one.begin(intent())
    assert other.pending("/vms/1/disk") == Success(intent())
    other.settle("/vms/1/disk")
    assert one.pending("/vms/1/disk") == Success(None)


# The one in the host's database.


@pytest.fixture
def database(quick_folder: Path) -> Database:
    return Database(quick_folder / "lading.db")


@pytest.fixture
def filed(database: Database) -> FileJournal:
    return FileJournal(database)


def told(outcome: object) -> str:
    """The words of a refusal."""
    failure = outcome.failure()  # type: ignore[attr-defined]  # a Result of anything
    assert isinstance(failure, StoreUnavailable)
    return str(failure)


def nested(depth: int) -> Mapping[str, object]:
    return reduce(lambda inner, _: {"deeper": inner}, range(depth), dict[str, object]())


ODD_NOTES: Final[dict[str, Mapping[str, object]]] = {
    "tuple": {"tags": ("one", "two")},
    "bytes": {"key": b"bytes"},
    "number as key": {"key": {1: "one"}},
    "NaN": {"key": float("nan")},
    "set": {"key": {1}},
    "too deep": nested(100_000),
}


@pytest.mark.parametrize("notes", ODD_NOTES.values(), ids=ODD_NOTES)
def test_notes_that_would_come_back_changed_are_refused_and_what_was_written_stays(
    filed: FileJournal, notes: Mapping[str, object]
) -> None:
    before = replace(intent(), notes={"part": 1})
    filed.begin(before)
    assert told(filed.begin(replace(intent(), notes=notes))).startswith(
        "the intent for /vms/1/disk cannot be written down: "
    )
    assert told(filed.note("/vms/1/disk", notes)).startswith("the notes on /vms/1/disk cannot be written down: ")
    assert list(filed.list()) == [before]


@pytest.mark.parametrize(
    "odd",
    [
        replace(intent(), image=Image("a", properties={"key": b"bytes"})),
        replace(intent(), image=Image("a", properties={"tags": ("one", "two")})),
        replace(intent(), image=Image(" ")),
        replace(intent(), location=Location("file:///a", {"key": {1}})),
        replace(intent(), began_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is odd about it
    ],
    ids=["bytes", "tuple", "blank id", "set", "no time zone"],
)
def test_what_would_come_back_changed_is_refused_and_what_was_begun_stays(filed: FileJournal, odd: Intent) -> None:
    filed.begin(intent())
    assert told(filed.begin(odd)).startswith("the intent for /vms/1/disk cannot be written down: ")
    assert list(filed.list()) == [intent()]


def test_an_intent_of_an_earlier_version_does_not_allow_what_is_in_use(database: Database, filed: FileJournal) -> None:
    filed.begin(replace(intent(), force=True, even_if_in_use=True))
    database.change(("UPDATE intents SET document = json_remove(document, '$.even_if_in_use')", ()))
    assert list(filed.list()) == [replace(intent(), force=True)]


@pytest.mark.parametrize(
    ("column", "stored"),
    [
        *product(["document", "notes"], ["", "null", "[]", "[" * 100_000, b"\xff\xff"]),
        ("document", '{"verb": "paint"}'),
    ],
)
def test_a_damaged_row_is_told_by_name_and_can_be_settled_or_replaced(
    filed: FileJournal, database: Database, column: str, stored: str | bytes
) -> None:
    filed.begin(intent())
    database.change((f"UPDATE intents SET {column} = CAST(? AS TEXT)", (stored,)))  # noqa: S608 - the cases above
    words = told(filed.pending("/vms/1/disk"))
    assert words.startswith(f"the database {database.path} cannot be used: its row for /vms/1/disk is malformed")
    assert words.endswith("; delete that row of the table intents")
    with pytest.raises(StoreUnavailable) as refused:
        list(filed.list())
    assert str(refused.value) == words
    assert filed.begin(intent()) == Success(None)
    assert filed.pending("/vms/1/disk") == Success(intent())
    assert filed.settle("/vms/1/disk") == Success(None)


def test_a_damaged_row_keeps_no_other_target_from_its_own(filed: FileJournal, database: Database) -> None:
    filed.begin(intent("/vms/1/disk"))
    database.change(("UPDATE intents SET document = '{}'", ()))
    filed.begin(intent("/vms/2/disk"))
    assert filed.pending("/vms/2/disk") == Success(intent("/vms/2/disk"))


def test_a_database_that_cannot_be_used_is_told_by_every_verb(tmp_path: Path) -> None:
    (tmp_path / "lading.db").write_bytes(b"garbage " * 4096)
    journal = FileJournal(Database(tmp_path / "lading.db"))
    outcomes = [
        journal.begin(intent()), journal.note("/1", {}), journal.settle("/1"), journal.pending("/1"),
    ]  # fmt: skip
    assert {told(each).partition("lading.db")[2][:15] for each in outcomes} == {" cannot be used"}
    with pytest.raises(StoreUnavailable):
        next(journal.list())


def test_reading_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    journal = FileJournal(Database(tmp_path / "state" / "lading.db"))
    assert journal.pending("/vms/1/disk") == Success(None)
    assert list(journal.list()) == []
    assert os.listdir(tmp_path) == []


@one_journal_for_all
@given(urls_with_secrets())
def test_no_credentials_reach_the_disk(filed: FileJournal, database: Database, url: str) -> None:
    """Who begins withholds them, as the Dispatcher does; the journal adds none."""
    filed.begin(replace(intent(), location=Location(url, {"store": "gold"}).redacted()))
    database.close()
    written = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    assert b"gold" in written
    assert HUSH.encode() not in written


def test_a_database_from_before_there_was_a_journal_gets_one_and_keeps_what_it_holds(tmp_path: Path) -> None:
    known = Association("/vms/1/disk", "file", NOBLE, None, AT)
    with closing(sqlite3.connect(tmp_path / "lading.db", isolation_level=None)) as older:
        for statement in (*schema.MIGRATIONS[0], "PRAGMA user_version = 1"):
            older.execute(statement)
        older.execute(*put_step(known)[:2])
    with closing(Database(tmp_path / "lading.db")) as database:
        journal = FileJournal(database)
        assert list(journal.list()) == []
        assert journal.begin(intent()) == Success(None)
        assert list(journal.list()) == [intent()]
        assert list(FileAssociations(database).list()) == [known]
