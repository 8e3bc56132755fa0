"""What is remembered of a target: who put there what, from where, and how to tell whether it still is that."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = ["Association", "Fingerprint", "Folder"]

_UNNAMED_MAJOR: Final = 0
"""The major number of devices that Linux numbers when they are mounted: NFS, btrfs, FUSE, overlay, tmpfs."""


class Fingerprint(NamedTuple):
    """Which file this is, and since when it is so: two equal fingerprints mean unchanged bytes.

    The times are nanoseconds since the epoch. A program can set a file's mtime back but not its ctime (inode(7)).
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    birth_ns: int | None = None
    """When the file was made; None where the file system or the platform does not tell (statx(2))."""

    def is_same_file(self, found: "Fingerprint") -> bool:
        """Whether `found` is this file, whatever was written to it since. An inode alone is given to the next file.

        The device is left out, because a restart may number it anew; which file system it is, the folder tells.

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
            # This one was there when it was recorded: a file that got its inode was made later.
            return found.birth_ns <= max(self.mtime_ns, self.ctime_ns)
        return self.birth_ns == found.birth_ns

    def may_be_in(self, folder: "Folder") -> bool:
        """Whether the file was on the folder's disk when this was taken, as far as device numbers tell."""
        return _may_be_one_disk(self.device, folder.device)

    def is_unchanged(self, found: "Fingerprint") -> bool:
        """Whether `found` is this file, with the same bytes."""
        return self.is_same_file(found) and self[2:5] == found[2:5]


class Folder(NamedTuple):
    """Which folder this is. Beneath a mount point, another one is there while nothing is mounted."""

    device: int
    inode: int
    birth_ns: int | None = None
    """When it was made; None where that is not told."""

    def is_same_folder(self, found: "Folder") -> bool:
        """Whether `found` is this folder. The device decides where the birth is unknown, and then only if it is a disk.

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
    """The major number, as Linux packs it (makedev(3))."""
    return (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF


@dataclass(frozen=True, slots=True)
class Association:
    """Target → handler, as it is recorded after a success."""

    target: str
    """Stripped, never blank."""
    handler: str
    """The handler's name."""
    image: Image | None
    """The image without its locations; None when the request named none."""
    location: Location | None
    """Where the handler was to bring it from, without credentials; None for a location-independent attempt."""
    landed_at: datetime
    """When it was fetched; aware, UTC. A move keeps it."""
    method: str | None = None
    """How it was carried: `reflink`, `copy`, `download`, a third party's word, …"""
    size: int | None = None
    """Bytes at the target."""
    digest: Digest | None = None
    """Of the bytes at the target."""
    verified: bool = False
    """Whether `digest` was compared with the catalog's and agreed."""
    fingerprint: Fingerprint | None = None
    """Of the target when it was published; None when it is not a file on this host."""
    inspected_by: str | None = None
    """What found its format safe, with its version; None when nothing looked."""
    identity: str | None = None
    """What the handler knows the target by, when it is no file on this host: a volume's or a clone's id."""
    copied_from: str | None = None
    """The target of this host that its bytes were copied from, when nothing was read from the location."""
    folder: Folder | None = None
    """The folder that the file is in; None when the target is no file, or when an earlier version recorded it."""

    def is_for(self, image: Image | None) -> bool:
        """Whether that is the very image that is recorded: an id may come again, with other bytes (OSSN-0075)."""
        if image is None or self.image is None:
            return image is self.image
        return (self.image.id, self.image.expected_digest) == (image.id, image.expected_digest)

    def is_of(self, reference: str) -> bool:
        """Whether it may be about the image with this id, name or href: what named no image could be any."""
        return self.image is None or reference in (self.image.id, self.image.name, self.image.properties.get("self"))
