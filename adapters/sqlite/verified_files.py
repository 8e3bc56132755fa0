"""Verified files in the host's database."""

from typing import Final

from returns.result import safe

from lading.adapters.codec.text import as_text, from_text
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.rows import Value
from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["FileVerifiedFiles"]

_DIGEST: Final = """
SELECT value FROM verifications
WHERE device = ? AND inode = ? AND algorithm = CAST(? AS TEXT) AND size = ? AND mtime_ns = ? AND ctime_ns = ?
AND birth_ns IS ?
"""
_REMEMBER: Final = """
REPLACE INTO verifications (device, inode, size, mtime_ns, ctime_ns, birth_ns, algorithm, value)
VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))
"""
# Ids increase with each row, so that the rows need not be counted.
_FORGET: Final = "DELETE FROM verifications WHERE id <= (SELECT max(id) FROM verifications) - ?"


class FileVerifiedFiles:
    """VerifiedFiles in a file. It keeps the last `keep` digests; older ones are evicted."""

    def __init__(self, database: Database, *, keep: int = 100_000) -> None:
        self._database = database
        self._keep: Final = keep

    @safe(exceptions=(StoreUnavailable,))
    def digest(self, file: Fingerprint, algorithm: str) -> Digest | None:
        device, inode, size, mtime_ns, ctime_ns, birth_ns = _columns(file)
        name = as_text(algorithm.lower())
        rows = self._database.rows(_DIGEST, (device, inode, name, size, mtime_ns, ctime_ns, birth_ns))
        try:
            return Digest(algorithm, from_text(rows[0][0])) if rows else None
        except ValueError:
            return None  # a damaged row is ignored

    @safe(exceptions=(StoreUnavailable,))
    def remember(self, file: Fingerprint, digest: Digest) -> None:
        row: list[Value] = [*_columns(file), as_text(digest.algorithm), as_text(digest.value)]
        self._database.change((_REMEMBER, row), (_FORGET, (self._keep,)))


def _columns(file: Fingerprint) -> list[str | None]:
    return [None if each is None else str(each) for each in file]
