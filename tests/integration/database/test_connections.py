"""The database's connections: closed with it, with their thread, and with a lost file."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from returns.result import Success
from tests.integration.database.recorded import NOBLE

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database


def files(path: Path) -> list[str]:
    """The files of a database that is closed."""
    return [path.name, f"{path.name}.record"]


def test_a_closed_database_opens_again(associations: FileAssociations, database: Database) -> None:
    associations.put(NOBLE)
    database.close()
    assert sorted(os.listdir(database.path.parent)) == files(database.path)
    assert associations.get(NOBLE.target) == Success(NOBLE)
    database.close()
    database.close()


def test_closing_it_closes_what_other_threads_opened(associations: FileAssociations, database: Database) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert threads.submit(associations.put, NOBLE).result() == Success(None)
        assert sorted(os.listdir(database.path.parent)) != files(database.path)
        database.close()
        assert sorted(os.listdir(database.path.parent)) == files(database.path)
        assert threads.submit(associations.get, NOBLE.target).result() == Success(NOBLE)


def test_a_thread_that_ends_leaves_no_connection(associations: FileAssociations, database: Database) -> None:
    thread = threading.Thread(target=associations.put, args=(NOBLE,))
    thread.start()
    thread.join()
    # SQLite removes its log with the last connection.
    assert sorted(os.listdir(database.path.parent)) == files(database.path)


def test_a_database_without_references_leaves_no_connection(path: Path) -> None:
    FileAssociations(Database(path)).put(NOBLE)
    assert sorted(os.listdir(path.parent)) == files(path)


def test_when_its_file_is_gone_a_new_one_is_made(path: Path, associations: FileAssociations) -> None:
    associations.put(NOBLE)
    for each in path.parent.iterdir():
        each.unlink()
    assert associations.get(NOBLE.target) == Success(None)
    assert associations.put(NOBLE) == Success(None)
    assert FileAssociations(Database(path)).get(NOBLE.target) == Success(NOBLE)


def test_a_copy_restored_in_its_place_is_used(path: Path, associations: FileAssociations) -> None:
    restored = replace(NOBLE, handler="download")
    copy = path.parent / "copy" / path.name
    with closing(Database(copy)) as database:
        FileAssociations(database).put(restored)
    associations.put(NOBLE)
    associations.put(replace(NOBLE, target="/vms/2/disk"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    copy.replace(path)
    assert associations.get(NOBLE.target) == Success(restored)
    assert list(associations.list()) == [restored]
