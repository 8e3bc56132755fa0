"""Stored versions that were verified before: their bytes are not hashed again."""

from lading.adapters.formats.audit import Audited, digest_mismatch
from lading.adapters.stream.errors import Refused
from lading.domain.handler import Work
from lading.ports.image import Digest
from lading.ports.verified_files import StoredVersion, VerifiedFiles

__all__ = ["known_digest", "remember_version"]


def known_digest(verified: VerifiedFiles, version: StoredVersion | None, work: Work) -> Digest | None:
    """The version's digest by the catalog's algorithm, if it was verified before and may be used.

    Raises Refused where it is not the digest that the catalog promises.
    """
    expected = work.image.expected_digest if work.image else None
    if version is None or expected is None or work.reverify:
        return None
    known = verified.digest(version, expected.algorithm).value_or(None)
    if known is not None and known != expected:
        raise Refused(digest_mismatch(expected, known))
    return known


def remember_version(verified: VerifiedFiles, version: StoredVersion | None, audited: Audited) -> None:
    """Remembers the digest of a version that was read completely, if that is the catalog's."""
    if version is not None and audited.verified and audited.digest is not None and audited.size == version.size:
        verified.remember(version, audited.digest)
