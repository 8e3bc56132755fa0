"""Images in the pools of a Ceph cluster as clones: copy-on-write, without a copy of the bytes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any, Self

from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.clone.storage import Clone, CopiesClones, Parent
from lading.adapters.handlers.rbd.cluster import Absent, Cluster, cluster_errors, connected
from lading.adapters.handlers.rbd.names import TARGET, PoolImage, Snapshot, pool_target, snapshot_of
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.source import RbdSource
from lading.adapters.stream.errors import Refused, taken, value_or_refuse
from lading.adapters.stream.sources import version_of
from lading.domain.handler import Report, Work
from lading.domain.refusals import TargetFailed, Unsupported
from lading.ports.association import State
from lading.ports.location import Location

__all__ = ["PoolStorage"]

# The bindings are the distribution's, without types: an ioctx and an Image are Any. Each function that needs them
# imports them, so that a host without a cluster does not load them.
_log = logging.getLogger(__name__)


class PoolStorage(CopiesClones):
    """The pools of the configured cluster. An image's identity is its permanent id in Ceph."""

    prefix = TARGET

    def __init__(self, settings: RbdHandlerSettings, cluster: Cluster | None = None) -> None:
        self._settings = settings
        self._connected = cluster

    def check_target(self, target: str) -> None:
        _where(target)

    def check_location(self, location: Location) -> None:
        _snapshot(location)

    @contextmanager
    def connected(self, target: str) -> Iterator[Self]:
        with cluster_errors(self._settings, writes=target), connected(self._settings) as cluster:
            yield type(self)(self._settings, cluster)

    def find(self, name: str) -> Sequence[Clone]:
        try:
            with self._cluster.image(_where(name)) as image:
                return [Clone(name, str(image.id()), image.size())]
        except Absent:
            return []

    def find_parent(self, location: Location, work: Work) -> Parent:
        snapshot = _snapshot(location)
        with self._pool(work.target):
            if (elsewhere := self._cluster.lacks(snapshot)) is not None:
                raise Refused(elsewhere)
        with closing(self._source(snapshot)) as source:
            self._check_cloneable(snapshot, source.image, _where(work.target))
            plan = f"clones {snapshot}, {size_text(source.size)}, without copying them"
            return Parent(
                location, str(snapshot), source.size, plan, partial(self._source, snapshot), version_of(source)
            )

    def clone(self, parent: Parent, name: str, size: int | None) -> Clone:
        import rbd  # noqa: PLC0415

        snapshot, where = _snapshot(parent.location), _where(name)
        with self._cluster.pool(snapshot.pool) as source, self._pool(name) as ioctx:
            rbd.RBD().clone(source, snapshot.image, snapshot.name, ioctx, where.name)
        with self._cluster.image(where, read_only=size is None) as image:
            if size not in {None, image.size()}:
                image.resize(size)
            return Clone(name, str(image.id()), image.size())

    def publish(self, clone: Clone, target: str, replaced: Sequence[Clone]) -> None:
        with self._pool(target) as ioctx:
            if replaced and not _move_to_trash(ioctx, target):
                raise Refused(TargetFailed(f"{target} is in use and cannot be replaced"))
        self.rename(clone, target)

    def purge(self, identity: str, target: str) -> None:
        """Removes the image; one that is in use or has snapshots stays in the pool's trash."""
        import rbd  # noqa: PLC0415

        with self._pool(target) as ioctx, suppress(rbd.ImageNotFound):
            try:
                rbd.RBD().trash_remove(ioctx, identity, force=True)
            except (rbd.ImageBusy, rbd.ImageHasSnapshots):
                _log.warning("the replaced image %s is in use or has snapshots: it stays in the trash", identity)

    def restore(self, identity: str, target: str) -> bool:
        import rbd  # noqa: PLC0415

        where = _where(target)
        try:
            with self._cluster.pool(where.pool, where.namespace) as ioctx:
                rbd.RBD().trash_restore(ioctx, identity, where.name)
        except (rbd.ImageNotFound, Absent):
            return False
        return True

    def rename(self, clone: Clone, target: str) -> None:
        import rbd  # noqa: PLC0415

        with self._pool(clone.name) as ioctx:
            try:
                rbd.RBD().rename(ioctx, _where(clone.name).name, _where(target).name)
            except rbd.ImageExists:
                raise Refused(taken(target)) from None

    def must_copy(self, clone: Clone, target: str) -> bool:
        with self._pool(target):
            return _where(clone.name)[:2] != _where(target)[:2]

    def copy(self, clone: Clone, name: str) -> Clone:
        """Copies the image with its snapshots and its parent."""
        with self._cluster.image(_where(clone.name)) as image, self._pool(name) as ioctx:
            if _watchers(image):
                reason = f"{clone.name} is in use: it can be renamed, but not moved to another pool"
                raise Refused(TargetFailed(reason))
            image.deep_copy(ioctx, _where(name).name)
        return self.find(name)[0]

    def delete(self, clone: Clone) -> None:
        """Deletes the image; one that is in use or has snapshots is moved to the pool's trash."""
        import rbd  # noqa: PLC0415

        with self._pool(clone.name) as ioctx, suppress(rbd.ImageNotFound):
            try:
                rbd.RBD().remove(ioctx, _where(clone.name).name)
            except (rbd.ImageBusy, rbd.ImageHasSnapshots):
                if not _move_to_trash(ioctx, clone.name):
                    raise Refused(TargetFailed(f"{clone.name} is in use and cannot be removed")) from None
                _log.warning("%s is in use or has snapshots: it is in the trash until `rbd trash purge`", clone.name)

    def discard(self, name: str) -> None:
        import rbd  # noqa: PLC0415

        where = _where(name)
        with suppress(rbd.ImageNotFound, Absent), self._cluster.pool(where.pool, where.namespace) as ioctx:
            rbd.RBD().remove(ioctx, where.name)

    def open(self, clone: Clone, size: int) -> RbdSource:
        return RbdSource(self._cluster, ExitStack(), _where(clone.name), size=size)

    def describe(self, clone: Clone) -> Report:
        with self._cluster.image(_where(clone.name)) as image:
            return Report(State.INTACT, _details(image))

    @property
    def _cluster(self) -> Cluster:
        assert self._connected is not None  # noqa: S101 - the methods are called within `connected`
        return self._connected

    @contextmanager
    def _pool(self, name: str) -> Iterator[Any]:
        """Opens the pool of a name, an ioctx. Raises Refused where there is no such pool."""
        where = _where(name)
        with ExitStack() as resources:
            try:
                ioctx = resources.enter_context(self._cluster.pool(where.pool, where.namespace))
            except Absent as reason:
                raise Refused(TargetFailed(str(reason))) from None
            yield ioctx

    def _source(self, snapshot: Snapshot) -> RbdSource:
        return RbdSource(self._cluster, ExitStack(), PoolImage(snapshot.pool, "", snapshot.image), snapshot.name)

    def _check_cloneable(self, snapshot: Snapshot, image: Any, where: PoolImage) -> None:  # noqa: ANN401
        """Raises Refused where only a clone of version 2 is possible, and the cluster has none."""
        if not image.is_protected_snap(snapshot.name):
            reason = f"{snapshot} is not protected"
        elif where.namespace:
            reason = f"{where} is in another namespace than {snapshot}"
        else:
            return
        if self._cluster.clones_freely() is False:
            advice = "to allow only clients that can: ceph osd set-require-min-compat-client mimic"
            raise Refused(Unsupported(f"{reason}, and this cluster does not make such clones; {advice}"))


def _where(name: str) -> PoolImage:
    return value_or_refuse(pool_target(name))


def _snapshot(location: Location) -> Snapshot:
    return value_or_refuse(snapshot_of(location))


def _move_to_trash(ioctx: Any, name: str) -> bool:  # noqa: ANN401
    """Moves an image to its pool's trash. Returns False for one that is in use."""
    import rbd  # noqa: PLC0415

    try:
        rbd.RBD().trash_move(ioctx, _where(name).name, 0)
    except rbd.ImageBusy:
        return False
    return True


def _watchers(image: Any) -> list[str]:  # noqa: ANN401
    """The addresses of the clients that have an image open to write."""
    return sorted({str(each["addr"]) for each in image.watchers_list()})


def _details(image: Any) -> Mapping[str, str]:  # noqa: ANN401
    import rbd  # noqa: PLC0415

    try:
        parent = "{}/{}@{}".format(*image.parent_info())
    except rbd.ImageNotFound:
        parent = "none"
    used_by = ", ".join(_watchers(image)) or "nobody"
    return {"image id": str(image.id()), "parent": parent, "bytes": str(image.size()), "opened by": used_by}
