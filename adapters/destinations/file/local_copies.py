"""Other targets on this host with the same image: a fetch copies from one instead of downloading the image again."""

import logging
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from lading.adapters.destinations.file.notes import noted_landing
from lading.adapters.destinations.file.partial import noted_part
from lading.adapters.stream.safe_open import fingerprint, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Work
from lading.ports.association import Fingerprint
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Image
from lading.ports.journal import Journal, Verb

__all__ = ["LocalCopies"]

_log = logging.getLogger(__name__)
_MOST: Final = 1000
"""The most associations that are checked: guests have written to most of the targets in use."""


class LocalCopies:
    """Finds a fetched file that still is unchanged."""

    def __init__(self, associations: AssociationStore, journal: Journal) -> None:
        self._associations = associations
        self._journal = journal

    def open(self, work: Work) -> FileSource | None:
        """Opens a file with the image's bytes; None when none is known, or when the image has no digest.

        Images are compared by id and digest: an id may be reused for another image (OSSN-0075).
        """
        if work.image is None or work.image.expected_digest is None:
            return None
        try:
            for target, file, is_recorded in self._known(work.image):
                opened = open_regular(target, follow=False).value_or(None) if target != work.target else None
                if opened is None:
                    continue
                if _is_unchanged(file, fingerprint(opened), is_recorded=is_recorded):
                    _log.info("%s has the image already", target)
                    return FileSource(opened, copied_from=target)
                os.close(opened)
        except StoreUnavailable as failure:
            _log.info("other targets with the image cannot be listed: %s", failure)
        return None

    def received_bytes(self, work: Work) -> int | None:
        """Bytes of the image that were received for another target; None when no other fetch of it is known."""
        try:
            parts = [
                noted_part(intent.target, intent.notes)
                for intent in self._journal.list()
                if intent.verb is Verb.FETCH and intent.target != work.target and _is_same(intent.image, work.image)
            ]
            fetched = [os.stat(part).st_size for part in parts if os.path.exists(part)]
        except (StoreUnavailable, OSError):
            return None
        return max(fetched, default=None)

    def _known(self, image: Image) -> Iterator[tuple[str, Fingerprint, bool]]:
        """The targets with the image: path, fingerprint when it was published, and whether it is recorded."""
        # The journal is read before the store: a fetch that ends in between is then in one of both.
        for intent in self._journal.list():
            landing = noted_landing(intent.notes) if intent.verb is Verb.FETCH else None
            if landing is not None and _is_same(intent.image, image):
                yield intent.target, landing[1], False
        for each in islice(self._associations.list(image_id=image.id), _MOST):
            if each.fingerprint is not None and _is_same(each.image, image):
                yield each.target, each.fingerprint, True


def _is_unchanged(file: Fingerprint, found: Fingerprint, *, is_recorded: bool) -> bool:
    """Returns True for the same, unchanged file. The ctime of one that is not recorded yet changes with its name."""
    return file.is_unchanged(found if is_recorded else found._replace(ctime_ns=file.ctime_ns))


def _is_same(one: Image | None, other: Image | None) -> bool:
    return one is not None and other is not None and (one.id, one.expected_digest) == (other.id, other.expected_digest)
