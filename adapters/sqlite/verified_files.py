"""Verified files and versions in the host's database."""

from typing import Final

from returns.result import safe

from lading.adapters.codec.text import as_text, from_text
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.rows import Value
from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest
from lading.ports.verified_files import StoredVersion

__all__ = ["FileVerifiedFiles"]

_DIGEST: Final = """
SELECT value FROM verifications
WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ? AND birth_ns IS ?
AND algorithm = CAST(? AS TEXT)
"""
_REMEMBER: Final = """
REPLACE INTO verifications (device, inode, size, mtime_ns, ctime_ns, birth_ns, algorithm, value)
VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))
"""
_DIGEST_OF_VERSION: Final = """
SELECT value FROM verified_versions WHERE identity = CAST(? AS TEXT) AND size = ? AND algorithm = CAST(? AS TEXT)
"""
_REMEMBER_VERSION: Final = """
REPLACE INTO verified_versions (identity, size, algorithm, value)
VALUES (CAST(? AS TEXT), ?, CAST(? AS TEXT), CAST(? AS TEXT))
"""
# Ids increase with each row, so that the rows need not be counted.
_FORGET: Final = "DELETE FROM verifications WHERE id <= (SELECT max(id) FROM verifications) - ?"
_FORGET_VERSION: Final = "DELETE FROM verified_versions WHERE id <= (SELECT max(id) FROM verified_versions) - ?"


class FileVerifiedFiles:
    """VerifiedFiles in a file. It keeps the last `keep` digests of each kind; older ones are evicted."""

    def __init__(self, database: Database, *, keep: int = 100_000) -> None:
        self._database = database
        self._keep: Final = keep

    @safe(exceptions=(StoreUnavailable,))
    def digest(self, content: Fingerprint | StoredVersion, algorithm: str) -> Digest | None:
        statement = _DIGEST_OF_VERSION if isinstance(content, StoredVersion) else _DIGEST
        rows = self._database.rows(statement, (*_columns(content), as_text(algorithm.lower())))
        try:
            return Digest(algorithm, from_text(rows[0][0])) if rows else None
        except ValueError:
            return None  # a damaged row is ignored

    @safe(exceptions=(StoreUnavailable,))
    def remember(self, content: Fingerprint | StoredVersion, digest: Digest) -> None:
        row = [*_columns(content), as_text(digest.algorithm), as_text(digest.value)]
        is_version = isinstance(content, StoredVersion)
        remember, forget = (_REMEMBER_VERSION, _FORGET_VERSION) if is_version else (_REMEMBER, _FORGET)
        self._database.change((remember, row), (forget, (self._keep,)))


def _columns(content: Fingerprint | StoredVersion) -> list[Value]:
    if isinstance(content, StoredVersion):
        return [as_text(content.identity), str(content.size)]
    return [None if each is None else str(each) for each in content]
