"""The host's database, and what the adapters that use it owe to it."""

import os
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from itertools import chain
from pathlib import Path

import pytest
from returns.pipeline import is_successful
from returns.result import Success

from lading.adapters.codec.text import from_text
from lading.adapters.sqlite import schema
from lading.adapters.sqlite.associations import FileAssociations, list_query
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Association, Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest, Image
from lading.ports.location import Location

NOBLE = Association(
    "/vms/1/disk", "file", Image("155d900f"), Location("file:///noble.img"), datetime(2026, 1, 1, tzinfo=UTC)
)


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


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(path: Path) -> list[str]:
    """The files of a database that is closed."""
    return [path.name, f"{path.name}.record"]


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        use()
    return str(refused.value)


# The file.


def test_nothing_is_made_by_reading_what_is_not_there(tmp_path: Path) -> None:
    database = Database(tmp_path / "state" / "lading.db")
    associations = FileAssociations(database)
    assert associations.get(NOBLE.target) == Success(None)
    assert list(associations.list()) == []
    assert FileVerifiedFiles(database).digest(Fingerprint(1, 2, 3, 4, 5), "sha256") == Success(None)
    database.close()
    assert list(tmp_path.iterdir()) == []
    assert associations.put(NOBLE) == Success(None)
    assert associations.get(NOBLE.target) == Success(NOBLE)


def test_only_its_owner_may_read_what_it_makes(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with closing(Database(tmp_path / "state" / "lading.db")) as database:
            FileAssociations(database).put(NOBLE)
            modes = {each.name: mode(each) for each in database.path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys(["lading.db", "lading.db-wal", "lading.db-shm", "lading.db.record"], 0o600)
    assert mode(tmp_path / "state") == 0o700


def test_what_is_there_keeps_its_mode(tmp_path: Path, path: Path, database: Database) -> None:
    tmp_path.chmod(0o750)
    path.touch()
    path.chmod(0o640)
    assert FileAssociations(database).put(NOBLE) == Success(None)
    assert (mode(tmp_path), mode(path)) == (0o750, 0o640)


@pytest.mark.parametrize("name", ["a?mode=ro", "a#b", "50%25", "with space", "\N{SNOWMAN}", os.fsdecode(b"\xff\xfe")])
def test_its_path_may_be_any(tmp_path: Path, name: str) -> None:
    with closing(Database(tmp_path / name)) as database:
        FileAssociations(database).put(NOBLE)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, f"{name}.record"])


def test_a_relative_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("lading.db")
    monkeypatch.chdir("/")
    assert database.path == tmp_path / "lading.db"


def test_it_writes_ahead_and_through_to_the_disk(database: Database) -> None:
    database.change()
    assert database.rows("PRAGMA journal_mode") == [(b"wal",)]
    assert database.rows("PRAGMA synchronous") == [(2,)]  # FULL


def test_all_steps_of_a_change_happen_or_none(database: Database) -> None:
    insert = "INSERT INTO associations VALUES ('/1', 'file', NULL, '{}')"
    assert "UNIQUE" in refusal(lambda: database.change((insert, ()), (insert, ())))
    assert database.rows("SELECT * FROM associations") == []
    database.change((insert, ()))


# Its schema.


def test_many_threads_may_be_the_first_to_open_it(path: Path) -> None:
    together = threading.Barrier(8)

    def put(number: int) -> bool:
        together.wait()
        return is_successful(FileAssociations(Database(path)).put(replace(NOBLE, target=f"/{number}")))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(put, range(8))) == [True] * 8
    with closing(Database(path)) as database:
        assert len(list(FileAssociations(database).list())) == 8


def test_an_older_one_is_brought_up_to_date_with_all_that_it_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    more = (("CREATE TABLE notes (note TEXT)",), ("ALTER TABLE notes ADD COLUMN author TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS + more)
    with closing(Database(path)) as database:
        assert database.rows("SELECT note, author FROM notes") == []
        assert database.rows("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
        assert FileAssociations(database).get(NOBLE.target) == Success(NOBLE)


SHA256 = Digest("sha256", "ab" * 32)
VERSION_2 = (
    *chain.from_iterable(schema.MIGRATIONS[:2]),
    "PRAGMA user_version = 2",
    """
    INSERT INTO associations VALUES ('/vms/1/disk', 'file', '155d900f', '{"landed_at":"2026-01-01T00:00:00+00:00",
    "method":"copy","size":3,"digest":["sha256","abababababababababababababababababababababababababababababababab"],
    "verified":true,"fingerprint":[2049,131,3,1767225600000000000,1767225600000000001],"inspected_by":null,
    "identity":null,"location":{"url":"file:///noble.img","metadata":{}},"image":{"id":"155d900f","status":"active"},
    "crc32":"fa78b16d"}')
    """,
    """
    INSERT INTO intents VALUES ('/vms/2/disk', NULL, '{"verb":"fetch","handler":"http",
    "began_at":"2026-01-01T00:00:00+00:00","force":false,"location":null,
    "image":{"id":"155d900f","status":"active"}}', '{"part":{"image":"155d900f"}}')
    """,
    """
    INSERT INTO verifications VALUES (1, '2049', '131', 'sha256', '3', '1767225600000000000', '1767225600000000001',
    'abababababababababababababababababababababababababababababababab')
    """,
)
"""What the version before births were recorded has written."""


def test_one_without_births_is_brought_up_to_date(path: Path) -> None:
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
        assert database.rows("PRAGMA user_version") == [(4,)]


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


def test_one_of_a_newer_version_is_refused_and_stays_as_it_is(path: Path) -> None:
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    execute(path, "PRAGMA user_version = 1234")
    before = path.read_bytes()
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} has schema version 1234, and this version of lading knows only up to"
        f" {len(schema.MIGRATIONS)}: use the version that wrote it or a later one, or configure another path"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("statement", ["CREATE TABLE bookmarks (url)", "PRAGMA user_version = 1"])
def test_another_programs_is_refused_and_stays_as_it_is(path: Path, statement: str) -> None:
    execute(path, statement)
    before = path.read_bytes()
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} is another program's: configure another path"
    )
    assert path.read_bytes() == before


# What goes wrong with it. Permissions are in the integration tests: these may run as root, who may do anything.


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
GARBAGE = f"file is not a database: {REBUILD}"
NO_FILE = "see that it is a file, in a folder, and that this user may write both"
NOT_WHOLE: dict[Callable[[Path], None], str] = {
    short_garbage: GARBAGE,
    long_garbage: GARBAGE,
    damage: f"database disk image is malformed: {REBUILD}",
    damage_the_schema: f"database disk image is malformed: {REBUILD}",
    folder: f"unable to open database file: {NO_FILE}",
    dangling_link: f"unable to open database file: {NO_FILE}",
    loop: f"Too many levels of symbolic links: {NO_FILE}",
}


@pytest.mark.parametrize("spoil", NOT_WHOLE)
def test_one_that_is_not_whole_is_refused_by_every_verb(
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


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    path = tmp_path / "state" / "lading.db"
    assert refusal(lambda: Database(path).rows("SELECT 1")) == (
        f"the database {path} cannot be used: Not a directory: {NO_FILE}"
    )


def test_a_full_disk_is_told_and_loses_nothing(associations: FileAssociations, database: Database) -> None:
    assert associations.put(NOBLE) == Success(None)
    database.rows("PRAGMA max_page_count = 1")  # this connection may add no page from now on
    big = replace(NOBLE, target="/vms/2/disk", method="x" * 100_000)
    assert str(associations.put(big).failure()) == (
        f"the database {database.path} cannot be used: database or disk is full: free some space on its disk and try"
        " again"
    )
    assert list(associations.list()) == [NOBLE]


def test_what_may_not_be_written_is_told(associations: FileAssociations, database: Database) -> None:
    database.change()
    database.rows("PRAGMA query_only = TRUE")
    assert str(associations.put(NOBLE).failure()) == (
        f"the database {database.path} cannot be used: attempt to write a readonly database: let this user write the"
        " file and its folder, or configure another path"
    )


def test_one_that_stays_locked_is_told(
    associations: FileAssociations, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.change()
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0)  # rather than a minute
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert str(associations.put(NOBLE).failure()) == (
            f"the database {database.path} cannot be used: database is locked: find the process that keeps it locked"
            " (fuser names it) and try again"
        )
        assert associations.get(NOBLE.target) == Success(None)
    assert associations.put(NOBLE) == Success(None)


class Interrupted(Exception):
    """What a signal's handler raises."""


def test_a_signal_is_heard_while_another_process_writes(associations: FileAssociations, database: Database) -> None:
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


# Its connections.


def test_it_opens_again_after_it_was_closed(associations: FileAssociations, database: Database) -> None:
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


def test_one_that_nobody_refers_to_any_more_leaves_no_connection(path: Path) -> None:
    FileAssociations(Database(path)).put(NOBLE)
    assert sorted(os.listdir(path.parent)) == files(path)


def test_when_its_file_is_gone_what_is_put_goes_to_a_new_one(path: Path, associations: FileAssociations) -> None:
    associations.put(NOBLE)
    for each in path.parent.iterdir():
        each.unlink()
    assert associations.get(NOBLE.target) == Success(None)
    assert associations.put(NOBLE) == Success(None)
    assert FileAssociations(Database(path)).get(NOBLE.target) == Success(NOBLE)


def test_when_a_copy_is_restored_in_its_place_that_one_is_used(path: Path, associations: FileAssociations) -> None:
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


# What its tables hold.


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
def test_a_row_that_makes_no_sense_is_told_and_can_be_removed_or_replaced(
    associations: FileAssociations, database: Database, document: str | bytes
) -> None:
    associations.put(NOBLE)
    database.change(("UPDATE associations SET document = CAST(? AS TEXT)", (document,)))
    told = str(associations.get(NOBLE.target).failure())
    assert told.startswith(f"the database {database.path} cannot be used: its row for /vms/1/disk is malformed")
    assert told.endswith(": delete that row of the table associations")
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
def test_what_would_come_back_changed_is_refused_and_what_was_recorded_stays(
    associations: FileAssociations, odd: Association
) -> None:
    associations.put(NOBLE)
    told = str(associations.put(odd).failure())
    assert told.startswith(f"the association of {NOBLE.target} cannot be written down: ")
    assert list(associations.list()) == [NOBLE]


def test_a_damaged_digest_is_as_good_as_none(database: Database) -> None:
    verified, file = FileVerifiedFiles(database), Fingerprint(1, 2, 3, 4, 5)
    verified.remember(file, Digest("sha256", "ab"))
    database.change(("UPDATE verifications SET value = CAST(? AS TEXT)", (b"\xff",)))
    assert verified.digest(file, "sha256") == Success(None)


def test_what_is_no_text_is_not_taken_for_text() -> None:
    with pytest.raises(ValueError, match="expected text, got None"):
        from_text(None)
