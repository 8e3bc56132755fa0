"""The record of a target: its handler, image and origin, and the identity of the file that was put there."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Digest, Image, Signer
from lading.ports.location import Location

__all__ = ["Association", "Check", "Fingerprint", "Folder", "Shipped", "State"]

_UNNAMED_MAJOR: Final = 0
"""The major number of devices that Linux numbers when they are mounted: NFS, btrfs, FUSE, overlay, tmpfs."""


class Fingerprint(NamedTuple):
    """The identity and state of a file: two equal fingerprints mean unchanged bytes.

    The times are nanoseconds since the epoch. A program can set a file's mtime back but not its ctime (inode(7)).
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    birth_ns: int | None = None
    """Time of creation; None where the file system or the platform does not report it (statx(2))."""

    def is_same_file(self, found: "Fingerprint") -> bool:
        """Tells whether `found` is this file, whatever was written to it since.

        The inode alone does not suffice: a new file may get the inode of a deleted one. The device is not compared,
        because its number may change at a restart; the folder identifies the file system.

        >>> recorded = Fingerprint(1, 12, 10, 5, 5, birth_ns=4)
        >>> recorded.is_same_file(recorded._replace(size=20, mtime_ns=9))
        True
        >>> recorded.is_same_file(recorded._replace(birth_ns=8))
        False
        """
        if self.inode != found.inode:
            return False
        if found.birth_ns is None:
            # A running guest changes the times, and never makes its disk smaller.
            return found.size >= self.size
        if self.birth_ns is None:
            # This file existed when it was recorded; a later file with its inode has a later birth.
            return found.birth_ns <= max(self.mtime_ns, self.ctime_ns)
        return self.birth_ns == found.birth_ns

    def may_be_in(self, folder: "Folder") -> bool:
        """Tells whether the file may be on the folder's disk, by their device numbers."""
        return _may_be_one_disk(self.device, folder.device)

    def is_unchanged(self, found: "Fingerprint") -> bool:
        """Tells whether `found` is this file with the same bytes."""
        return self.is_same_file(found) and self[2:5] == found[2:5]


class Folder(NamedTuple):
    """The identity of a folder. While nothing is mounted at a mount point, another folder is there."""

    device: int
    inode: int
    birth_ns: int | None = None
    """Time of creation; None where it is not reported."""

    def is_same_folder(self, found: "Folder") -> bool:
        """Tells whether `found` is this folder. Where a birth is unknown the device decides, if it is a disk.

        >>> Folder(64768, 2, 7).is_same_folder(Folder(64769, 2, 7)), Folder(64768, 2).is_same_folder(Folder(64769, 2))
        (True, False)
        """
        if self.inode != found.inode:
            return False
        if self.birth_ns is not None and found.birth_ns is not None:
            return self.birth_ns == found.birth_ns
        return _may_be_one_disk(self.device, found.device)


def _may_be_one_disk(device: int, other: int) -> bool:
    return device == other or _UNNAMED_MAJOR in {_major(device), _major(other)}


def _major(device: int) -> int:
    """The major number of a device, as Linux packs it (makedev(3))."""
    return (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF


class State(StrEnum):
    """The state of a target."""

    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"
    DETACHED = "detached"
    """Intact, but not connected to this host any more."""
    INCOMPLETE = "incomplete"
    """A device that holds a part of an image: a fetch to it was interrupted or refused."""
    UNKNOWN = "unknown"


class Check(NamedTuple):
    """What a verification found."""

    state: State
    """INTACT, CHANGED or MISSING."""
    at: datetime
    """Aware, UTC."""


class Shipped(NamedTuple):
    """An image as it was shipped, where its target has other bytes: it was unpacked, converted or grown."""

    format: str
    """Its packings from the outermost on, then the disk's format: `xz, qcow2`."""
    size: int
    """Bytes."""
    digest: Digest | None = None
    """The digest that the catalog promises, of the bytes as shipped; None where it promises none."""


@dataclass(frozen=True, slots=True)
class Association:
    """The record of a target after a success: the handler, and what it put there."""

    target: str
    """Stripped, never blank."""
    handler: str
    """The handler's name."""
    image: Image | None
    """The image without its locations; None when the request named no image."""
    location: Location | None
    """The location of the attempt, without credentials; None for a location-independent attempt."""
    landed_at: datetime
    """Time of the fetch; aware, UTC. A move keeps it."""
    method: str | None = None
    """The way of transfer: `reflink`, `copy`, `download`, a third party's word, …"""
    size: int | None = None
    """Bytes at the target."""
    digest: Digest | None = None
    """Of the bytes at the target."""
    verified: bool = False
    """True when the bytes as shipped, or the disk in them, had the catalog's digest."""
    fingerprint: Fingerprint | None = None
    """The target's fingerprint when it was published; None when it is not a file of this host."""
    inspected_by: str | None = None
    """The inspector that found the format safe, with its version; None when the format was not inspected."""
    identity: str | None = None
    """The handler's id of a target that is not a file of this host: a volume's or a clone's id."""
    copied_from: str | None = None
    """The target of this host that the bytes were copied from, when nothing was read from the location."""
    folder: Folder | None = None
    """The folder of the file; None when the target is not a file, or when an earlier version recorded it."""
    checked: Check | None = None
    """The last verification since the fetch that could tell the state; None: there was none."""
    format: str | None = None
    """The format of the bytes at the target: `raw`, `qcow2`, …; None where it was not inspected."""
    virtual_size: int | None = None
    """Bytes of the disk that a guest sees; None where it is not known."""
    shipped: Shipped | None = None
    """The image as it was shipped; None: the target has those bytes."""
    converted_by: str | None = None
    """The program that made the target of the image, with its version; None: it was not converted."""
    form: Form = AS_SHIPPED
    """The form that the target was given."""
    signed_by: Signer | None = None
    """The key that signed the bytes as shipped, or the document that has their digest; None: none was verified."""

    @property
    def image_names(self) -> frozenset[str]:
        """The names under which the target is found by its image: the image's id, and each digest of the bytes."""
        image = self.image
        digests = (self.digest, self.shipped and self.shipped.digest, image.expected_digest if image else None)
        return frozenset({*([image.id] if image else []), *(str(each) for each in digests if each is not None)})

    def is_same_record(self, other: "Association | None") -> bool:
        """Tells whether both are one record, whatever verifications found since."""
        return other is not None and replace(self, checked=other.checked) == other

    def is_for(self, image: Image | None) -> bool:
        """Tells whether this is the recorded image: same id, same digest. An id may be reused (OSSN-0075)."""
        if image is None or self.image is None:
            return image is self.image
        return (self.image.id, self.image.expected_digest) == (image.id, image.expected_digest)

    def is_of(self, reference: str) -> bool:
        """Tells whether the image may have this id, name or href. A record without an image may be of any.

        An image that was found by a URL may have the name of its file, by which no catalog finds it.
        """
        image = self.image
        if image is None or reference in (image.id, image.properties.get("self")):
            return True
        return reference == image.name and ("://" not in image.id or "://" in reference)
