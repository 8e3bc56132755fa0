"""The benches of handlers that need no service."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.loop_devices import LoopDevice, LoopPlace
from tests.rigs.rig import Folder

from lading import Location, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = [
    "devices", "download_device_rig", "download_rig", "file_device_rig", "file_rig", "folder", "http_device_rig",
    "http_rig", "transfer",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A place for targets that are files."""
    return Folder(tmp_path / "vms")


@pytest.fixture
def devices(make_loop: Callable[..., LoopDevice]) -> LoopPlace:
    """A place for targets that are block devices."""
    return LoopPlace({name: make_loop(4 << 20) for name in ("1", "2", "taken")})


@pytest.fixture
def transfer() -> FileDestination:
    return FileDestination(MemoryVerifiedFiles())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that holds DATA."""
    path = tmp_path / "images" / "noble.img"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


@pytest.fixture
def file_rig(folder: Folder, transfer: FileDestination, source: Path) -> HandlerRig:
    work = Work(folder.target("1"), IMAGE, Location(f"file://{source}"))
    return HandlerRig(FileHandler([source.parent], transfer), work, folder, source.unlink)


@pytest.fixture
def download_rig(folder: Folder, transfer: FileDestination, source: Path) -> HandlerRig:
    catalog = MemoryCatalog()
    catalog.add(IMAGE, data=str(source))
    return HandlerRig(DownloadHandler(catalog, transfer), Work(folder.target("1"), IMAGE), folder, source.unlink)


@pytest.fixture
def http_rig(folder: Folder, transfer: FileDestination, faulty_server: FaultyServer) -> HandlerRig:
    work = Work(folder.target("1"), IMAGE, Location(faulty_server.answer("/noble.img", Reply(DATA))))

    def lose() -> None:
        faulty_server.answer("/noble.img", Reply(b"", status=404))

    return HandlerRig(HttpHandler(HttpOptions(), transfer, first_wait=0), replace(work), folder, lose)


@pytest.fixture
def file_device_rig(file_rig: HandlerRig, devices: LoopPlace) -> HandlerRig:
    return _on_devices(file_rig, devices)


@pytest.fixture
def download_device_rig(download_rig: HandlerRig, devices: LoopPlace) -> HandlerRig:
    return _on_devices(download_rig, devices)


@pytest.fixture
def http_device_rig(http_rig: HandlerRig, devices: LoopPlace) -> HandlerRig:
    return _on_devices(http_rig, devices)


def _on_devices(rig: HandlerRig, devices: LoopPlace) -> HandlerRig:
    work = replace(rig.work, target=devices.target("1"))
    return replace(rig, work=work, place=devices, is_fixed=True)
