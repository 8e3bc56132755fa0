"""Storage that clones its images: all that a vendor writes. Everything else is `CloneDestination`'s."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from lading.adapters.stream.sources import Source
from lading.domain.handler import Report, Work
from lading.ports.location import Location

__all__ = ["AttachesClones", "Clone", "CloneStorage", "CopiesClones", "Parent"]


@dataclass(frozen=True, slots=True)
class Clone:
    """An object in the storage, whoever made it."""

    name: str
    """Its target: `rbd:vms/1`, say."""
    identity: str
    """The storage's own id for it. It keeps the id under another name, and no other object ever gets it."""
    size: int
    """Bytes."""
    is_marked: bool | None = None
    """Whether it bears lading's mark for this target; None where the storage has no marks."""


@dataclass(frozen=True, slots=True)
class Parent:
    """An image that can be cloned."""

    location: Location
    name: str
    """In words, for messages: `volume 5e1f…`."""
    size: int
    """Bytes of the image."""
    plan: str
    """What a preview says would be done."""
    open: Callable[[], Source] | None = None
    """Opens the image to be inspected before it is cloned; None: only a clone can be read."""


class CloneStorage(Protocol):
    """One kind of storage, as it is configured. An instance serves all threads.

    All methods but the first three are called within a `connected` block. A name is a target, or a target with
    `.lading-part` behind it: so a clone is called until it is whole. Methods raise Refused, or the vendor's own errors.
    """

    prefix: str
    """How its targets begin: `rbd:`."""
    sizes_are_exact: bool = True
    """Whether a clone has exactly the size that was asked for; False: that size or more, as Cinder's whole GiB."""

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
        """Everything of that name, lading's or not: more than one where the storage lets names be shared."""
        ...

    def find_parent(self, location: Location, work: Work) -> Parent:
        """The image at the location. Raises Refused when it cannot be cloned to `work.target`. Changes nothing."""
        ...

    def clone(self, parent: Parent, name: str, size: int | None) -> Clone:
        """Clones an image. `size` in bytes; None: the image's. The clone has reached the disk when this returns."""
        ...

    def publish(self, clone: Clone, target: str, replaced: Sequence[Clone]) -> None:
        """Gives a clone the target's name in one step. Raises Refused where something else has that name.

        `replaced` has the name until then. It stays in the storage until `purge`, where that is possible.
        """
        ...

    def purge(self, identity: str, target: str) -> None:
        """Removes what `publish` replaced. That it is gone is a success."""
        ...

    def rename(self, clone: Clone, target: str) -> None:
        """Gives a clone another name, and replaces nothing. Called again it finishes what was interrupted."""
        ...

    def delete(self, clone: Clone) -> None:
        """Deletes a clone. That it is gone is a success. Raises Refused while it is in use: then it is untouched."""
        ...

    def discard(self, name: str) -> None:
        """Deletes what an interrupted clone or removal has left at a name; that there is nothing is a success.

        Nothing that bears the marks of others is deleted.
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
        """Who uses an object so that it cannot be replaced, in words: `attached to server 5e1f`. None: nobody."""
        return None

    def restore(self, identity: str, target: str) -> bool:
        """Gives the target's name back to what `publish` had replaced. Whether it had lost its name."""
        return False


@runtime_checkable
class AttachesClones(CloneStorage, Protocol):
    """Storage whose clones this host must be attached to. A restart of the host may detach it."""

    def attach(self, identity: str) -> None:
        """Attaches a clone to this host. That it is attached is a success."""
        ...

    def attachments(self) -> Mapping[str, bool]:
        """Every clone of this host, by identity, and whether it is attached now. One request, or few."""
        ...


@runtime_checkable
class CopiesClones(CloneStorage, Protocol):
    """Storage in which some moves are copies: to another pool, for example."""

    def must_copy(self, clone: Clone, target: str) -> bool:
        """Whether only a copy can get that name."""
        ...

    def copy(self, clone: Clone, name: str) -> Clone:
        """Copies all of a clone. Raises Refused while somebody uses it."""
        ...
