"""Associations in the memory of this process."""

import threading
from collections.abc import Iterator

from returns.result import Result, Success

from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["MemoryAssociations"]


class MemoryAssociations:
    """An AssociationStore in a dict; nothing survives the process."""

    def __init__(self) -> None:
        self._by_target: dict[str, Association] = {}
        self._lock = threading.Lock()

    def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
        return Success(self._by_target.get(target))

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        with self._lock:
            self._by_target[association.target] = association
        return Success(None)

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        with self._lock:
            self._by_target.pop(target, None)
        return Success(None)

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        with self._lock:
            snapshot = sorted(self._by_target.items())
        for _, association in snapshot:
            if handler is not None and association.handler != handler:
                continue
            if image_id is not None and (association.image is None or association.image.id != image_id):
                continue
            if digest is not None and (association.image is None or association.image.expected_digest != digest):
                continue
            yield association
