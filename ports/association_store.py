"""Who remembers."""

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
        """What is recorded for this target, if anything."""
        ...

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        """Record it, in place of what was recorded for its target."""
        ...

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        """Forget the target. One that isn't recorded is no failure."""
        ...

    def list(self, *, handler: str | None = None, image_id: str | None = None) -> Iterator[Association]:
        """Every association, or those of one handler or one image, by target, without loading all of them.

        Nothing is read before the first is asked for.
        What is recorded or forgotten meanwhile may or may not be seen. Raises StoreUnavailable when it can't go on.
        """
        ...
