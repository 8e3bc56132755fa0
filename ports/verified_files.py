"""Who remembers which files' bytes were hashed, so that an unchanged one isn't read again."""

from typing import Protocol

from returns.result import Result

from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["VerifiedFiles"]


class VerifiedFiles(Protocol):
    """Digests of files by fingerprint and algorithm, whose case doesn't matter. Safe to share between threads.

    It may forget: that costs time, never safety.
    """

    def digest(self, file: Fingerprint, algorithm: str) -> Result[Digest | None, StoreUnavailable]:
        """The digest that this very file was found to have, if it was hashed before."""
        ...

    def remember(self, file: Fingerprint, digest: Digest) -> Result[None, StoreUnavailable]:
        """The file was hashed from its first byte to its last, unchanged meanwhile, and this came out."""
        ...
