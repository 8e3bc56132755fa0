"""Other targets on this host with the same image: a fetch copies from one instead of downloading the image again."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from lading.adapters.destinations.file.notes import noted_landing
from lading.adapters.destinations.file.partial import noted_part
from lading.adapters.formats.audit import digest_flaw
from lading.adapters.stream.safe_open import fingerprint, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Landing, Work
from lading.ports.association import Association, Fingerprint, Shipped
from lading.ports.association_store import AssociationStore
from lading.ports.context import ANONYMOUS
from lading.ports.failures import StoreUnavailable
from lading.ports.form import Form
from lading.ports.image import Digest, Image
from lading.ports.journal import Journal, Verb

__all__ = ["LocalCopies", "LocalCopy", "shared_digest"]

_log = logging.getLogger(__name__)
_MOST: Final = 1000
"""The most associations that are checked: guests have written to most of the targets in use."""
_WEAK: Final = frozenset({"md5", "sha1"})
"""Algorithms for which two files with one digest can be made."""


class LocalCopy(NamedTuple):
    """A target of this host that holds the image, open to be read."""

    source: FileSource
    landing: Landing
    """Of the fetch that brought it there."""


class LocalCopies:
    """Finds a fetched file that still is unchanged."""

    def __init__(self, associations: AssociationStore, journal: Journal) -> None:
        self._associations = associations
        self._journal = journal

    def open(self, work: Work, form: Form) -> LocalCopy | None:
        """Opens a file that has the image in this form, or else as shipped.

        None when no such file is known, or when the image has no digest.
        """
        if work.image is None or work.image.expected_digest is None:
            return None
        as_shipped: LocalCopy | None = None
        try:
            for target, landing, is_recorded in self._known(work):
                is_made = landing.shipped is not None
                if target == work.target or (is_made and not (_is_trusted(landing) and landing.is_in(form))):
                    continue
                if not is_made and as_shipped is not None:
                    continue
                source = _opened(target, landing, is_recorded=is_recorded)
                if source is None:
                    continue
                _log.info("%s has the image already", target)
                if is_made or landing.is_in(form):
                    if as_shipped is not None:
                        as_shipped.source.close()
                    return LocalCopy(source, landing)
                as_shipped = LocalCopy(source, landing)
        except StoreUnavailable as failure:
            _log.info("other targets with the image cannot be listed: %s", failure)
        return as_shipped

    def received_bytes(self, work: Work) -> int | None:
        """Bytes of the image that were received for another target; None when no other fetch of it is known."""
        try:
            parts = [
                noted_part(intent.target, intent.notes)
                for intent in self._journal.list()
                if intent.verb is Verb.FETCH and intent.target != work.target and _is_same(intent.image, work)
            ]
            fetched = [os.stat(part).st_size for part in parts if os.path.exists(part)]
        except (StoreUnavailable, OSError):
            return None
        return max(fetched, default=None)

    def _known(self, work: Work) -> Iterator[tuple[str, Landing, bool]]:
        """The targets with the image: path, landing with the fingerprint, and whether it is recorded."""
        # The journal is read before the store: a fetch that ends in between is then in one of both.
        for intent in self._journal.list():
            landing = noted_landing(intent.notes) if intent.verb is Verb.FETCH else None
            if landing is not None and _may_be_copied(intent.image, landing[0], work):
                yield intent.target, replace(landing[0], fingerprint=landing[1]), False
        for each in islice(self._recorded(work), _MOST):
            if each.fingerprint is not None and _may_be_copied(each.image, landed := Landing.already(each), work):
                yield each.target, landed, True

    def _recorded(self, work: Work) -> Iterator[Association]:
        """The records of the image: of this id, then of other ids with its digest."""
        image_id = work.image.id if work.image else None
        yield from self._associations.list(image_id=image_id)
        if (digest := shared_digest(work)) is not None:
            for each in self._associations.list(digest=digest):
                if each.image is None or each.image.id != image_id:
                    yield each


def shared_digest(work: Work) -> Digest | None:
    """The digest by which the work's image may be the same as one with another id; None: their ids must be the same.

    A user may know the digest of an image that the user may not read. So only an operator's request is by digest.
    """
    digest = work.image.digest if work.image else None
    return digest if digest is not None and digest.algorithm not in _WEAK and work.context == ANONYMOUS else None


def _is_same(found: Image | None, work: Work) -> bool:
    """Tells whether it is the work's image. An id may be reused for another image (OSSN-0075): digests are compared."""
    image = work.image
    if found is None or image is None or found.expected_digest != image.expected_digest:
        return False
    return found.id == image.id or shared_digest(work) is not None


def _may_be_copied(found: Image | None, landing: Landing, work: Work) -> bool:
    """Tells whether a target that was made of the image `found` holds the work's image."""
    image = work.image
    if found is None or image is None or not _is_same(found, work):
        return False
    if found.id == image.id:
        return True
    return landing.verified and (landing.shipped is None or _is_described(image, found, landing.shipped))


def _is_described(image: Image, found: Image, shipped: Shipped) -> bool:
    """Tells whether what was made of the image `found` agrees with all that `image` promises of it."""
    return (
        "img_signature" not in image.properties  # Glance's, which another image's fetch did not verify
        and image.disk_format in {None, found.disk_format, shipped.format.rpartition(", ")[2]}
        and (image.container_format or "bare") == (found.container_format or "bare")
        and image.content_digest in {None, found.content_digest}
        and image.content_size in {None, found.content_size}
    )


def _is_trusted(landing: Landing) -> bool:
    """Tells whether a copy can be compared with its digest, and then is as verified and inspected as a download."""
    has_digest = landing.digest is not None and digest_flaw(landing.digest) is None
    return has_digest and landing.verified and landing.inspected_by is not None


def _opened(target: str, landing: Landing, *, is_recorded: bool) -> FileSource | None:
    """The target, if it is unchanged since it was published."""
    opened = open_regular(target, follow=False).value_or(None)
    if opened is None:
        return None
    if landing.fingerprint is not None and _is_unchanged(
        landing.fingerprint, fingerprint(opened), is_recorded=is_recorded
    ):
        return FileSource(opened, copied_from=target)
    os.close(opened)
    return None


def _is_unchanged(file: Fingerprint, found: Fingerprint, *, is_recorded: bool) -> bool:
    """Returns True for the same, unchanged file. The ctime of one that is not recorded yet changes with its name."""
    return file.is_unchanged(found if is_recorded else found._replace(ctime_ns=file.ctime_ns))
