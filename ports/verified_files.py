"""The port that remembers digests of files and stored versions, so that the same bytes are not hashed again."""

from typing import NamedTuple, Protocol

from returns.result import Result

from lading.ports.association import Fingerprint
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["StoredVersion", "VerifiedFiles"]


class StoredVersion(NamedTuple):
    """Bytes that their storage never changes, by its own word: those of a snapshot in Ceph."""

    identity: str
    """The storage and its ids of these bytes. It never gives the same ids to other bytes."""
    size: int
    """Bytes."""


class VerifiedFiles(Protocol):
    """Digests by algorithm: of files by fingerprint, and of stored versions. Safe to share between threads.

    The case of the algorithm does not matter. Entries may be evicted: that costs time, never safety.
    """

    def digest(self, content: Fingerprint | StoredVersion, algorithm: str) -> Result[Digest | None, StoreUnavailable]:
        """Returns the digest of this very file or version, if it was hashed before."""
        ...

    def remember(self, content: Fingerprint | StoredVersion, digest: Digest) -> Result[None, StoreUnavailable]:
        """Stores the digest of a file or version that was read completely. A file must not have changed meanwhile."""
        ...
