"""A database that is damaged, locked, or cannot be written."""

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.integration.database.recorded import NOBLE, refusal

from lading.adapters.sqlite import schema
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Fingerprint
from lading.ports.image import Digest


def short_garbage(path: Path) -> None:
    path.write_bytes(b"garbage")


def long_garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 4096)


def damage(path: Path) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def damage_the_schema(path: Path) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    path.write_bytes(path.read_bytes().replace(b"indexassociations", b"index\x80ssociations"))


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


REBUILD = "`lading recover --rebuild` sets it aside and rebuilds it from what can be verified"
GARBAGE = f"file is not a database; {REBUILD}"
NO_FILE = "see that it is a file, in a folder, and that this user may write both"
NOT_WHOLE: dict[Callable[[Path], None], str] = {
    short_garbage: GARBAGE,
    long_garbage: GARBAGE,
    damage: f"database disk image is malformed; {REBUILD}",
    damage_the_schema: f"database disk image is malformed; {REBUILD}",
    folder: f"unable to open database file; {NO_FILE}",
    dangling_link: f"unable to open database file; {NO_FILE}",
    loop: f"Too many levels of symbolic links; {NO_FILE}",
}


@pytest.mark.parametrize("spoil", NOT_WHOLE)
def test_a_damaged_database_is_refused_by_every_verb(
    path: Path, database: Database, spoil: Callable[[Path], None]
) -> None:
    spoil(path)
    expected = f"the database {path} cannot be used: {NOT_WHOLE[spoil]}"
    associations, verified = FileAssociations(database), FileVerifiedFiles(database)
    file = Fingerprint(1, 2, 3, 4, 5)
    outcomes = [
        associations.get(NOBLE.target).failure(),
        associations.put(NOBLE).failure(),
        associations.remove(NOBLE.target).failure(),
        verified.digest(file, "sha256").failure(),
        verified.remember(file, Digest("sha256", "ab")).failure(),
    ]
    assert [str(each) for each in outcomes] == [expected] * 5
    assert refusal(lambda: list(associations.list())) == expected


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    path = tmp_path / "state" / "lading.db"
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} cannot be used: Not a directory; {NO_FILE}"
    )


def test_a_full_disk_is_refused_and_loses_nothing(associations: FileAssociations, database: Database) -> None:
    assert associations.put(NOBLE) == Success(None)
    database.rows("PRAGMA max_page_count = 1")  # this connection may add no page from now on
    big = replace(NOBLE, target="/vms/2/disk", method="x" * 100_000)
    assert str(associations.put(big).failure()) == (
        f"the database {database.path} cannot be used: database or disk is full; free some space on its disk and try"
        " again"
    )
    assert list(associations.list()) == [NOBLE]


def test_a_database_without_permission_to_write_is_refused(associations: FileAssociations, database: Database) -> None:
    database.change()
    database.rows("PRAGMA query_only = TRUE")
    assert str(associations.put(NOBLE).failure()) == (
        f"the database {database.path} cannot be used: attempt to write a readonly database; let this user write the"
        " file and its folder, or configure another path"
    )


def test_a_database_that_stays_locked_is_refused(
    associations: FileAssociations, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.change()
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0)  # rather than a minute
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert str(associations.put(NOBLE).failure()) == (
            f"the database {database.path} cannot be used: database is locked; find the process that keeps it locked"
            " (fuser names it) and try again"
        )
        assert associations.get(NOBLE.target) == Success(None)
    assert associations.put(NOBLE) == Success(None)


class Interrupted(Exception):
    """What a signal's handler raises."""


def test_a_signal_interrupts_the_wait_for_another_process(associations: FileAssociations, database: Database) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    database.change()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(Interrupted):
                associations.put(NOBLE)
            assert time.monotonic() - started < schema.BUSY_SECONDS
    finally:
        signal.signal(signal.SIGALRM, before)
    assert associations.put(NOBLE) == Success(None)
