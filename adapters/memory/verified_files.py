"""Verified files and versions in the memory of this process."""

import threading
from typing import Final

from returns.result import Result, Success

from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest
from lading.ports.verified_files import StoredVersion

__all__ = ["MemoryVerifiedFiles"]

_Content = Fingerprint | StoredVersion


class MemoryVerifiedFiles:
    """VerifiedFiles in a dict. It keeps the newest `keep` entries, and of each file only its latest state."""

    def __init__(self, *, keep: int = 100_000) -> None:
        self._keep: Final = keep
        self._found: dict[tuple[object, ...], tuple[_Content, Digest]] = {}
        self._lock = threading.Lock()

    def digest(self, content: _Content, algorithm: str) -> Result[Digest | None, StoreUnavailable]:
        found = self._found.get(_key(content, algorithm.lower()))
        return Success(found[1] if found is not None and found[0] == content else None)

    def remember(self, content: _Content, digest: Digest) -> Result[None, StoreUnavailable]:
        key = _key(content, digest.algorithm)
        with self._lock:
            # Removed and inserted: a dict keeps the order of insertion, so that its first key is the oldest.
            self._found.pop(key, None)
            self._found[key] = (content, digest)
            if len(self._found) > self._keep:
                del self._found[next(iter(self._found))]
        return Success(None)


def _key(content: _Content, algorithm: str) -> tuple[object, ...]:
    if isinstance(content, StoredVersion):
        return content.identity, algorithm
    return content.device, content.inode, algorithm
