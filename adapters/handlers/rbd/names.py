"""Names of images in Ceph, in locations and targets."""

from typing import Final, NamedTuple
from urllib.parse import unquote

from returns.result import Failure, Result, Success
from typing_extensions import override

from lading.domain.refusals import Refusal, Unsupported
from lading.ports.location import Location

__all__ = ["TARGET", "PoolImage", "Snapshot", "pool_target", "snapshot_of"]

TARGET: Final = "rbd:"
"""The prefix of targets that are images in a pool."""
_PARTS: Final = 4


class Snapshot(NamedTuple):
    """A snapshot of an image, in the cluster with that fsid."""

    fsid: str
    pool: str
    image: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.pool}/{self.image}@{self.name}"


class PoolImage(NamedTuple):
    """An image in a pool of the configured cluster."""

    pool: str
    namespace: str
    """Empty for the pool's default namespace."""
    name: str

    @override
    def __str__(self) -> str:
        return "/".join(filter(None, self))


def pool_target(target: str) -> Result[PoolImage, Refusal]:
    """The image for a target such as `rbd:POOL/IMAGE` or `rbd:POOL/NAMESPACE/IMAGE`.

    >>> pool_target("rbd:vms/disk").unwrap()
    PoolImage(pool='vms', namespace='', name='disk')
    >>> pool_target("rbd:vms/blue/disk").unwrap().namespace
    'blue'
    >>> pool_target("rbd:disk").failure().reason
    'rbd:disk names no image in a pool; expected rbd:POOL/IMAGE'
    """
    match target.removeprefix(TARGET).split("/"):
        case [pool, name] if target.startswith(TARGET) and _are_names(pool, name):
            return Success(PoolImage(pool, "", name))
        case [pool, namespace, name] if target.startswith(TARGET) and _are_names(pool, namespace, name):
            return Success(PoolImage(pool, namespace, name))
    return Failure(Unsupported(f"{target} names no image in a pool; expected rbd:POOL/IMAGE"))


def _are_names(*texts: str) -> bool:
    # Ceph's own programs would read a name with `@` as an image and a snapshot.
    return all(text and text.isprintable() and "@" not in text for text in texts)


def snapshot_of(location: Location) -> Result[Snapshot, Refusal]:
    """The snapshot in a location, as Glance's rbd store writes it: each part percent-quoted.

    >>> snapshot_of(Location("rbd://f5/images/noble%20arm/snap")).map(str)
    <Success: images/noble arm@snap>
    >>> snapshot_of(Location("rbd://noble")).failure().reason
    'the location names neither a cluster nor a snapshot; expected rbd://FSID/POOL/IMAGE/SNAPSHOT'
    """
    parts = [unquote(each) for each in location.url.strip().partition("://")[2].split("/")]
    if len(parts) != _PARTS or not all(part and part.isprintable() for part in parts):
        missing = "neither a cluster nor a snapshot" if len(parts) == 1 else "no snapshot in a pool of a cluster"
        return Failure(Unsupported(f"the location names {missing}; expected rbd://FSID/POOL/IMAGE/SNAPSHOT"))
    return Success(Snapshot(*parts))
