"""The port that remembers digests of files, so that an unchanged file is not read again."""

from typing import Protocol

from returns.result import Result

from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["VerifiedFiles"]


class VerifiedFiles(Protocol):
    """Digests of files by fingerprint and algorithm. Safe to share between threads.

    The case of the algorithm does not matter. Entries may be evicted: that costs time, never safety.
    """

    def digest(self, file: Fingerprint, algorithm: str) -> Result[Digest | None, StoreUnavailable]:
        """Returns the digest of this very file, if it was hashed before."""
        ...

    def remember(self, file: Fingerprint, digest: Digest) -> Result[None, StoreUnavailable]:
        """Stores the digest of a file that was read completely and did not change meanwhile."""
        ...
