"""The benches of the rbd handler: targets that are files, and targets in a pool."""

import json
import uuid
from collections.abc import Iterator

import pytest
from tests.integration.services.ceph import Ceph, CephError
from tests.rigs.rig import Folder, setup_of

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.rbd.handler import RbdHandler
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = ["Pool", "pool", "rbd_handler", "rbd_location", "rbd_pool_rig", "rbd_rig"]


class Pool:
    """A pool of the cluster's."""

    def __init__(self, ceph: Ceph, name: str) -> None:
        self.ceph = ceph
        self.spec = name

    def target(self, name: str) -> str:
        return f"rbd:{self.spec}/{name}"

    def content(self, name: str) -> bytes | None:
        try:
            return self.ceph.get(self.spec, name)[: len(DATA)]
        except CephError:
            return None

    def occupy(self, name: str, data: bytes) -> None:
        self.ceph.rbd("import", "--no-progress", "-", f"{self.spec}/{name}", data=data)

    def clear(self, name: str) -> None:
        self.ceph.rbd("rm", "--no-progress", f"{self.spec}/{name}")

    def names(self) -> list[str]:
        trashed = json.loads(self.ceph.rbd("trash", "ls", self.spec, "--format", "json"))
        return sorted([*self.ceph.images(self.spec), *(f"trash: {each['name']}" for each in trashed)])


@pytest.fixture
def pool(ceph: Ceph) -> Iterator[Pool]:
    """A place for targets that are images: empty, and emptied again."""
    name = f"bench-{uuid.uuid4().hex}"
    ceph.ceph("osd", "pool", "create", name, "1")
    ceph.rbd("pool", "init", name)
    yield Pool(ceph, name)
    ceph.ceph("osd", "pool", "delete", name, name, "--yes-i-really-really-mean-it")


@pytest.fixture
def rbd_handler(ceph: Ceph, transfer: FileDestination) -> RbdHandler:
    return RbdHandler(RbdHandlerSettings(ceph.conf, connect_timeout=3), setup_of(transfer))


@pytest.fixture
def rbd_location(ceph: Ceph) -> str:
    """Where DATA lies, in an image of its own: a cluster's name for it ends in `/IMAGE/snap`."""
    return ceph.put(DATA, "images", f"noble-{uuid.uuid4().hex}")


@pytest.fixture
def rbd_rig(ceph: Ceph, rbd_handler: RbdHandler, rbd_location: str, folder: Folder) -> HandlerRig:
    work = Work(folder.target("1"), IMAGE, Location(rbd_location))
    return HandlerRig(rbd_handler, work, folder, lambda: ceph.delete("images", image_of(rbd_location)))


@pytest.fixture
def rbd_pool_rig(ceph: Ceph, rbd_handler: RbdHandler, rbd_location: str, pool: Pool) -> HandlerRig:
    work = Work(pool.target("1"), IMAGE, Location(rbd_location))
    return HandlerRig(rbd_handler, work, pool, lambda: ceph.delete("images", image_of(rbd_location)), verifies=False)


def image_of(location: str) -> str:
    return location.split("/")[-2]
