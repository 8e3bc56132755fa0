"""Moving a target to another name in its pool, or to another pool; and what became of a move that was cut off."""

from contextlib import suppress

from returns.result import Failure, Result, Success

from lading.adapters.handlers.rbd import pool_images
from lading.adapters.handlers.rbd.cluster import Absent
from lading.adapters.handlers.rbd.names import PoolImage
from lading.adapters.handlers.rbd.site import Site, another, in_the_way, is_another, taken
from lading.adapters.handlers.setup import HandlerSetup
from lading.domain.handler import Landing, PartialData, Work
from lading.domain.refusals import Refusal, TargetFailed
from lading.ports.journal import Intent

__all__ = ["of_move", "relocate"]


def relocate(work: Work, site: Site, there: PoolImage, setup: HandlerSetup) -> Result[Landing, Refusal]:
    """Rename it; to another pool it is copied, and let go of when the copy is there. Nothing there is overwritten."""
    found = pool_images.identity(site.ioctx, site.where)
    if found is None:
        return Failure(TargetFailed(f"{work.target} is gone"))
    if is_another(work.association, found):
        return Failure(another(work.target))
    if there[:2] == site.where[:2]:
        return setup.note(work, {"moving": found}).bind(lambda _: _renamed(site, there, found))
    try:
        with site.cluster.pool(there.pool, there.namespace) as ioctx:
            return _copy_away(work, site, Site(site.cluster, ioctx, there), found, setup)
    except Absent as reason:
        return Failure(TargetFailed(str(reason)))


def _copy_away(work: Work, site: Site, there: Site, moving: str, setup: HandlerSetup) -> Result[Landing, Refusal]:
    """All of it, snapshots and parent too."""
    if pool_images.identity(there.ioctx, there.where) is not None:
        return Failure(taken(there.where))
    part = there._replace(where=there.where.part)
    if pool_images.identity(part.ioctx, part.where) is not None:
        return Failure(in_the_way(part.where))
    with site.cluster.image(site.where) as image:
        if pool_images.watchers(image):
            return Failure(TargetFailed(f"{work.target} is in use: it can be renamed, but leaves no pool"))
        notes = {"moving": moving, "part": part.where.name}
        noted = setup.note(work, notes)
        if isinstance(noted, Failure):
            return noted
        try:
            copied = pool_images.deep_copy(image, there.ioctx, part.where)
            noted = setup.note(work, {**notes, "copied": copied})
            appeared = noted.bind(lambda _: _renamed(part, there.where, copied))
        except BaseException:
            with suppress(*pool_images.errors()):
                pool_images.discard(there.ioctx, part.where)
            raise
    if isinstance(appeared, Failure):
        pool_images.discard(there.ioctx, part.where)
        return appeared
    left = pool_images.delete(site.ioctx, site.where)
    if isinstance(left, Failure):
        pool_images.discard(there.ioctx, there.where)
    return left.bind(lambda _: appeared)


def _renamed(site: Site, there: PoolImage, identity: str) -> Result[Landing, Refusal]:
    if not pool_images.rename(site.ioctx, site.where, there):
        return Failure(taken(there))
    return Success(Landing(identity=identity))


def of_move(site: Site, there: PoolImage, intent: Intent) -> Result[Landing | PartialData, Refusal]:
    """Whether it has arrived, as the notes tell it by its id; then what it was copied from goes, else the copy."""
    moving, copied = intent.notes.get("moving"), intent.notes.get("copied")
    try:
        with site.cluster.pool(there.pool, there.namespace) as ioctx:
            found = pool_images.identity(ioctx, there)
            if "part" in intent.notes:
                pool_images.discard(ioctx, there.part)
    except Absent:
        return Success(PartialData())
    if found is None or found != (copied or moving):
        return Success(PartialData())
    here = pool_images.identity(site.ioctx, site.where)
    left: Result[None, Refusal] = Success(None)
    if here is None:
        pool_images.discard(site.ioctx, site.where)  # its name may be left
    elif here == moving:
        left = pool_images.delete(site.ioctx, site.where)
    return left.map(lambda _: Landing(identity=found))
