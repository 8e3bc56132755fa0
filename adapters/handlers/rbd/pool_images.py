"""What is done to images in a pool, one call each. All raise the bindings' errors; `answering` knows them."""

import logging
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any, NamedTuple

from returns.result import Failure, Result, Success

from lading.adapters.handlers.rbd.cluster import Absent, opened
from lading.adapters.handlers.rbd.names import PoolImage, Snapshot
from lading.domain.refusals import Refusal, TargetFailed

__all__ = [
    "Made",
    "clone",
    "deep_copy",
    "delete",
    "details",
    "discard",
    "errors",
    "forget",
    "identity",
    "move_to_trash",
    "rename",
    "restore",
    "watchers",
]

# The bindings are the distribution's, without types: an ioctx and an Image are Any. They are imported in each function
# that needs them, for nothing of this is loaded where no cluster is.
_log = logging.getLogger(__name__)


class Made(NamedTuple):
    """An image that was made."""

    identity: str
    size: int
    """Bytes."""


def errors() -> tuple[type[Exception], ...]:
    """What the bindings raise."""
    import rados  # noqa: PLC0415
    import rbd  # noqa: PLC0415

    return rados.Error, rbd.Error


def identity(ioctx: Any, where: PoolImage) -> str | None:  # noqa: ANN401
    """The id of the image of that name, which no other one ever gets in its pool; None when there is none."""
    try:
        with closing(opened(ioctx, where, None, read_only=True)) as image:
            return str(image.id())
    except Absent:
        return None


def clone(source: Any, snapshot: Snapshot, ioctx: Any, where: PoolImage, *, size: int | None) -> Made:  # noqa: ANN401
    """Make an image of that name that shares all its blocks with the snapshot, and has that size."""
    import rbd  # noqa: PLC0415

    rbd.RBD().clone(source, snapshot.image, snapshot.name, ioctx, where.name)
    with closing(opened(ioctx, where, None, read_only=size is None)) as image:
        if size not in {None, image.size()}:
            image.resize(size)
        return Made(str(image.id()), image.size())


def deep_copy(image: Any, ioctx: Any, where: PoolImage) -> str:  # noqa: ANN401
    """Copy all of an image, its snapshots and its parent too; the copy's id."""
    image.deep_copy(ioctx, where.name)
    with closing(opened(ioctx, where, None, read_only=True)) as copy:
        return str(copy.id())


def rename(ioctx: Any, source: PoolImage, destination: PoolImage) -> bool:  # noqa: ANN401
    """Give it another name in its pool, in one step; False when something has that name."""
    import rbd  # noqa: PLC0415

    try:
        rbd.RBD().rename(ioctx, source.name, destination.name)
    except rbd.ImageExists:
        return False
    return True


def delete(ioctx: Any, where: PoolImage) -> Result[None, Refusal]:  # noqa: ANN401
    """Delete it; where it is in use, or has snapshots, it goes to the pool's trash."""
    import rbd  # noqa: PLC0415

    try:
        rbd.RBD().remove(ioctx, where.name)
    except rbd.ImageNotFound:
        return Success(None)
    except (rbd.ImageBusy, rbd.ImageHasSnapshots):
        if not move_to_trash(ioctx, where):
            return Failure(TargetFailed(f"{where} is in use and can't be removed"))
        _log.warning("%s is in use or has snapshots: it is in the pool's trash, until `rbd trash purge`", where)
    return Success(None)


def discard(ioctx: Any, where: PoolImage) -> None:  # noqa: ANN401
    """Remove what was not finished; that there is nothing is no error."""
    import rbd  # noqa: PLC0415

    with suppress(rbd.ImageNotFound):
        rbd.RBD().remove(ioctx, where.name)


def move_to_trash(ioctx: Any, where: PoolImage) -> bool:  # noqa: ANN401
    """Put it into the pool's trash, out of the way; False when that can't be done while it is in use."""
    import rbd  # noqa: PLC0415

    try:
        rbd.RBD().trash_move(ioctx, where.name, 0)
    except rbd.ImageBusy:
        return False
    return True


def forget(ioctx: Any, replaced: str) -> None:  # noqa: ANN401
    """Remove it from the trash, by its id; what is still in use, or has snapshots, stays there."""
    import rbd  # noqa: PLC0415

    with suppress(rbd.ImageNotFound):
        try:
            rbd.RBD().trash_remove(ioctx, replaced, force=True)
        except (rbd.ImageBusy, rbd.ImageHasSnapshots):
            _log.warning("the replaced image %s is in use or has snapshots: it stays in the pool's trash", replaced)


def restore(ioctx: Any, replaced: str, where: PoolImage) -> None:  # noqa: ANN401
    """Get it out of the trash again, under its name."""
    import rbd  # noqa: PLC0415

    with suppress(rbd.ImageNotFound):
        rbd.RBD().trash_restore(ioctx, replaced, where.name)


def watchers(image: Any) -> list[str]:  # noqa: ANN401
    """The addresses of those who have it open to write."""
    return sorted({str(each["addr"]) for each in image.watchers_list()})


def details(image: Any) -> Mapping[str, str]:  # noqa: ANN401
    """What `lading show` tells of it."""
    import rbd  # noqa: PLC0415

    try:
        parent = "{}/{}@{}".format(*image.parent_info())
    except rbd.ImageNotFound:
        parent = "none"
    used_by = ", ".join(watchers(image)) or "nobody"
    return {"image id": str(image.id()), "parent": parent, "bytes": str(image.size()), "opened by": used_by}
