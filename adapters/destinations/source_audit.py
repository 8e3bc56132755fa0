"""The audit of a source's bytes by the rules, and its verdict."""

from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.versions import known_digest
from lading.adapters.formats.audit import Audit, Audited, size_mismatch
from lading.adapters.stream.errors import Refused, value_or_refuse
from lading.adapters.stream.sources import FileSource, Source, version_of
from lading.domain.handler import Work
from lading.domain.refusals import Forbidden, Unavailable
from lading.ports.verified_files import VerifiedFiles

__all__ = ["audit_of", "verdict"]


def audit_of(work: Work, source: Source, rules: Rules, verified: VerifiedFiles) -> Audit:
    """The audit of the source's bytes. Raises Refused where its size or its digest rules the image out already."""
    promised = work.image.size if work.image else None
    if promised is not None and source.size is not None and source.size != promised:
        raise Refused(size_mismatch(promised, source.size))
    rules.check_size(promised or source.size)
    audit = value_or_refuse(Audit.of(work.image, verify=rules.verify, inspect=rules.inspect))
    audit.most = rules.max_disk
    is_promised = audit.expected_digest is not None or (work.image is not None and work.image.content_digest)
    if not rules.allow_unverified and not is_promised:
        raise Refused(Forbidden("the catalog has no digest of it, and landing.allow_unverified is false"))
    # Partial data is hashed too: after a power failure it may not be what was written.
    if audit.is_hashing and not source.start:
        known = known_digest(verified, version_of(source), work)
        if known is not None:
            audit.trust(known)
    return audit


def verdict(audit: Audit, source: Source, size: int) -> Audited:
    """The audit's result after the last byte, the `size`th. Raises Refused."""
    audited = audit.verdict(size)
    # Verified bytes are the catalog's, even if their source has changed since.
    is_verified = audited.map(lambda each: each.verified).value_or(False)  # noqa: FBT003
    if not is_verified and isinstance(source, FileSource) and (change := source.change):
        raise Refused(Unavailable(f"the file was changed while it was copied: {change}"))
    return value_or_refuse(audited)
