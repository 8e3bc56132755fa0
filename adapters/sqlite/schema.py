"""The file of lading's database: creation, connections, and migrations of the schema."""

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
"""Seconds to wait for another process that is writing. One write takes milliseconds."""
_DEAF_SECONDS: Final = 0.2
"""Seconds that SQLite itself waits. Ctrl-C does not work during that time."""
_PAUSE_SECONDS: Final = 0.01
"""Seconds between two tries, when SQLite refuses without waiting."""
APPLICATION_ID: Final = 0x6C616467
"""`ladg`: distinguishes this file from other programs' (sqlite.org/pragma.html#pragma_application_id)."""

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
        # Numbers as text: a device, an inode or a time may have 64 bits, and SQLite's integers are signed.
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
    # Rows of an earlier version have no birth: those files are hashed again once.
    ("ALTER TABLE verifications ADD COLUMN birth_ns TEXT",),
    # The end of the record: see record.py. It has one row.
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
    # A copy of this host's part of a shared record: see local_copy.py. `shared_record` has one row.
    (
        """
        CREATE TABLE changes (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            target TEXT NOT NULL,
            before TEXT,
            after TEXT,
            decided_at TEXT NOT NULL
        )
        """,
        "CREATE INDEX changes_by_target ON changes (target)",
        """
        CREATE TABLE conflicts (
            number INTEGER PRIMARY KEY,
            target TEXT NOT NULL,
            own TEXT,
            shared TEXT
        )
        """,
        """
        CREATE TABLE shared_record (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            is_copied INTEGER NOT NULL DEFAULT 0,
            paused_until REAL NOT NULL DEFAULT 0
        )
        """,
    ),
    (
        """
        CREATE TABLE verified_versions (
            id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL,
            size TEXT NOT NULL,
            algorithm TEXT NOT NULL,
            value TEXT NOT NULL,
            UNIQUE (identity, algorithm)
        )
        """,
    ),
)
"""The statements from each schema version to the next. Append only: there are databases of each version."""


_creating: Final = threading.Lock()


def create_file(path: Path) -> None:
    """Creates a missing file, for its owner only. SQLite copies the mode to -wal and -shm. Raises OSError."""
    # One thread at a time: closing any descriptor of a file releases every lock that the process has on it (fcntl(2)),
    # so no thread may open the file by SQLite before the descriptor is closed.
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
    """Opens the file, which must exist, and brings the schema and the record up to date.

    `create_record` makes the record of a new database; None: the default. Raises StoreUnavailable, sqlite3.Error and
    OSError. Callers run statements on the connection by `retry_busy`.
    """
    # mode=rw: SQLite must create nothing. The lock of a ThreadConnection replaces check_same_thread.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=_DEAF_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = bytes
        # Another process may be recovering the log at the first statement, so it is retried too.
        retry_busy(lambda: connection.execute("PRAGMA synchronous = FULL"))
        retry_busy(lambda: _bring_up_to_date(connection, path, create_record))
    except BaseException:
        connection.close()
        raise
    return connection


def retry_busy(act: Callable[[], _Given]) -> _Given:
    """Calls `act` again while another process is writing, for up to BUSY_SECONDS. Returns its result.

    `act` must change nothing when it raises. Raises what it raises.
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
    """Creates the schema of a new database, and migrates an older one. Safe while other processes do the same.

    Raises StoreUnavailable for a newer database, and for another program's.
    """
    if _version(connection, path) == len(MIGRATIONS):
        return
    # This is permanent. While another process writes, SQLite refuses it without waiting.
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Read again: no other process can change it now.
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
    """The failure for another program's database."""
    return StoreUnavailable(f"the database {path} is another program's", advice="configure another path")


def newer(path: Path, version: int) -> StoreUnavailable:
    """The failure for a database of a newer version."""
    return StoreUnavailable(
        f"the database {path} was written by a later version of lading",
        expected=f"at most schema version {len(MIGRATIONS)}",
        found=f"schema version {version}",
        advice="use the version that wrote it or a later one, or configure another path",
    )
