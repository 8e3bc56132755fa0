"""Verified files in the memory of this process."""

import threading
from typing import Final

from returns.result import Result, Success

from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["MemoryVerifiedFiles"]


class MemoryVerifiedFiles:
    """VerifiedFiles in a dict. It keeps the newest `keep` entries, and of each file only its latest state."""

    def __init__(self, *, keep: int = 100_000) -> None:
        self._keep: Final = keep
        self._found: dict[tuple[int, int, str], tuple[Fingerprint, Digest]] = {}
        self._lock = threading.Lock()

    def digest(self, file: Fingerprint, algorithm: str) -> Result[Digest | None, StoreUnavailable]:
        found = self._found.get((file.device, file.inode, algorithm.lower()))
        return Success(found[1] if found is not None and found[0] == file else None)

    def remember(self, file: Fingerprint, digest: Digest) -> Result[None, StoreUnavailable]:
        key = (file.device, file.inode, digest.algorithm)
        with self._lock:
            # Removed and inserted: a dict keeps the order of insertion, so that its first key is the oldest.
            self._found.pop(key, None)
            self._found[key] = (file, digest)
            if len(self._found) > self._keep:
                del self._found[next(iter(self._found))]
        return Success(None)
