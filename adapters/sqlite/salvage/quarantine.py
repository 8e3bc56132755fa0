"""A damaged database out of the way: under another name, for whoever knows more of it."""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lading.adapters.sqlite.database import code_of, connections_closed, unavailable
from lading.adapters.sqlite.salvage.salvaging import salvaged
from lading.adapters.sqlite.schema import APPLICATION_ID, BUSY_SECONDS, MIGRATIONS, foreign, newer
from lading.ports.failures import StoreUnavailable

__all__ = ["quarantine"]

_BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database's file."""
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""How SQLite refuses what is not, or no longer, a database. The last is for a format that it doesn't know."""


def quarantine(path: Path) -> Path:
    """Rename the database, and what SQLite keeps beside it, to `<name>.corrupt-<UTC time>`, which is given back.

    Nothing is overwritten. Another process that has it open finds a new one in its place when it next looks, but what
    it is writing at this instant is not in the new one.

    Raises StoreUnavailable, and nothing has changed, when it is whole, when it is another program's or of a newer
    version, when it is no file, and when it can't be renamed.
    """
    # Where it really is: SQLite keeps its log there, too.
    path = Path(os.path.realpath(path))
    try:
        # Reading the file here gives up all locks that this process has on it, as soon as it is closed (fcntl(2)).
        with _alone(path.parent) as folder, connections_closed():
            _refuse_others(path)
            if _is_whole(path):
                raise StoreUnavailable(f"the database {path} is whole: there is nothing to rebuild")
            aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
            _rename(path, aside, folder)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    return aside


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Nobody else sets anything aside in this folder meanwhile, such as the new database (flock(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_others(path: Path) -> None:
    """What looks like a database and has nothing of lading's is taken for another program's, damaged or not."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreUnavailable(f"the database {path} is no file: configure another path")
    found = salvaged(path)
    if found.is_a_database and not found.is_ladings:
        raise foreign(path)
    if found.application == APPLICATION_ID and found.version > len(MIGRATIONS):
        raise newer(path, found.version)


def _is_whole(path: Path) -> bool:
    if path.stat().st_size == 0:
        # For SQLite an empty file is a new database, and what is in its log counts for nothing.
        return not _has_content(path.with_name(f"{path.name}-wal"))
    # Read only: closing any other connection would write what is in the log to the file.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.text_factory = bytes
        try:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchall() == [(b"ok",)])
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if code_of(error) in _DAMAGED:
                return False
            raise


def _has_content(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_size > 0
    return False


def _rename(path: Path, aside: Path, folder: int) -> None:
    """First second names for all, which overwrite nothing; then the first ones go."""
    # The database's own goes last: a log that stays without it would come upon the next one.
    pairs = [(path.with_name(path.name + each), aside.with_name(aside.name + each)) for each in (*_BESIDE, "")]
    pairs = [(old, new) for old, new in pairs if os.path.lexists(old)]
    with ExitStack() as undo:
        for old, new in pairs:
            os.link(old, new)
            undo.callback(os.unlink, new)
        os.fsync(folder)
        # Whatever comes next, the second names stay, unless nothing at all may be unlinked here.
        others = undo.pop_all()
    try:
        pairs[0][0].unlink()
    except OSError:
        others.close()
        raise
    for old, _ in pairs[1:]:
        old.unlink(missing_ok=True)
    os.fsync(folder)
