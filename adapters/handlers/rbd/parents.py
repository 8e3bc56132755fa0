"""Which snapshots can be cloned, and why the others can't."""

from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

from returns.result import Failure, Result

from lading.adapters.destinations.file.destination import Rules
from lading.adapters.handlers.rbd.names import PoolImage, Snapshot, snapshot_of
from lading.adapters.handlers.rbd.site import Site
from lading.adapters.handlers.rbd.source import RbdSource
from lading.adapters.handlers.setup import HandlerSetup
from lading.domain.handler import Work
from lading.domain.refusals import Mismatched, Refusal, Unsupported

__all__ = ["Parent", "conflict", "parent_of"]


class Parent(NamedTuple):
    """A snapshot that can be cloned."""

    snapshot: Snapshot
    size: int
    inspected_by: str | None


def conflict(work: Work, rules: Rules) -> Refusal | None:
    """Why nothing is cloned, as far as can be told without the cluster."""
    if work.location is None:
        return Unsupported("needs a location")
    named = snapshot_of(work.location)
    if isinstance(named, Failure):
        unreadable: Refusal = named.failure()
        return unreadable
    image = work.image
    if image is None:
        return Unsupported("the request names no image")
    if image.disk_format != "raw" or image.container_format not in {None, "bare"}:
        shape = f"{image.disk_format or 'unknown'} in {image.container_format or 'bare'}"
        return Unsupported(f"the image is {shape}, and a clone would be no disk: only raw ones are cloned")
    if not rules.allow_unverified:
        return Unsupported("a clone's bytes are not read, so not verified, and landing.allow_unverified is false")
    return None


def parent_of(work: Work, site: Site, snapshot: Snapshot, setup: HandlerSetup) -> Result[Parent, Refusal]:
    """The snapshot, when it is what the catalog promises and can be cloned to the site. Raises Absent."""
    if (elsewhere := site.cluster.lacks(snapshot)) is not None:
        return Failure(elsewhere)
    with ExitStack() as held:
        source = RbdSource(site.cluster, held, PoolImage(snapshot.pool, "", snapshot.image), snapshot.name)
        rules = setup.files.rules
        why_not = _unlike(work, source, snapshot) or _uncloneable(site, source, snapshot)
        if why_not is not None:
            return Failure(why_not)
        rules.check_size(source.size)
        # Of what is cloned only the beginning is read: what tells its format.
        image = work.image and replace(work.image, size=source.size)
        return setup.inspect(image, source).map(lambda by: Parent(snapshot, source.size, by))


def _unlike(work: Work, source: RbdSource, snapshot: Snapshot) -> Refusal | None:
    # Nova registers its snapshots with a size of 0 and no digest.
    promised = work.image.size if work.image else None
    if promised and source.size != promised:
        return Mismatched(f"{snapshot} has {source.size} bytes, the catalog promises {promised}")
    if work.size is not None and work.size < source.size:
        return Unsupported(f"{snapshot} has {source.size} bytes, more than the {work.size} that are wished for")
    return None


def _uncloneable(site: Site, source: RbdSource, snapshot: Snapshot) -> Refusal | None:
    """What only clones of the second version can do, where there are none."""
    needs_second = None
    if not source.image.is_protected_snap(snapshot.name):
        needs_second = f"{snapshot} is not protected"
    elif site.where.namespace:
        needs_second = f"{site.where} is in another namespace than {snapshot}"
    if needs_second is None or site.cluster.clones_freely() is not False:
        return None
    advice = "it would with clients of mimic and later only (ceph osd set-require-min-compat-client mimic)"
    return Unsupported(f"{needs_second}, and this cluster makes no such clones; {advice}")
