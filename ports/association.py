"""What is remembered of a target: who put there what, from where, and how to tell whether it still is that."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = ["Association", "Fingerprint"]


class Fingerprint(NamedTuple):
    """Which file this is, and since when it is so: two equal fingerprints mean unchanged bytes.

    The times are nanoseconds since the epoch. A program can set a file's mtime back but not its ctime (inode(7)).
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


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

    def holds(self, image: Image | None) -> bool:
        """Whether that is the very image that is recorded: an id may come again, with other bytes (OSSN-0075)."""
        if image is None or self.image is None:
            return image is self.image
        return (self.image.id, self.image.promised) == (image.id, image.promised)

    def is_of(self, reference: str) -> bool:
        """Whether it may be about the image with this id, name or href: what named no image could be any."""
        return self.image is None or reference in (self.image.id, self.image.name, self.image.properties.get("self"))
