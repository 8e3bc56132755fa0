"""The record: a second copy of the database's contents, from which `lading recover --rebuild` rebuilds the database.

The record of `associations.sqlite` is the file `associations.sqlite.record` beside it. It is append-only (see
record_file.py for its format). It contains associations and intents, but not verified digests: they are a cache. Its
name is the database's with a suffix, like SQLite's `-wal` and `-shm`. So two databases in one folder never share a
record, and a copy of `associations.sqlite*` is complete. Its mode and owner are the database's.

Writing. A transaction appends one line with its changes and flushes it. Then it stores the new end of the record (size,
and checksum of the last line) in the table `record`, and commits. All of that happens under SQLite's write lock, so the
order is the same in both files for all threads and processes. So an acknowledged change is on the disk twice. A
statement that changes no row writes no line.

Which file decides. A readable database does: the next transaction makes the record agree with it.

- The record has one more line, whole or truncated, than the database knows: a process or the machine stopped, or the
  disk was full, before the commit. The line is removed.
- There is no record: it was deleted, or an earlier version made the database. It is rewritten from the database.
- The record ends elsewhere: a copy of the database or of the record was restored, or the record's end is damaged. It
  is kept under the name `….record.old-TIME`, a warning names it, and a new one is written from the database.
- The record belongs to another database, or has a later version of the format: nothing is written, and the refusal
  reports it.
- There is no database, or an empty file, beside a record that is not empty: the database was lost. Nothing is read or
  written, so a lost database never looks like an empty one. The refusal says what to do.

When the database is lost or damaged, the record decides. Each association in it is proven by reading its target, or
dropped; so a last line that was not committed adds nothing false. Intents are copied, because recovery proves them by
inode and birth before it changes anything. A last transaction that was not acknowledged may be in it or not. See
rebuild.py.

Compaction. A record of more than a mebibyte, and more than twice its size after the last compaction, is rewritten from
the database: to another file, which is flushed and renamed to the record's name, in a transaction like any other. So a
put has a constant cost on average. Readers see the old file or the new one. When that transaction is not committed, the
new record names the last checksum of the old one, and the next transaction rewrites it. A compaction without enough
space is postponed. None happens while a rebuild is not finished.
"""

import logging
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.host.private_files import open_private
from lading.adapters.sqlite.record_file import SEAL, Contents, header_line, read_record, seal_of, transaction_line
from lading.adapters.sqlite.rows import count_rows, row_changes
from lading.adapters.stream.names import flush_folder
from lading.ports.failures import StoreUnavailable

__all__ = ["Record", "is_missing", "time_stamp"]

_log = logging.getLogger(__name__)
_SMALL: Final = 1 << 20
"""Bytes up to which a record is not compacted."""


class _Mark(NamedTuple):
    """The row of the table `record`: the end of the database's record."""

    database: str
    """The database's id."""
    size: int
    """Bytes."""
    seal: str
    """The checksum of the last line."""
    compacted: int
    """Bytes after the last compaction."""
    rebuilding: str | None
    """The name of the damaged database, while the rebuild is not finished."""


class Record:
    """The record of the database at a path."""

    def __init__(self, database: Path) -> None:
        # The real path: SQLite's log is there too.
        self._database: Final = Path(os.path.realpath(database))
        self.path: Final = self._database.with_name(f"{self._database.name}.record")
        self._new: Final = self.path.with_name(f"{self.path.name}.new")

    def read(self) -> Contents | None:
        """The contents; None where there is no record. Raises OSError, and StoreUnavailable for a later version's."""
        try:
            return read_record(self.path)
        except FileNotFoundError:
            return None

    def create(self, connection: sqlite3.Connection, *, is_new: bool) -> None:
        """Writes the first record of a database, which may have rows. Part of the caller's transaction.

        Raises OSError, and StoreUnavailable when `is_new` is True and there is a record of an earlier database.
        """
        if connection.execute("SELECT 1 FROM record").fetchone():
            return
        with self._explained():
            if is_new:
                self.refuse_lost()
            elif self.path.exists():
                self._keep_aside()
            self._insert(connection, row_changes(connection), count_rows(connection))

    def refuse_lost(self) -> None:
        """Raises StoreUnavailable when the record is not empty: the caller has found no database."""
        contents = self.read()
        if contents is not None and not contents.is_empty:
            raise StoreUnavailable(
                f"the database {self._database} is lost, and its record {self.path} is not",
                advice="`lading recover --rebuild` rebuilds it from what can be verified; to begin with an empty one, "
                "move the record away",
            )

    def adopt(self, connection: sqlite3.Connection, changes: Iterable[bytes], count: int, rebuilding: str) -> None:
        """Writes the record of a new database before its rows are rebuilt. Part of the caller's transaction."""
        with self._explained():
            self._insert(connection, changes, count, rebuilding)

    def write(self, connection: sqlite3.Connection, changes: Sequence[bytes]) -> None:
        """Adds a transaction's changes. The caller's transaction has made them, and commits next.

        Raises StoreUnavailable when the record is another database's, and OSError.
        """
        with self._explained():
            mark = _mark(connection)
            self._new.unlink(missing_ok=True)  # from an interrupted compaction
            is_due = mark.rebuilding is None and mark.size > max(_SMALL, 2 * mark.compacted)
            if is_due and self._agrees(mark):
                with suppress(OSError):
                    self._rewrite(connection, mark)
                    return
            if self._agrees(mark):
                self._append(connection, mark, transaction_line(changes))
                return
            self._replace_other(mark)
            self._rewrite(connection, mark)

    def finish_rebuild(self, connection: sqlite3.Connection) -> None:
        """Rewrites it from the database. Part of the caller's transaction."""
        with self._explained():
            self._rewrite(connection, _mark(connection)._replace(rebuilding=None))

    def _agrees(self, mark: _Mark) -> bool:
        """Returns True when it ends where the database says, after removing a line that was not committed."""
        try:
            file = self.path.open("r+b")
        except FileNotFoundError:
            return False
        with file:
            file.seek(max(mark.size - SEAL, 0))
            if seal_of(file.read(SEAL)) != mark.seal:
                return False
            match sum(1 for _ in islice(file, 2)):
                case 0:
                    return True
                case 1:
                    file.truncate(mark.size)
                    return True
                case _:
                    return False

    def _append(self, connection: sqlite3.Connection, mark: _Mark, line: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        connection.execute("UPDATE record SET size = ?, seal = ?", (mark.size + len(line), seal_of(line)))

    def _replace_other(self, mark: _Mark) -> None:
        """Moves away a record that does not agree with the database, unless it contains nothing more."""
        contents = self.read()
        if contents is None:
            return
        if contents.database not in {None, mark.database}:
            raise StoreUnavailable(
                f"the record {self.path} belongs to another database than {self._database}",
                advice="put that database back, or move the record away, and a new one is made",
            )
        # A compaction that was not committed has the database's contents.
        is_compaction = contents.follows == mark.seal and contents.lines == contents.snapshot
        if not is_compaction and self.path.stat().st_size:
            self._keep_aside()

    def _keep_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.old-{time_stamp()}")
        self.path.rename(aside)
        _log.warning("the record %s did not agree with its database: it is kept as %s", self.path, aside)

    def _insert(
        self, connection: sqlite3.Connection, changes: Iterable[bytes], count: int, rebuilding: str | None = None
    ) -> None:
        mark = _Mark(secrets.token_hex(8), 0, "", 0, rebuilding)
        self._rewrite(connection, mark, changes, count)

    def _rewrite(
        self,
        connection: sqlite3.Connection,
        mark: _Mark,
        changes: Iterable[bytes] | None = None,
        count: int | None = None,
    ) -> None:
        """Rewrites it, by default from the database, and stores its end in the table `record`."""
        if changes is None or count is None:
            changes, count = row_changes(connection), count_rows(connection)
        self._new.unlink(missing_ok=True)
        try:
            size, seal = self._write_new(mark, changes, count)
            self._new.replace(self.path)
        except BaseException:
            self._new.unlink(missing_ok=True)
            raise
        flush_folder(str(self.path))
        connection.execute(
            "REPLACE INTO record (id, database, size, seal, compacted, rebuilding) VALUES (1, ?, ?, ?, ?, ?)",
            (mark.database, size, seal, size, mark.rebuilding and os.fsencode(mark.rebuilding)),
        )

    def _write_new(self, mark: _Mark, changes: Iterable[bytes], count: int) -> tuple[int, str]:
        """Writes the new file. Returns its size, and the checksum of its last line."""
        line = header_line(mark.database, mark.seal, count)
        size = len(line)
        with os.fdopen(open_private(self._new, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as file:
            self._give_access(file.fileno())
            file.write(line)
            for change in changes:
                line = transaction_line([change])
                file.write(line)
                size += len(line)
            file.flush()
            os.fsync(file.fileno())
        return size, seal_of(line)

    def _give_access(self, descriptor: int) -> None:
        """Sets the file's mode and owner to the database's, as SQLite does for its log."""
        status = self._database.stat()
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
        if os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Adds the record's name to OSErrors of the block."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror or error}, of its record {self.path.name}") from error


def is_missing(database: Path) -> bool:
    """Returns True for a missing or an empty file, which SQLite treats as a new database. Raises OSError."""
    with suppress(FileNotFoundError):
        if database.stat().st_size > 0:
            return False
    # SQLite ignores the log of an empty file, but the log shows that there was a database.
    with suppress(FileNotFoundError):
        return database.with_name(f"{database.name}-wal").stat().st_size == 0
    return True


def time_stamp() -> str:
    """The time in UTC, for the name of a file that is kept aside."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def _mark(connection: sqlite3.Connection) -> _Mark:
    row = connection.execute("SELECT database, size, seal, compacted, rebuilding FROM record").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("its table record is empty")
    database, size, seal, compacted, rebuilding = row
    return _Mark(database.decode(), size, seal.decode(), compacted, rebuilding and os.fsdecode(rebuilding))
