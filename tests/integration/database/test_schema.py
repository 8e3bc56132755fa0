"""The database's schema and its migrations."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from returns.pipeline import is_successful
from returns.result import Success
from tests.integration.database.recorded import NOBLE, VERSION_2, refusal

from lading.adapters.sqlite import schema
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Fingerprint
from lading.ports.image import Digest


def test_many_threads_may_open_a_new_database_at_once(path: Path) -> None:
    together = threading.Barrier(8)

    def put(number: int) -> bool:
        together.wait()
        return is_successful(FileAssociations(Database(path)).put(replace(NOBLE, target=f"/{number}")))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(put, range(8))) == [True] * 8
    with closing(Database(path)) as database:
        assert len(list(FileAssociations(database).list())) == 8


def test_an_older_database_is_migrated_with_all_that_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    more = (("CREATE TABLE notes (note TEXT)",), ("ALTER TABLE notes ADD COLUMN author TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS + more)
    with closing(Database(path)) as database:
        assert database.rows("SELECT note, author FROM notes") == []
        assert database.rows("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
        assert FileAssociations(database).get(NOBLE.target) == Success(NOBLE)


SHA256 = Digest("sha256", "ab" * 32)


def test_a_database_without_births_is_migrated(path: Path) -> None:
    execute(path, *VERSION_2)
    file = Fingerprint(2049, 131, 3, 1_767_225_600_000_000_000, 1_767_225_600_000_000_001)
    with closing(Database(path)) as database:
        landed = replace(NOBLE, method="copy", size=3, digest=SHA256, verified=True, fingerprint=file)
        assert FileAssociations(database).get(NOBLE.target) == Success(landed)
        [intent] = FileJournal(database).list()
        assert (intent.target, intent.notes) == ("/vms/2/disk", {"part": {"image": "155d900f"}})
        verified, born = FileVerifiedFiles(database), file._replace(birth_ns=1)
        # What was found of a file whose birth was not looked at is not believed of one that has one.
        assert (verified.digest(file, "sha256"), verified.digest(born, "sha256")) == (Success(SHA256), Success(None))
        verified.remember(born, SHA256)
        assert verified.digest(born, "sha256") == Success(SHA256)
        assert database.rows("PRAGMA user_version") == [(6,)]


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(path)) as database:
        database.change()
        before = database.rows("SELECT * FROM sqlite_master")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE notes (note TEXT)", "no SQL")))
        refusal(lambda: Database(path).rows("SELECT 1"))
    with closing(Database(path)) as database:
        assert database.rows("SELECT * FROM sqlite_master") == before


def execute(path: Path, *statements: str) -> None:
    """What another program does to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_database_of_a_newer_version_is_refused_unchanged(path: Path) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    execute(path, "PRAGMA user_version = 1234")
    before = path.read_bytes()
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} was written by a later version of lading: expected at most schema version"
        f" {len(schema.MIGRATIONS)}, found schema version 1234; use the version that wrote it or a later one,"
        " or configure another path"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("statement", ["CREATE TABLE bookmarks (url)", "PRAGMA user_version = 1"])
def test_the_database_of_another_program_is_refused_unchanged(path: Path, statement: str) -> None:
    execute(path, statement)
    before = path.read_bytes()
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} is another program's; configure another path"
    )
    assert path.read_bytes() == before
