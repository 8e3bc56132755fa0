"""The port of the association store."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Protocol, Self, runtime_checkable

from returns.result import Result

from lading.ports.association import Association, Check
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Digest

__all__ = ["AssociationStore", "HostTarget", "SupportsHosts"]


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

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        """Iterates over all associations, or those of one handler, one image or one digest, ordered by target.

        `digest` is the image's `expected_digest`.

        Nothing is read before the first step, and not all are loaded at once. Changes made during the iteration may
        or may not be seen. Raises StoreUnavailable.
        """
        ...


class HostTarget(NamedTuple):
    """A target that holds an image, as its record says. Its state now is known only on its host."""

    host: str | None
    """The host, or the name of the storage that several hosts share; None: this host, which records no other's."""
    target: str
    handler: str
    size: int | None
    """Bytes."""
    verified: bool
    """True when its digest is the catalog's."""
    landed_at: datetime
    checked: Check | None
    """The last verification since the fetch; None: there was none."""

    @classmethod
    def of(cls, host: str | None, association: Association) -> Self:
        """The target of this association."""
        return cls(
            host, association.target, association.handler, association.size, association.verified,
            association.landed_at, association.checked,
        )  # fmt: skip


@runtime_checkable
class SupportsHosts(Protocol):
    """A store that keeps the associations of several hosts. Its other verbs are those of this host."""

    def list_host(self, host: str | None = None) -> Iterator[tuple[str, Association]]:
        """Iterates over the associations of the host, or of all hosts, each with its host, as `list` does."""
        ...

    def holders(self, image: str) -> Iterator[HostTarget]:
        """Iterates over the targets that hold the image of this id or digest, ordered by host and target.

        Those are the associations with this name in `image_names`. Raises StoreUnavailable.
        """
        ...

    def hosts(self) -> Iterator[str]:
        """Iterates over the names of this host and of all others with associations, sorted. Raises StoreUnavailable."""
        ...

    def image_names(self, start: str) -> Iterator[str]:
        """Iterates over the names in the associations' `image_names` that begin with this text, sorted.

        Raises StoreUnavailable.
        """
        ...
