"""The SQLite database of this host's associations, intents and verified files."""

import contextlib
import errno
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.host.private_files import owner_text
from lading.adapters.sqlite.record import Record, is_missing
from lading.adapters.sqlite.rows import Row, Value
from lading.adapters.sqlite.schema import connect, create_file, retry_busy
from lading.ports.failures import StoreUnavailable

__all__ = ["Database", "Query", "Step", "code_of", "connections_closed", "unavailable"]

Query = tuple[str, Sequence[Value]]
"""A statement, and the values of its question marks."""


class Step(NamedTuple):
    """A statement that changes associations or intents, and the same change for the record."""

    sql: str
    parameters: Sequence[Value]
    change: bytes


_ACCESS: Final = "let this user write the file and its folder, or configure another path"
_REBUILD: Final = "`lading recover --rebuild` sets it aside and rebuilds it from what can be verified"
_ADVICE: Final = {
    sqlite3.SQLITE_NOTADB: _REBUILD,
    sqlite3.SQLITE_CORRUPT: _REBUILD,
    sqlite3.SQLITE_READONLY: _ACCESS,
    sqlite3.SQLITE_PERM: _ACCESS,
    sqlite3.SQLITE_CANTOPEN: "see that it is a file, in a folder, and that this user may write both",
    sqlite3.SQLITE_FULL: "free some space on its disk and try again",
    sqlite3.SQLITE_IOERR: "look for errors of its disk in the kernel's log",
    sqlite3.SQLITE_BUSY: "find the process that keeps it locked (fuser names it) and try again",
}
_CLOSED: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN})
_AS_SQLITE: Final = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
    errno.EACCES: sqlite3.SQLITE_PERM,
    errno.EPERM: sqlite3.SQLITE_PERM,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


class _ThreadConnection:
    """One thread's connection to one Database."""

    connection: sqlite3.Connection | None = None  # of the class: an interrupt may end __init__, but not __del__

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.lock = threading.RLock()
        self.file: tuple[int, int] | None = None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __del__(self) -> None:
        self.close()  # its thread has ended


_connections: Final[weakref.WeakSet[_ThreadConnection]] = weakref.WeakSet()
_gate: Final = threading.RLock()
"""Guards the set, and is held while the process forks. A thread that holds a connection's lock never waits for it."""
_closed_for_fork: Final = contextlib.ExitStack()


@contextlib.contextmanager
def connections_closed() -> Iterator[None]:
    """Closes every connection of this process; none is opened until the block ends."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_gate)
        for each in tuple(_connections):
            stack.enter_context(each.lock)
            each.close()
        yield


def _before_fork() -> None:
    """Closes all connections; none is opened until the fork is done.

    A child process does not inherit its parent's locks, but SQLite in the child relies on them. Even with a connection
    of its own, the child would write to a log that other processes treat as abandoned and delete
    (sqlite.org/howtocorrupt.html, section 2.6).
    """
    _closed_for_fork.enter_context(connections_closed())


os.register_at_fork(before=_before_fork, after_in_parent=_closed_for_fork.close, after_in_child=_closed_for_fork.close)


class Database:
    """The database at a path, with its record. The first write makes it. It can be used again after `close`.

    Threads may share it, each with its own connection, and so may forked processes. Only the owner may read its files.
    All its errors are raised as StoreUnavailable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._local = threading.local()
        self._owner = object()

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT: an unfinished one would keep the write-ahead log growing.

        A missing database has no rows, and is not made. A lost database, which still has a record, is refused.
        """
        if not self._is_there(self.path) and not self._is_there(Record(self.path).path):
            return []
        with self._connected() as connection:
            return retry_busy(lambda: connection.execute(sql, parameters).fetchall())

    def change(self, *steps: Query | Step) -> None:
        """Runs the steps in one transaction. They have reached the disk when it returns; when it raises, none has.

        Each `Step` that changes a row is recorded.
        """
        self._transact(lambda connection: _run(connection, Record(self.path), steps))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[list[Query | Step]]:
        """Yields a list of steps, which run in one transaction when the block ends; when it raises, none runs.

        No other thread or process changes the database meanwhile: what the block reads is still true then.
        """
        steps: list[Query | Step] = []
        with self._connected() as connection, connection:
            retry_busy(lambda: connection.execute("BEGIN IMMEDIATE"))
            yield steps
            _run(connection, Record(self.path), steps)

    def finish_rebuild(self) -> None:
        """Reduces the record to the database's contents."""
        self._transact(Record(self.path).finish_rebuild)

    def close(self) -> None:
        """Closes every thread's connection, after its current statement."""
        with _gate:
            ours = [each for each in _connections if each.owner is self._owner]
        for each in ours:
            with each.lock:
                each.close()

    def malformed_row(self, table: str, row: Row, error: Exception) -> StoreUnavailable:
        """The failure of a row, with its target first, that cannot be decoded."""
        target = row[0].decode(errors="replace") if isinstance(row[0], bytes) else row[0]
        reason = f"its row for {target} is malformed ({type(error).__name__}: {error})"
        advice = f"delete that row of the table {table}"
        return StoreUnavailable(f"the database {self.path} cannot be used: {reason}", advice=advice)

    def _is_there(self, path: Path) -> bool:
        try:
            path.lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unavailable(self.path, error) from error
        return True

    def _transact(self, act: Callable[[sqlite3.Connection], None]) -> None:
        with self._connected() as connection:
            retry_busy(lambda: _run_transaction(connection, act))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection. SQLite's errors and the system's become StoreUnavailable here."""
        local = self._thread_connection()
        with local.lock:
            try:
                yield self._opened(local)
            except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
                raise unavailable(self.path, error) from error

    def _thread_connection(self) -> _ThreadConnection:
        # Every use takes the gate: otherwise busy threads would delay a fork for long.
        with _gate:
            local: _ThreadConnection | None = getattr(self._local, "connection", None)
            if local is None:
                local = self._local.connection = _ThreadConnection(self._owner)
                _connections.add(local)
            return local

    def _opened(self, local: _ThreadConnection) -> sqlite3.Connection:
        if local.connection is not None and local.file != _identity(self.path):
            # The file was moved away or replaced: further writes to it would be lost.
            local.close()
        if local.connection is None:
            if is_missing(self.path):
                self._refuse_lost()
            create_file(self.path)
            local.file = _identity(self.path)
            local.connection = connect(self.path)
        return local.connection

    def _refuse_lost(self) -> None:
        """Raises StoreUnavailable when the database is lost: its record is there, and it is not."""
        try:
            Record(self.path).refuse_lost()
        except StoreUnavailable:
            # Another thread or process may just have made both, the database first.
            if is_missing(self.path):
                raise


def _run_transaction(connection: sqlite3.Connection, act: Callable[[sqlite3.Connection], None]) -> None:
    with connection:
        # A write transaction from the start: a reader fails to become a writer when another has written meanwhile.
        connection.execute("BEGIN IMMEDIATE")
        act(connection)


def _run(connection: sqlite3.Connection, record: Record, steps: Sequence[Query | Step]) -> None:
    changes = []
    for step in steps:
        cursor = connection.execute(step[0], step[1])
        if isinstance(step, Step) and cursor.rowcount > 0:
            changes.append(step.change)
    if changes:
        record.write(connection, changes)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def unavailable(path: Path, error: sqlite3.Error | OSError | UnicodeDecodeError) -> StoreUnavailable:
    """The failure for an error of SQLite or the system, with advice for an operator."""
    code, text = code_of(error), str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
    elif isinstance(error, UnicodeDecodeError):
        text = "database disk image is malformed"
    whose = owner_text(path) if code in _CLOSED else ""
    advice = _ADVICE.get(code, "examine the file")
    return StoreUnavailable(f"the database {path} cannot be used: {text}{whose}", advice=advice)


def code_of(error: sqlite3.Error | OSError | UnicodeDecodeError) -> int:
    """SQLite's code of the error. The low byte of an extended code is the primary code (sqlite.org/rescode.html)."""
    match error:
        case OSError():
            return _AS_SQLITE.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
        case UnicodeDecodeError():
            # The sqlite3 module cannot decode SQLite's message, which quotes damaged text.
            return sqlite3.SQLITE_CORRUPT
        case _:
            code = int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR))
            # The index of the log could not grow (sqlite.org/rescode.html#ioerr_shmsize).
            return sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & 0xFF
