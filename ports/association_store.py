"""The port of the association store."""

from collections.abc import Iterator
from typing import Protocol

from returns.result import Result

from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable

__all__ = ["AssociationStore"]


class AssociationStore(Protocol):
    """Associations by target. Safe to share between threads; each verb is atomic.

    When a verb of a durable store returns Success, the effect has reached the disk.
    """

    def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
        """Returns the association of this target, or None."""
        ...

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        """Records the association. It replaces an earlier one of the same target."""
        ...

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        """Removes the target's association. A target without one is not a failure."""
        ...

    def list(self, *, handler: str | None = None, image_id: str | None = None) -> Iterator[Association]:
        """Iterates over all associations, or those of one handler or one image, ordered by target.

        Nothing is read before the first step, and not all are loaded at once. Changes made during the iteration may
        or may not be seen. Raises StoreUnavailable.
        """
        ...
