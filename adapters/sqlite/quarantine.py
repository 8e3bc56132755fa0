"""The quarantine of a damaged database: it gets another name, and is kept for an expert."""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from lading.adapters.sqlite.database import code_of, connections_closed, unavailable
from lading.adapters.sqlite.record import Record, is_missing, time_stamp
from lading.adapters.sqlite.schema import APPLICATION_ID, BUSY_SECONDS, MIGRATIONS, foreign, newer
from lading.ports.failures import StoreUnavailable

__all__ = ["corrupt_name", "holds_nothing", "quarantine", "unfinished_rebuild"]

_BESIDE: Final = ("-wal", "-shm", "-journal")
"""The suffixes of SQLite's files beside a database."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""SQLite's errors for a file that is not a database, or damaged. The last is for an unknown format."""
_MAGIC: Final = b"SQLite format 3\0"
_SMALLEST: Final = 512
"""Bytes of the smallest page, and so of the smallest database (sqlite.org/fileformat2.html)."""
_FIRST_PAGE: Final = 1 << 16
"""Bytes of the largest page: the first one has the header and the schema (sqlite.org/fileformat2.html)."""


def quarantine(path: Path) -> Path:
    """Renames the database, and SQLite's files beside it, to `<name>.corrupt-<UTC time>`. Returns that path.

    Nothing is overwritten, and the record stays. A process with an open connection uses the new database from its next
    access on; a transaction that it is committing now is not in the new one.

    Raises StoreUnavailable, and changes nothing, when the database is whole, when it is another program's or of a newer
    version, when it is not a file, and when it cannot be renamed.
    """
    # The real path: SQLite's log is there too.
    path = Path(os.path.realpath(path))
    try:
        # Closing the file after reading it releases all locks that this process has on it (fcntl(2)).
        with _exclusively(path.parent) as folder, connections_closed():
            _refuse_no_file(path)
            is_whole = _is_whole(path)
            _refuse_others(path, has_record=not is_whole and Record(path).path.exists())
            if is_whole:
                raise StoreUnavailable(f"the database {path} is whole: there is nothing to rebuild")
            aside = corrupt_name(path)
            _rename(path, aside, folder)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    return aside


def corrupt_name(path: Path) -> Path:
    """The name that a damaged database gets now."""
    return path.with_name(f"{path.name}.corrupt-{time_stamp()}")


def holds_nothing(path: Path) -> bool:
    """Returns True for a missing database, or one without a table. Raises StoreUnavailable when it cannot be read."""
    try:
        with connections_closed():
            if is_missing(path):
                return True
            if not path.is_file() or not _is_whole(path):
                return False
            with closing(_connection(path)) as connection:
                return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error


def unfinished_rebuild(path: Path) -> str | None:
    """The name of the damaged database, when the one at the path is the new one of an interrupted rebuild; else None.

    Raises StoreUnavailable when it cannot be read.
    """
    try:
        with connections_closed():
            if not path.is_file() or not _is_whole(path):
                return None
            with closing(_connection(path)) as connection:
                row = connection.execute("SELECT rebuilding FROM record").fetchone()
                return os.fsdecode(row[0]) if row and row[0] else None
    except (OSError, sqlite3.Error) as error:
        if code_of(error) in _DAMAGED:
            return None  # an earlier lading's, or another program's
        raise unavailable(path, error) from error


@contextmanager
def _exclusively(folder: Path) -> Iterator[int]:
    """Locks the folder, so that no other process renames a database in it while the block runs (flock(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_no_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreUnavailable(f"the database {path} is not a file: configure another path")


def _refuse_others(path: Path, *, has_record: bool) -> None:
    """Raises StoreUnavailable for another program's database, damaged or not, and for one of a newer version."""
    page = _first_bytes(path)
    application, version = int.from_bytes(page[68:72]), int.from_bytes(page[60:64])
    # The schema of a young database may still be in its log.
    schemas = page + _first_bytes(path.with_name(f"{path.name}-wal"))
    is_ladings = has_record or application == APPLICATION_ID or b"CREATE TABLE associations (" in schemas
    if not is_ladings and (page.startswith(_MAGIC) or b"CREATE TABLE " in page):
        raise foreign(path)
    if application == APPLICATION_ID and version > len(MIGRATIONS):
        raise newer(path, version)


def _first_bytes(path: Path) -> bytes:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(_FIRST_PAGE)
    return b""


def _is_whole(path: Path) -> bool:
    size = path.stat().st_size
    if size < _SMALLEST:
        # SQLite takes a few bytes of anything for a new database, and would overwrite them.
        return size == 0 and is_missing(path)
    try:
        return _passes_check(path, "ro")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
            # Its process was killed while it made the database. Only a connection that may write rolls that back.
            return _passes_check(path, "rw")
        if code_of(error) in _DAMAGED:
            return False
        raise


def _passes_check(path: Path, mode: str) -> bool:
    with closing(_connection(path, mode)) as connection:
        return bool(connection.execute("PRAGMA integrity_check(1)").fetchall() == [(b"ok",)])


def _connection(path: Path, mode: str = "ro") -> sqlite3.Connection:
    """Opens a connection, by default read-only: closing another would write the log to the file."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)
    connection.text_factory = bytes
    return connection


def _rename(path: Path, aside: Path, folder: int) -> None:
    """Links all files to their new names, without overwriting, and then removes the old names."""
    # The database's own name is removed last: a log without its database would be applied to the next one.
    pairs = [(path.with_name(path.name + each), aside.with_name(aside.name + each)) for each in (*_BESIDE, "")]
    pairs = [(old, new) for old, new in pairs if os.path.lexists(old)]
    with ExitStack() as undo:
        for old, new in pairs:
            os.link(old, new)
            undo.callback(os.unlink, new)
        os.fsync(folder)
        # From here on the new names stay, unless the first old name cannot be removed.
        new_names = undo.pop_all()
    try:
        pairs[0][0].unlink()
    except OSError:
        new_names.close()
        raise
    for old, _ in pairs[1:]:
        old.unlink(missing_ok=True)
    os.fsync(folder)
