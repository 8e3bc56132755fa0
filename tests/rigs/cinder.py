"""The benches of the cinder handler: targets that are files, and targets that are volumes."""

import importlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from tests.integration.services.cinder import POOL, Cinder
from tests.integration.services.keystone import CINDER, Keystone, User
from tests.rigs.rig import Folder, setup_of

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = [
    "HOST",
    "VolumeNames",
    "cinder_handler",
    "cinder_rig",
    "cinder_volume_rig",
    "connecting",
    "image_volume",
    "noble_volume",
    "volume_names",
]

HOST = "compute-1"


def connecting(keystone: Keystone, user: User = CINDER) -> Callable[[], Adapter]:
    """What gives a client of Cinder for this user."""
    auth = Password(
        f"{keystone.url}/v3",
        username=user.name,
        password=user.password,
        project_name=user.project,
        user_domain_id="default",
        project_domain_id="default",
    )
    return lambda: Adapter(Session(auth=auth), service_type="block-storage", interface="public")


class VolumeNames:
    """Volumes whose names begin with one that is nobody else's."""

    def __init__(self, cinder: Cinder, token: str) -> None:
        self.cinder = cinder
        self.prefix = uuid.uuid4().hex[:8]
        self._token = token

    def target(self, name: str) -> str:
        return f"cinder:{self.prefix}-{name}"

    def content(self, name: str) -> bytes | None:
        found = self._volumes(name)
        if not found:
            return None
        data = self.beginning(found[0])
        return data if data == DATA else data.rstrip(b"\0")

    def beginning(self, volume_id: str) -> bytes:
        """As many bytes as DATA has: a whole volume is a GiB at least."""
        rados: Any = importlib.import_module("rados")
        rbd: Any = importlib.import_module("rbd")
        with (
            rados.Rados(conffile=str(self.cinder.ceph.conf), rados_id="admin") as cluster,
            cluster.open_ioctx(POOL) as pool,
            rbd.Image(pool, self.cinder.stored(volume_id), read_only=True) as image,
        ):
            return bytes(image.read(0, len(DATA)))

    def occupy(self, name: str, data: bytes) -> None:
        self.cinder.create(data, name=f"{self.prefix}-{name}", token=self._token)

    def clear(self, name: str) -> None:
        for each in self._volumes(name):
            self.cinder.delete(each)

    def names(self) -> list[str]:
        return sorted(
            each["name"].removeprefix(f"{self.prefix}-")
            for each in self.cinder.volumes()
            if each["name"].startswith(self.prefix)
        )

    def end(self) -> None:
        """Leave nothing behind."""
        for each in self.cinder.volumes():
            if each["name"].startswith(self.prefix):
                for attachment in self.cinder.attachments(each["id"]):
                    self.cinder.ask("DELETE", f"/attachments/{attachment['id']}")
                self.cinder.delete(each["id"])

    def _volumes(self, name: str) -> list[str]:
        return [each["id"] for each in self.cinder.volumes() if each["name"] == f"{self.prefix}-{name}"]


@pytest.fixture(scope="session")
def noble_volume(cinder: Cinder, storage_keystone: Keystone) -> str:
    """The id of a volume that holds DATA, of the services' project, as Glance's are."""
    token = storage_keystone.kept_token(CINDER)
    return str(cinder.create(DATA, metadata={"image_size": str(len(DATA))}, token=token)["id"])


@pytest.fixture
def image_volume(cinder: Cinder, noble_volume: str) -> Iterator[str]:
    """The same; what a test does to its state is undone."""
    yield noble_volume
    for attachment in cinder.attachments(noble_volume):
        cinder.ask("DELETE", f"/attachments/{attachment['id']}")
    cinder.reset(noble_volume)


@pytest.fixture
def volume_names(cinder: Cinder, storage_keystone: Keystone) -> Iterator[VolumeNames]:
    names = VolumeNames(cinder, storage_keystone.kept_token(CINDER))
    yield names
    names.end()


@pytest.fixture
def cinder_handler(cinder: Cinder, storage_keystone: Keystone, transfer: FileDestination) -> CinderHandler:
    settings = CinderHandlerSettings(host=HOST, timeout=20)
    return CinderHandler(settings, setup_of(transfer), connecting(storage_keystone))


@pytest.fixture
def cinder_rig(cinder: Cinder, cinder_handler: CinderHandler, image_volume: str, folder: Folder) -> HandlerRig:
    work = Work(folder.target("1"), IMAGE, Location(f"cinder://gold/{image_volume}"))
    return HandlerRig(cinder_handler, work, folder, lambda: cinder.reset(image_volume, "error"))


@pytest.fixture
def cinder_volume_rig(
    cinder: Cinder, cinder_handler: CinderHandler, image_volume: str, volume_names: VolumeNames
) -> HandlerRig:
    work = Work(volume_names.target("1"), IMAGE, Location(f"cinder://{image_volume}"))
    lose = lambda: cinder.reset(image_volume, "error")  # noqa: E731
    return HandlerRig(cinder_handler, work, volume_names, lose, verifies=False, size=1 << 30)
