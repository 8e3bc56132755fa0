"""Storage that clones its images: all that a vendor implements. `CloneDestination` does the rest."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from lading.adapters.stream.sources import Source
from lading.domain.handler import Report, Work
from lading.ports.location import Location
from lading.ports.verified_files import StoredVersion

__all__ = ["AttachesClones", "Clone", "CloneStorage", "CopiesClones", "Parent"]


@dataclass(frozen=True, slots=True)
class Clone:
    """An object in the storage, made by lading or by others."""

    name: str
    """Its target: `rbd:vms/1`, for example."""
    identity: str
    """The storage's id for it. It keeps the id when it is renamed, and no other object ever gets it."""
    size: int
    """Bytes."""
    is_marked: bool | None = None
    """True when it has lading's mark for this target; None where the storage has no marks."""


@dataclass(frozen=True, slots=True)
class Parent:
    """An image that can be cloned."""

    location: Location
    name: str
    """The name in messages: `volume 5e1f…`."""
    size: int
    """Bytes of the image."""
    plan: str
    """The text of a preview."""
    open: Callable[[], Source] | None = None
    """Opens the image for the inspection before it is cloned; None: only a clone can be read."""
    version: StoredVersion | None = None
    """Its bytes, where the storage promises that they never change."""


class CloneStorage(Protocol):
    """One kind of storage, as it is configured. An instance serves all threads.

    All methods but the first three are called within a `connected` block. A name is a target, or a target with the
    suffix `.lading-part`, which a clone has until it is whole. Methods raise Refused, or the vendor's own errors.
    """

    prefix: str
    """The prefix of its targets: `rbd:`."""
    sizes_are_exact: bool = True
    """True when a clone has exactly the requested size; False: that size or more, as Cinder's whole GiB."""

    def check_target(self, target: str) -> None:
        """Raises Refused for a target that the storage cannot have. Makes no request."""
        ...

    def check_location(self, location: Location) -> None:
        """Raises Refused for a location that names no image of such storage. Makes no request."""
        ...

    def connected(self, target: str) -> AbstractContextManager[Self]:
        """The storage, connected for the duration of the block. Raises Refused for the vendor's errors in the block."""
        ...

    def find(self, name: str) -> Sequence[Clone]:
        """All objects of that name, lading's or not: several where the storage allows equal names."""
        ...

    def find_parent(self, location: Location, work: Work) -> Parent:
        """The image at the location. Raises Refused when it cannot be cloned to `work.target`. Changes nothing."""
        ...

    def clone(self, parent: Parent, name: str, size: int | None) -> Clone:
        """Clones an image. `size` in bytes; None: the image's. The clone has reached the disk when this returns."""
        ...

    def publish(self, clone: Clone, target: str, replaced: Sequence[Clone]) -> None:
        """Gives a clone the target's name in one step. Raises Refused where something else has that name.

        `replaced` has the name until then. Where possible, it stays in the storage until `purge`.
        """
        ...

    def purge(self, identity: str, target: str) -> None:
        """Removes what `publish` replaced. A missing object is a success."""
        ...

    def rename(self, clone: Clone, target: str) -> None:
        """Gives a clone another name, and replaces nothing. A second call finishes an interrupted one."""
        ...

    def delete(self, clone: Clone) -> None:
        """Deletes a clone. A missing clone is a success. Raises Refused while it is in use, and leaves it unchanged."""
        ...

    def discard(self, name: str) -> None:
        """Deletes what an interrupted clone or removal has left at a name. A free name is a success.

        Objects with the marks of others are not deleted.
        """
        ...

    def open(self, clone: Clone, size: int) -> Source:
        """Opens a clone to read its first `size` bytes."""
        ...

    def describe(self, clone: Clone) -> Report:
        """State and details of a clone, as `lading show` prints them."""
        ...

    # Storage that needs nothing special keeps these.

    def use_of(self, clone: Clone) -> str | None:
        """The use that forbids to replace an object, for a message: `attached to server 5e1f`. None: not in use."""
        return None

    def restore(self, identity: str, target: str) -> bool:
        """Gives the name back to the object that `publish` replaced. Returns True when the object had lost the name."""
        return False


@runtime_checkable
class AttachesClones(CloneStorage, Protocol):
    """Storage whose clones this host must be attached to. A restart of the host may detach it."""

    def attach(self, identity: str) -> None:
        """Attaches a clone to this host. An attached clone is a success."""
        ...

    def attachments(self) -> Mapping[str, bool]:
        """The clones of this host by identity, True for those that are attached now. One request, or few."""
        ...


@runtime_checkable
class CopiesClones(CloneStorage, Protocol):
    """Storage in which some moves are copies: to another pool, for example."""

    def must_copy(self, clone: Clone, target: str) -> bool:
        """Returns True when only a copy can get that name."""
        ...

    def copy(self, clone: Clone, name: str) -> Clone:
        """Copies all of a clone. Raises Refused while it is in use."""
        ...
