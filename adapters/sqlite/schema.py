"""The file of lading's database: how it is made and opened, and how one of any age gets today's schema."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from lading.adapters.host.private_files import make_private, open_private
from lading.adapters.sqlite.record import Record
from lading.ports.failures import StoreUnavailable

__all__ = ["APPLICATION_ID", "BUSY_SECONDS", "MIGRATIONS", "connect", "create_file", "foreign", "newer", "retry_busy"]

_Given = TypeVar("_Given")
BUSY_SECONDS: Final = 60.0
"""How long to wait for another process that is writing. One write takes milliseconds."""
_DEAF_SECONDS: Final = 0.2
"""How long SQLite waits by itself, during which no Ctrl-C is heard."""
_PAUSE_SECONDS: Final = 0.01
"""Between two tries, for where SQLite refuses without waiting."""
APPLICATION_ID: Final = 0x6C616467
"""`ladg`: tells this file from any other program's (sqlite.org/pragma.html#pragma_application_id)."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE associations (
            target TEXT NOT NULL PRIMARY KEY,
            handler TEXT NOT NULL,
            image_id TEXT,
            document TEXT NOT NULL
        )
        """,
        "CREATE INDEX associations_by_handler ON associations (handler, target)",
        "CREATE INDEX associations_by_image ON associations (image_id, target)",
        # Numbers as text: a device, an inode or a time may take all of 64 bits, and SQLite's integers are signed.
        """
        CREATE TABLE verifications (
            id INTEGER PRIMARY KEY,
            device TEXT NOT NULL,
            inode TEXT NOT NULL,
            algorithm TEXT NOT NULL,
            size TEXT NOT NULL,
            mtime_ns TEXT NOT NULL,
            ctime_ns TEXT NOT NULL,
            value TEXT NOT NULL,
            UNIQUE (device, inode, algorithm)
        )
        """,
    ),
    (
        """
        CREATE TABLE intents (
            target TEXT NOT NULL PRIMARY KEY,
            destination TEXT,
            document TEXT NOT NULL,
            notes TEXT NOT NULL
        )
        """,
    ),
    # Of an earlier version's rows the birth is not known: those files are hashed again once.
    ("ALTER TABLE verifications ADD COLUMN birth_ns TEXT",),
    # Where the record ends: see record.py. It has one row.
    (
        """
        CREATE TABLE record (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            database TEXT NOT NULL,
            size INTEGER NOT NULL,
            seal TEXT NOT NULL,
            compacted INTEGER NOT NULL,
            rebuilding TEXT
        )
        """,
    ),
)
"""What leads from each schema version to the next. Only ever appended to: some database is at each of them."""


_creating: Final = threading.Lock()


def create_file(path: Path) -> None:
    """Have a file there that only its owner may read. SQLite gives its -wal and -shm the same mode. Raises OSError."""
    # One thread at a time: closing any descriptor of a file gives up every lock that the process has on it (fcntl(2)),
    # so nobody may come to open this one through SQLite before the descriptor is closed.
    with _creating:
        try:
            _create(path)
        except FileNotFoundError:
            make_private(path.parent)
            _create(path)


def _create(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.close(open_private(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def connect(path: Path, create_record: Callable[[sqlite3.Connection], None] | None = None) -> sqlite3.Connection:
    """Opens the file, which must be there, with the current schema, and with a record.

    A new database gets its record by `create_record`, if that is given. Raises StoreUnavailable, sqlite3.Error and
    OSError. Statements on the connection are run by `retry_busy`.
    """
    # mode=rw: SQLite must create nothing. The lock of a ThreadConnection stands in for check_same_thread.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=_DEAF_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = bytes
        # The first statement of all may find the log being recovered by another process: it is patient too.
        retry_busy(lambda: connection.execute("PRAGMA synchronous = FULL"))
        retry_busy(lambda: _bring_up_to_date(connection, path, create_record))
    except BaseException:
        connection.close()
        raise
    return connection


def retry_busy(act: Callable[[], _Given]) -> _Given:
    """What the act gives, which is tried again for as long as another process is writing, up to BUSY_SECONDS.

    The act must come to nothing when it raises. Raises what it raises.
    """
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            is_busy = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > give_up:
                raise
        time.sleep(_PAUSE_SECONDS)


def _bring_up_to_date(
    connection: sqlite3.Connection, path: Path, create_record: Callable[[sqlite3.Connection], None] | None
) -> None:
    """Makes a new database lading's, and an older one current. Safe while other processes do the same.

    One that is newer or another program's stays as it is.
    """
    if _version(connection, path) == len(MIGRATIONS):
        return
    # For good. While another process writes, SQLite refuses this without waiting.
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Asked again, now that no other process can be at it.
        version = _version(connection, path)
        for statement in chain.from_iterable(MIGRATIONS[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        if version == 0 and create_record is not None:
            create_record(connection)
        else:
            Record(path).create(connection, is_new=version == 0)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version; 0 for an empty file."""
    application, version, tables = connection.execute(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if application != APPLICATION_ID and (version or tables):
        raise foreign(path)
    if version > len(MIGRATIONS):
        raise newer(path, version)
    return int(version)


def foreign(path: Path) -> StoreUnavailable:
    """What is said of another program's database."""
    return StoreUnavailable(f"the database {path} is another program's: configure another path")


def newer(path: Path, version: int) -> StoreUnavailable:
    """What is said of one that a later lading wrote."""
    return StoreUnavailable(
        f"the database {path} has schema version {version}, and this lading knows none above {len(MIGRATIONS)}:"
        " use the lading that wrote it or a later one, or configure another path"
    )
