"""Other targets on this host that hold the same image: what one fetch brought over the network serves the next."""

import logging
import os
from itertools import islice
from typing import Final

from lading.adapters.transfer.opening import open_regular
from lading.adapters.transfer.sources import FileSource
from lading.adapters.transfer.standing import is_intact
from lading.domain.handler import Work
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable

__all__ = ["Siblings"]

_log = logging.getLogger(__name__)
_MOST: Final = 1000
"""Associations that are looked at: a guest has written to most of those that are in use."""


class Siblings:
    """Finds, among what was fetched, a file that still is the very image."""

    def __init__(self, associations: AssociationStore) -> None:
        self._associations = associations

    def open(self, work: Work) -> FileSource | None:
        """A file with the image's bytes; None when none is known, or the image has no digest to know it by.

        By id and digest: ids may be given again to other images (OSSN-0075).
        """
        if work.image is None or work.image.promised is None:
            return None
        try:
            for each in islice(self._associations.list(image_id=work.image.id), _MOST):
                if each.image is None or each.image.promised != work.image.promised or each.target == work.target:
                    continue
                opened = open_regular(each.target, follow=False).value_or(None) if each.fingerprint else None
                if opened is None:
                    continue
                if is_intact(each, os.fstat(opened)):
                    _log.info("%s holds the image already", each.target)
                    return FileSource(opened)
                os.close(opened)
        except StoreUnavailable as failure:
            _log.info("whether the host has the image already is not known: %s", failure)
        return None
