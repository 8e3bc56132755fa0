"""The database's file: who may read it, and changes that happen whole or not at all."""

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest
from returns.result import Success
from tests.integration.database.recorded import NOBLE, refusal

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Fingerprint


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_reading_a_missing_database_makes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "state" / "lading.db")
    associations = FileAssociations(database)
    assert associations.get(NOBLE.target) == Success(None)
    assert list(associations.list()) == []
    assert FileVerifiedFiles(database).digest(Fingerprint(1, 2, 3, 4, 5), "sha256") == Success(None)
    database.close()
    assert list(tmp_path.iterdir()) == []
    assert associations.put(NOBLE) == Success(None)
    assert associations.get(NOBLE.target) == Success(NOBLE)


def test_only_the_owner_may_read_new_files(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with closing(Database(tmp_path / "state" / "lading.db")) as database:
            FileAssociations(database).put(NOBLE)
            modes = {each.name: mode(each) for each in database.path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys(["lading.db", "lading.db-wal", "lading.db-shm", "lading.db.record"], 0o600)
    assert mode(tmp_path / "state") == 0o700


def test_files_that_exist_keep_their_mode(tmp_path: Path, path: Path, database: Database) -> None:
    tmp_path.chmod(0o750)
    path.touch()
    path.chmod(0o640)
    assert FileAssociations(database).put(NOBLE) == Success(None)
    assert (mode(tmp_path), mode(path)) == (0o750, 0o640)


@pytest.mark.parametrize("name", ["a?mode=ro", "a#b", "50%25", "with space", "\N{SNOWMAN}", os.fsdecode(b"\xff\xfe")])
def test_a_path_may_have_any_characters(tmp_path: Path, name: str) -> None:
    with closing(Database(tmp_path / name)) as database:
        FileAssociations(database).put(NOBLE)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, f"{name}.record"])


def test_a_relative_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("lading.db")
    monkeypatch.chdir("/")
    assert database.path == tmp_path / "lading.db"


def test_the_database_writes_ahead_and_through_to_the_disk(database: Database) -> None:
    database.change()
    assert database.rows("PRAGMA journal_mode") == [(b"wal",)]
    assert database.rows("PRAGMA synchronous") == [(2,)]  # FULL


def test_all_steps_of_a_change_happen_or_none(database: Database) -> None:
    insert = "INSERT INTO associations VALUES ('/1', 'file', NULL, '{}')"
    assert "UNIQUE" in refusal(lambda: database.change((insert, ()), (insert, ())))
    assert database.rows("SELECT * FROM associations") == []
    database.change((insert, ()))
