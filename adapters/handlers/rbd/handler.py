"""The handler of images in a Ceph pool: cloned to another image there, or exported to a file of this host."""

from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Self

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.handlers.base import StorageHandler
from lading.adapters.handlers.rbd.cluster import cluster_errors, connected
from lading.adapters.handlers.rbd.names import PoolImage, snapshot_of
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.source import RbdSource
from lading.adapters.handlers.rbd.storage import PoolStorage
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.stream.errors import Refused, returning_refusals, value_or_refuse
from lading.adapters.stream.sources import ResumePoint
from lading.domain.handler import Work
from lading.domain.refusals import Unsupported

__all__ = ["RbdHandler"]


class RbdHandler(StorageHandler):
    """Takes `rbd://FSID/POOL/IMAGE/SNAPSHOT`, of the configured cluster only.

    For a target `rbd:POOL/IMAGE` the image is cloned, copy-on-write. For a path of this host the allocated bytes are
    exported.
    """

    name = "rbd"
    schemes = frozenset({"rbd"})

    def __init__(self, settings: RbdHandlerSettings, setup: HandlerSetup) -> None:
        self._settings = settings
        super().__init__(setup.files, setup.clones(PoolStorage(settings)))

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        if not all(map(find_spec, ("rados", "rbd"))):
            advice = "Debian and Ubuntu have them; a virtual environment sees them with --system-site-packages"
            raise PackageMissing(f"python3-rados and python3-rbd are not installed: {advice}")
        return cls(setup.read(RbdHandlerSettings), setup)

    def opener(self, work: Work) -> SourceOpener:
        return SourceOpener(
            partial(self._open, work), "export", single_flight=True, plan="exports what is allocated of {}".format
        )

    @returning_refusals
    def _open(self, work: Work, start: ResumePoint) -> RbdSource:
        if work.location is None:
            raise Refused(Unsupported("this handler needs a location"))
        snapshot = value_or_refuse(snapshot_of(work.location))
        with cluster_errors(self._settings), ExitStack() as resources:
            cluster = resources.enter_context(connected(self._settings))
            if (elsewhere := cluster.lacks(snapshot)) is not None:
                raise Refused(elsewhere)
            where = PoolImage(snapshot.pool, "", snapshot.image)
            return RbdSource(cluster, resources.pop_all(), where, snapshot.name, start=start.offset)
