"""The audit of a source's bytes by the rules, and its verdict."""

from lading.adapters.destinations.file.local_copies import LocalCopy
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.versions import known_digest
from lading.adapters.formats.audit import Audit, Audited, size_mismatch
from lading.adapters.formats.other_files import CALLED_HTML
from lading.adapters.signatures.checks import check_of, trusted_by
from lading.adapters.stream.errors import Refused, value_or_refuse
from lading.adapters.stream.sources import FileSource, Source, SupportsPageHint, version_of
from lading.domain.handler import Work
from lading.domain.refusals import Forbidden, Unavailable
from lading.ports.verified_files import VerifiedFiles

__all__ = ["audit_of", "must_be_signed", "proven", "signature_step", "verdict"]


def audit_of(work: Work, source: Source, rules: Rules, verified: VerifiedFiles) -> Audit:
    """The audit of the source's bytes. Raises Refused where its size or its digest rules the image out already."""
    promised = work.image.size if work.image else None
    if promised is not None and source.size is not None and source.size != promised:
        raise Refused(size_mismatch(promised, source.size))
    rules.check_size(promised or source.size)
    audit = value_or_refuse(Audit.of(work.image, verify=rules.verify, inspect=rules.inspect))
    audit.most = rules.max_disk
    is_promised = audit.expected_digest is not None or (work.image is not None and work.image.content_digest)
    if not (rules.verify and is_promised) and isinstance(source, SupportsPageHint) and source.is_called_page:
        audit.suppose(CALLED_HTML)
    if not rules.allow_unverified and not is_promised:
        raise Refused(Forbidden("the catalog has no digest of it, and landing.allow_unverified is false"))
    audit.signature = check_of(work.image, rules.certificates)
    if rules.require_signature and audit.signature is None and not (is_promised and rules.verify and _is_signed(work)):
        raise Refused(Forbidden("no signature of it can be verified, and landing.require_signature is true"))
    # Partial data is hashed too: after a power failure it may not be what was written.
    if audit.is_hashing and audit.signature is None and not source.start:
        known = known_digest(verified, version_of(source), work)
        if known is not None:
            audit.trust(known)
    return audit


def signature_step(work: Work, rules: Rules) -> str:
    """The check for a preview: `, verifies its signature with the keys in FILE`; empty: there is no signature."""
    keys = trusted_by(work.image, rules.certificates)
    return f", verifies its signature with the keys in {keys}" if keys is not None else ""


def must_be_signed(work: Work, rules: Rules) -> bool:
    """Tells whether the image may land only where a signature counts."""
    return rules.require_signature or trusted_by(work.image, rules.certificates) is not None


def _is_signed(work: Work) -> bool:
    """Tells whether the document that has the image's digest is signed."""
    return work.image is not None and work.image.proof.signed_by is not None


def proven(copy: LocalCopy | None, work: Work, rules: Rules) -> LocalCopy | None:
    """The copy; None where it has other bytes than were signed, and those were not verified by the same keys."""
    if copy is None or copy.landing.shipped is None:
        return copy  # a signature is verified when it is read
    keys, signer = trusted_by(work.image, rules.certificates), copy.landing.signed_by
    if keys is not None:
        is_proven = signer is not None and signer.found_in == keys
    else:
        is_proven = not rules.require_signature or _is_signed(work)
    if is_proven:
        return copy
    copy.source.close()
    return None


def verdict(audit: Audit, source: Source, size: int) -> Audited:
    """The audit's result after the last byte, the `size`th. Raises Refused."""
    audited = audit.verdict(size)
    # Verified bytes are the catalog's, even if their source has changed since.
    is_verified = audited.map(lambda each: each.verified).value_or(False)  # noqa: FBT003
    if not is_verified and isinstance(source, FileSource) and (change := source.change):
        raise Refused(Unavailable(f"the file was changed while it was copied: {change}"))
    return value_or_refuse(audited)
