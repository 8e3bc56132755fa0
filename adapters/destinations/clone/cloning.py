"""Fetches of clones: what can be cloned, and its clone, which appears whole or not at all."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.clone.inspection import inspect
from lading.adapters.destinations.clone.storage import AttachesClones, Clone, CloneStorage, Parent
from lading.adapters.destinations.clone.target_state import by_identity, check_name, make_way, part_of
from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.source_audit import must_be_signed
from lading.adapters.destinations.versions import known_digest
from lading.adapters.formats.audit import size_mismatch
from lading.adapters.stream.errors import Refused
from lading.domain.handler import Landing, Work
from lading.domain.handler_calls import exception_reason
from lading.domain.refusals import Unsupported
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Digest, Image, Signer
from lading.ports.journal import Journal
from lading.ports.location import Location
from lading.ports.verified_files import VerifiedFiles

__all__ = [
    "METHOD",
    "check_request",
    "clone_image",
    "find_parent",
    "inspect_parent",
    "parent_digest",
    "signer_of",
    "undo",
]

_log = logging.getLogger(__name__)
METHOD: Final = "clone"
"""The method that associations record."""


def check_request(storage: CloneStorage, work: Work) -> Location:
    """The location to clone from. Raises Refused where nothing can be cloned. Makes no request."""
    if work.location is None:
        raise Refused(Unsupported("this handler needs a location"))
    storage.check_location(work.location)
    check_name(storage, work.target)
    image = work.image
    if image is None:
        raise Refused(Unsupported("the request names no image"))
    if image.disk_format != "raw" or image.container_format not in {None, "bare"}:
        shape = f"{image.disk_format or 'unknown'} in {image.container_format or 'bare'}"
        raise Refused(Unsupported(f"the image is {shape}, and a clone would not be a disk: only raw ones are cloned"))
    if replace(work.form, size=None) not in {AS_SHIPPED, Form("raw")}:
        raise Refused(Unsupported("a clone is raw and allocates its space itself: of its form only the size is free"))
    return work.location


def find_parent(storage: CloneStorage, location: Location, work: Work, rules: Rules) -> Parent:
    """The image to clone. Raises Refused where it is not what the catalog promises, or too large."""
    parent = storage.find_parent(location, work)
    promised = work.image.size if work.image else None
    if promised is not None and parent.size != promised:
        raise Refused(replace(size_mismatch(promised, parent.size), place=parent.name))
    size = work.form.size
    if size is not None and size < parent.size:
        raise Refused(
            Unsupported(f"{parent.name} has {exact_size(parent.size)}, more than the {exact_size(size)} requested")
        )
    rules.check_size(parent.size)
    return parent


def parent_digest(verified: VerifiedFiles, parent: Parent, work: Work, rules: Rules) -> Digest | None:
    """The digest of the image, if its bytes were verified before: a clone's bytes are not read.

    Raises Refused where it is not the catalog's, or where the rules need one.
    """
    digest = known_digest(verified, parent.version, work) if rules.verify else None
    if digest is None and not rules.allow_unverified:
        reason = "a clone's bytes are not read, so not verified, and landing.allow_unverified is false"
        raise Refused(Unsupported(reason))
    is_signed = digest is not None and work.image is not None and work.image.proof.signed_by is not None
    if not is_signed and must_be_signed(work, rules):
        reason = "a clone's bytes are not read, so that no signature of them can be verified, and one must count"
        raise Refused(Unsupported(reason))
    return digest


def signer_of(image: Image | None, digest: Digest | None) -> Signer | None:
    """The signer of the digest, which a clone's bytes were verified to have; None: they were not, or it is unsigned."""
    return image.proof.signed_by if image is not None and digest is not None else None


def inspect_parent(work: Work, parent: Parent, rules: Rules) -> str | None:
    """Inspects the image before it is cloned. Returns the inspector; None where only a clone can be read."""
    return inspect(work.image, parent.open(), rules) if parent.open is not None else None


def clone_image(
    storage: CloneStorage,
    work: Work,
    parent: Parent,
    digest: Digest | None,
    replaced: Sequence[Clone],
    journal: Journal,
    rules: Rules,
) -> Landing:
    """Clones the image under a temporary name, and gives the clone the target's name last. Raises Refused.

    `digest` is the image's, where it was verified before.
    `replaced` has the target's name, and is removed. After a failure it has the name again, and nothing else is left.
    """
    inspected_by = inspect_parent(work, parent, rules)
    part = part_of(work.target)
    make_way(storage, part)
    write_notes(journal, work, {"part": part})
    clone = None
    try:
        clone = storage.clone(parent, part, work.form.size)
        if isinstance(storage, AttachesClones):
            storage.attach(clone.identity)
        if parent.open is None:
            inspected_by = inspect(work.image, storage.open(clone, clone.size), rules)
        notes = {
            "part": part,
            "clone": clone.identity,
            "inspected_by": inspected_by,
            "verified": digest is not None,
            "replaced": [each.identity for each in replaced],
        }
        write_notes(journal, work, notes)
        storage.publish(clone, work.target, replaced)
    except BaseException:
        undo(storage, work.target, clone, replaced)
        raise
    for each in replaced:
        _purge(storage, each)
    return Landing(
        METHOD, clone.size, digest, digest is not None, identity=clone.identity, inspected_by=inspected_by,
        signed_by=signer_of(work.image, digest),
    )  # fmt: skip


def undo(storage: CloneStorage, target: str, clone: Clone | None, replaced: Sequence[Clone]) -> None:
    """Removes a clone that failed, and restores what it replaced. Raises nothing: recovery finds what is left."""
    with suppress(Exception):
        storage.discard(part_of(target))
    with suppress(Exception):
        found = storage.find(target)
        published = by_identity(found, clone.identity) if clone is not None else None
        if published is not None:
            storage.delete(published)
        if published is not None or not found:
            for each in replaced:
                storage.restore(each.identity, target)


def _purge(storage: CloneStorage, replaced: Clone) -> None:
    """Removes a replaced clone. A failure is a warning: the replacement is there."""
    try:
        storage.purge(replaced.identity, replaced.name)
    except Exception as error:  # noqa: BLE001 - the vendor's own errors too
        reason = str(error) if isinstance(error, Refused) else exception_reason(error)
        _log.warning("%s: the replaced %s may be left: %s", replaced.name, replaced.identity, reason)
