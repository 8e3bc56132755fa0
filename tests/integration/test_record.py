"""The record beside the database agrees with it after every transaction; where it does not, each case has an answer."""

import errno
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success
from tests.corrupt_databases import association
from tests.integration.database.recorded import VERSION_2

from lading.adapters.sqlite import database as database_module
from lading.adapters.sqlite import record as record_module
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.rebuild import rebuild
from lading.adapters.sqlite.record import Record, is_missing
from lading.adapters.sqlite.record_file import Contents, transaction_line
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Association, Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest
from lading.ports.journal import Intent, Verb

ONE, TWO, THREE = association(1), association(2), association(3)
INTENT = Intent("/vms/4/disk", Verb.FETCH, "http", datetime(2026, 1, 1, tzinfo=UTC), notes={"part": [1, 2]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lading.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as opened:
        yield opened


@pytest.fixture
def associations(database: Database) -> FileAssociations:
    return FileAssociations(database)


def record_of(path: Path) -> Path:
    return Record(path).path


def contents(path: Path) -> Contents:
    found = Record(path).read()
    assert found is not None
    return found


def agrees(path: Path) -> bool:
    """Whether record and database hold the same, without damage."""
    found = contents(path)
    with closing(Database(path)) as database:
        recorded = {each.target: each for each in FileAssociations(database).list()}
        begun = {each.target: each for each in FileJournal(database).list()}
    return (found.associations, found.intents, found.damaged) == (recorded, begun, 0)


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.old-*"))


def anything(found: Association) -> Association | None:
    return found


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        use()
    return str(refused.value)


# What it holds.


def run(database: Database, verb: str, number: int) -> None:
    associations, journal, each = FileAssociations(database), FileJournal(database), association(number)
    match verb:
        case "put":
            associations.put(replace(each, landed_at=datetime.now(UTC))).unwrap()
        case "remove":
            associations.remove(each.target).unwrap()
        case "begin":
            journal.begin(replace(INTENT, target=each.target)).unwrap()
        case "note":
            journal.note(each.target, {"at": number}).unwrap()
        case _:
            journal.settle(each.target).unwrap()


@given(
    st.lists(st.tuples(st.sampled_from(["put", "remove", "begin", "note", "settle"]), st.integers(0, 4)), max_size=20),
    st.sampled_from([100, 1 << 20]),
)
def test_it_holds_what_the_database_does_whatever_was_done(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], small: int
) -> None:
    path = tmp_path_factory.mktemp("record") / "lading.db"
    with pytest.MonkeyPatch.context() as patch, closing(Database(path)) as database:
        patch.setattr(record_module, "_SMALL", small)
        database.change()
        for verb, number in steps:
            run(database, verb, number)
        assert agrees(path)
    assert asides(path) == []


def test_what_changes_nothing_is_not_written(associations: FileAssociations, path: Path) -> None:
    associations.put(ONE)
    before = record_of(path).read_bytes()
    associations.remove("/vms/none")
    FileJournal(Database(path)).note("/vms/none", {"a": 1})
    assert record_of(path).read_bytes() == before


def test_verified_digests_are_not_in_it(database: Database, path: Path) -> None:
    FileVerifiedFiles(database).remember(Fingerprint(1, 2, 3, 4, 5), Digest("sha256", "ab" * 32)).unwrap()
    assert b"ab" * 32 not in record_of(path).read_bytes()


def test_it_is_beside_the_real_database_where_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    with closing(Database(tmp_path / "real" / "lading.db")) as database:
        database.change()
    (tmp_path / "link.db").symlink_to("real/lading.db")
    with closing(Database(tmp_path / "link.db")) as database:
        FileAssociations(database).put(ONE).unwrap()
    assert contents(tmp_path / "real" / "lading.db").associations == {ONE.target: ONE}
    assert not (tmp_path / "link.db.record").exists()


def test_it_has_the_databases_mode(associations: FileAssociations, path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    associations.put(ONE).unwrap()
    assert stat.S_IMODE(record_of(path).stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_it_has_the_databases_owner(associations: FileAssociations, path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)
    associations.put(ONE).unwrap()
    assert (record_of(path).stat().st_uid, record_of(path).stat().st_gid) == (65534, 65534)


# An older database, and a deleted record.


def test_an_older_database_gets_one_of_all_that_it_holds(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        for statement in VERSION_2:
            older.execute(statement)
    with closing(Database(path)) as database:
        assert database.rows("SELECT count(*) FROM associations") == [(1,)]
    assert agrees(path)
    assert [*contents(path).associations] == ["/vms/1/disk"]


def test_a_restored_database_of_an_earlier_version_wins_and_the_record_is_kept(
    associations: FileAssociations, path: Path
) -> None:
    associations.put(ONE).unwrap()
    before = record_of(path).read_bytes()
    for each in path.parent.glob("lading.db*"):
        if each != record_of(path):
            each.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        for statement in VERSION_2:
            older.execute(statement)
    with closing(Database(path)) as database:
        FileAssociations(database).put(TWO).unwrap()
    assert agrees(path)
    assert [each.read_bytes() for each in asides(path)] == [before]


def test_a_deleted_record_is_written_anew_by_the_next_change(associations: FileAssociations, path: Path) -> None:
    associations.put(ONE).unwrap()
    record_of(path).unlink()
    assert associations.get(ONE.target) == Success(ONE)
    associations.put(TWO).unwrap()
    assert agrees(path)
    assert asides(path) == []


# Transactions that were not committed.


@pytest.mark.parametrize("end", [None, -1, 5], ids=["whole", "without its end", "truncated"])
def test_a_line_that_was_not_committed_is_cut_away(associations: FileAssociations, path: Path, end: int | None) -> None:
    associations.put(ONE).unwrap()
    line = transaction_line([b'["remove","%b"]' % ONE.target.encode()])
    with record_of(path).open("ab") as file:
        file.write(line[:end])
    assert associations.get(ONE.target) == Success(ONE)
    associations.put(TWO).unwrap()
    assert agrees(path)
    assert asides(path) == []


def test_a_compaction_that_was_not_committed_is_written_anew(associations: FileAssociations, path: Path) -> None:
    for hour in range(3):
        associations.put(association(1, hour=hour)).unwrap()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = bytes
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM associations")
        Record(path).finish_rebuild(connection)
        connection.execute("ROLLBACK")
    assert contents(path).associations == {}
    associations.put(TWO).unwrap()
    assert agrees(path)
    assert asides(path) == []


def test_a_disk_that_is_full_fails_the_change_and_the_next_one_agrees(
    associations: FileAssociations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    associations.put(ONE).unwrap()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert str(associations.put(TWO).failure()) == (
            f"the database {path} cannot be used: No space left on device, of its record lading.db.record; free some"
            " space on its disk and try again"
        )
    assert list(associations.list()) == [ONE]
    associations.put(THREE).unwrap()
    assert agrees(path)


def test_a_database_whose_table_of_the_record_is_empty_is_told(database: Database, path: Path) -> None:
    database.change()
    database.change(("DELETE FROM record", ()))
    assert "its table record is empty" in str(FileAssociations(database).put(ONE).failure())


# Restored and foreign files.


def test_a_database_restored_from_a_backup_wins_and_the_record_is_kept(
    associations: FileAssociations, database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    associations.put(ONE).unwrap()
    database.close()
    backup = path.read_bytes()
    associations.put(TWO).unwrap()
    associations.put(THREE).unwrap()
    database.close()
    newer = record_of(path).read_bytes()
    path.write_bytes(backup)
    with caplog.at_level(logging.WARNING):
        associations.put(association(4)).unwrap()
    assert agrees(path)
    (aside,) = asides(path)
    assert aside.read_bytes() == newer
    assert f"the record {record_of(path)} did not agree with its database: it is kept as {aside}" in caplog.text


def test_a_record_restored_from_a_backup_gives_way_and_is_kept(associations: FileAssociations, path: Path) -> None:
    associations.put(ONE).unwrap()
    backup = record_of(path).read_bytes()
    associations.put(TWO).unwrap()
    record_of(path).write_bytes(backup)
    associations.put(THREE).unwrap()
    assert agrees(path)
    assert [each.read_bytes() for each in asides(path)] == [backup]


def test_a_damaged_end_gives_way_and_is_kept(associations: FileAssociations, path: Path) -> None:
    associations.put(ONE).unwrap()
    record_of(path).write_bytes(record_of(path).read_bytes()[:-3])
    associations.put(TWO).unwrap()
    assert agrees(path)
    assert len(asides(path)) == 1


def test_another_databases_record_is_refused_by_every_change(
    associations: FileAssociations, path: Path, tmp_path: Path
) -> None:
    associations.put(ONE).unwrap()
    other = tmp_path / "other" / "lading.db"
    FileAssociations(Database(other)).put(TWO).unwrap()
    foreign = record_of(other).read_bytes()
    record_of(path).write_bytes(foreign)
    told = (
        f"the record {record_of(path)} belongs to another database than {path}; put that database back,"
        " or move the record away, and a new one is made"
    )
    assert str(associations.put(THREE).failure()) == told
    assert str(associations.remove(ONE.target).failure()) == told
    assert associations.get(ONE.target) == Success(ONE)
    assert record_of(path).read_bytes() == foreign
    record_of(path).rename(tmp_path / "away")
    associations.put(THREE).unwrap()
    assert agrees(path)


def test_a_record_of_a_later_version_is_refused(associations: FileAssociations, path: Path) -> None:
    associations.put(ONE).unwrap()
    body = b'{"lading_record":7'
    later = b'\x1e%b,"crc32":"%08x"}\n' % (body, crc32(body))
    record_of(path).write_bytes(later)
    assert "found format version 7" in str(associations.put(TWO).failure())
    assert record_of(path).read_bytes() == later
    path.write_bytes(b"garbage" * 4096)
    assert "found format version 7" in str(rebuild(path, anything).failure())
    assert sorted(each.name for each in path.parent.glob("*.corrupt*")) == []


# A lost database.


@pytest.mark.parametrize("leave", [None, b""], ids=["no file", "an empty file"])
def test_a_lost_database_is_told_by_every_verb_and_rebuilt(
    associations: FileAssociations, database: Database, path: Path, leave: bytes | None
) -> None:
    associations.put(ONE).unwrap()
    FileJournal(database).begin(INTENT).unwrap()
    database.close()
    path.unlink()
    if leave is not None:
        path.write_bytes(leave)
    told = (
        f"the database {path} is lost, and its record {record_of(path)} is not; `lading recover --rebuild` rebuilds it"
        " from what can be verified; to begin with an empty one, move the record away"
    )
    assert str(associations.get(ONE.target).failure()) == told
    assert str(associations.put(TWO).failure()) == told
    assert refusal(lambda: list(associations.list())) == told
    assert not path.exists() or path.stat().st_size == 0
    rebuilt = rebuild(path, anything).unwrap()
    assert (rebuilt.kept, rebuilt.dropped, rebuilt.damaged) == ((ONE,), (), 0)
    assert rebuilt.aside.name.endswith(".record")
    assert list(associations.list()) == [ONE]
    assert list(FileJournal(database).list()) == [INTENT]
    assert agrees(path)


def test_a_new_database_that_was_never_written_beside_a_record_is_lost_as_well(
    associations: FileAssociations, database: Database, path: Path
) -> None:
    associations.put(ONE).unwrap()
    database.close()
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:  # as a process leaves it that is killed while it makes one
        connection.execute("PRAGMA journal_mode = WAL")
    assert "is lost" in str(associations.put(TWO).failure())
    assert rebuild(path, anything).unwrap().kept == (ONE,)
    assert agrees(path)


def test_a_database_that_another_one_makes_meanwhile_is_not_lost(
    associations: FileAssociations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing_and_then_made(database: Path) -> bool:
        monkeypatch.setattr(database_module, "is_missing", is_missing)
        answer = is_missing(database)
        with closing(Database(path)) as other:
            FileAssociations(other).put(ONE).unwrap()
        return answer

    monkeypatch.setattr(database_module, "is_missing", missing_and_then_made)
    associations.put(TWO).unwrap()
    assert list(associations.list()) == [ONE, TWO]


def test_a_record_that_holds_nothing_is_no_loss(associations: FileAssociations, database: Database, path: Path) -> None:
    associations.put(ONE).unwrap()
    associations.remove(ONE.target).unwrap()
    database.close()
    path.unlink()
    assert list(associations.list()) == []
    associations.put(TWO).unwrap()
    assert agrees(path)


# Compaction.


def test_it_stays_smaller_than_a_few_times_what_is_recorded(
    associations: FileAssociations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "_SMALL", 10_000)
    sizes = []
    for number in range(300):
        associations.put(association(number % 5, hour=number % 24)).unwrap()
        sizes.append(record_of(path).stat().st_size)
    assert max(sizes) < 12_000
    assert sum(later < earlier for earlier, later in pairwise(sizes)) > 5
    assert agrees(path)


def test_a_compaction_without_space_is_left_for_later(
    associations: FileAssociations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _flags: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_module, "_SMALL", 2_000)
    with monkeypatch.context() as patch:
        associations.put(ONE).unwrap()
        patch.setattr(record_module, "open_private", full)
        for hour in range(10):
            associations.put(association(1, hour=hour)).unwrap()
        assert agrees(path)
        grown = record_of(path).stat().st_size
    associations.put(TWO).unwrap()
    assert record_of(path).stat().st_size < grown
    assert agrees(path)
    assert asides(path) == []


def test_a_reader_sees_the_old_record_or_the_new_one(
    associations: FileAssociations, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "_SMALL", 2_000)
    associations.put(ONE).unwrap()
    with record_of(path).open("rb") as reader:
        for hour in range(20):
            associations.put(association(2, hour=hour)).unwrap()
        (path.parent / "copy").write_bytes(reader.read())
    (path.parent / "copy").rename(record_of(path.parent / "copy.db"))
    assert contents(path.parent / "copy.db").associations[ONE.target] == ONE
    assert contents(path.parent / "copy.db").damaged == 0
