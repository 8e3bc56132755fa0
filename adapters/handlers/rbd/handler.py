"""Images in a Ceph pool: cloned to another image there, or exported to a file of this host."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Self

from returns.result import Failure, Result, Success

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.handlers.rbd.clones import Clones
from lading.adapters.handlers.rbd.cluster import answering, connected
from lading.adapters.handlers.rbd.names import PoolImage, Snapshot, is_pool_target, snapshot_of
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.source import RbdSource
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.stream.sources import ResumePoint
from lading.domain.cost import Cost
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Refusal, Unsupported

__all__ = ["RbdHandler"]


class RbdHandler:
    """Takes `rbd://FSID/POOL/IMAGE/SNAPSHOT`, of the configured cluster only.

    A target `rbd:POOL/IMAGE` becomes a copy-on-write clone; a path of this host is exported to, what is allocated only.
    """

    name = "rbd"
    schemes = frozenset({"rbd"})
    is_local = False
    resizes = True

    def __init__(self, settings: RbdHandlerSettings, setup: HandlerSetup) -> None:
        self._settings = settings
        self._files = setup.files
        self._clones = Clones(settings, setup)

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        if not all(map(find_spec, ("rados", "rbd"))):
            advice = "Debian and Ubuntu have them; a virtual environment sees them with --system-site-packages"
            raise PackageMissing(f"python3-rados and python3-rbd are not installed: {advice}")
        return cls(setup.read(RbdHandlerSettings), setup)

    def cost(self, target: str) -> Cost:
        return Cost.CLONE if is_pool_target(target) else Cost.STORAGE_NETWORK

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        if is_pool_target(work.target):
            return self._clones.fetch(work)
        work = _as_meant(work)
        return self._files.fetch(work, self._opener(work))

    def preview(self, work: Work) -> Result[str, Refusal]:
        if is_pool_target(work.target):
            return self._clones.preview(work)
        work = _as_meant(work)
        return self._files.preview(work, self._opener(work))

    def _opener(self, work: Work) -> SourceOpener:
        return SourceOpener(
            partial(self._open, work), "export", single_flight=True, plan="exports what is allocated of {} bytes".format
        )

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self._clones.remove(work) if is_pool_target(work.target) else self._files.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        mover = self._clones if is_pool_target(work.target) else self._files
        return mover.move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        finder = self._clones if is_pool_target(work.target) else self._files
        return finder.recover(_as_meant(work), keep=keep)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self._clones.verify(work) if is_pool_target(work.target) else self._files.verify(work)

    def report(self, work: Work) -> Result[Report, Refusal]:
        is_clone = is_pool_target(work.target)
        return self._clones.report(work) if is_clone else self._files.report(work)

    def _open(self, work: Work, start: ResumePoint) -> Result[RbdSource, Refusal]:
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        return snapshot_of(work.location).bind(
            lambda snapshot: answering(self._settings, lambda: self._opened(snapshot, start))
        )

    def _opened(self, snapshot: Snapshot, start: ResumePoint) -> Result[RbdSource, Refusal]:
        with ExitStack() as until_opened:
            held = until_opened.enter_context(ExitStack())
            cluster = held.enter_context(connected(self._settings))
            if (why_not := cluster.lacks(snapshot)) is not None:
                return Failure(why_not)
            where = PoolImage(snapshot.pool, "", snapshot.image)
            source = RbdSource(cluster, held, where, snapshot.name, start=start.offset)
            until_opened.pop_all()  # from here on the source closes it
            return Success(source)


def _as_meant(work: Work) -> Work:
    """Nova registers its snapshots with a size of 0 and no digest: their size is what they turn out to have."""
    image = work.image
    if image is None or image.size != 0 or image.expected_digest is not None:
        return work
    return replace(work, image=replace(image, size=None))
