"""The benches of a third party's handler, tests/fixtures/lading-shelf: targets that are files, and clones."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.loop_devices import LoopPlace
from tests.rigs.rig import Folder

from lading import Location, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.sdk.contracts import DATA, IMAGE, HandlerRig
from lading_shelf import ShelfHandler

__all__ = ["Clones", "shelf", "shelf_clone_rig", "shelf_device_rig", "shelf_handler", "shelf_rig"]


class Clones:
    """The clones on a shelf, as its own tools would show them."""

    def __init__(self, shelf: Path) -> None:
        self._images, self._clones, self._connected = (shelf / each for each in ("images", "clones", "connected"))

    def target(self, name: str) -> str:
        return f"shelf:{name}"

    def content(self, name: str) -> bytes | None:
        path = self._clones / name
        if not path.exists():
            return None
        clone = self._read(name)
        return (self._images / clone["parent"]).read_bytes() if clone else path.read_bytes()

    def occupy(self, name: str, data: bytes) -> None:
        self._clones.mkdir(exist_ok=True)
        (self._clones / name).write_bytes(data)

    def clear(self, name: str) -> None:
        (self._clones / name).unlink()

    def names(self) -> list[str]:
        """Of clones, and of connections that have none."""
        names = _listed(self._clones)
        known = {str(clone["id"]) for clone in map(self._read, names) if clone}
        return names + [f"connected to {each}" for each in _listed(self._connected) if each not in known]

    def _read(self, name: str) -> dict[str, str] | None:
        try:
            read: dict[str, str] = json.loads((self._clones / name).read_bytes())
        except ValueError:
            return None
        return read


def _listed(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A shelf with DATA on it, as the image noble."""
    folder = tmp_path / "shelf"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "noble").write_bytes(DATA)
    return folder


@pytest.fixture
def shelf_handler(shelf: Path, transfer: FileDestination) -> ShelfHandler:
    return ShelfHandler(HandlerSetup(Table({"folder": str(shelf)}), transfer, MemoryCatalog(), MemoryJournal()))


@pytest.fixture
def shelf_rig(shelf: Path, shelf_handler: ShelfHandler, folder: Folder) -> HandlerRig:
    work = Work(folder.target("1"), IMAGE, Location("shelf://noble"))
    return HandlerRig(shelf_handler, work, folder, (shelf / "images" / "noble").unlink)


@pytest.fixture
def shelf_clone_rig(shelf: Path, shelf_handler: ShelfHandler) -> HandlerRig:
    place = Clones(shelf)
    work = Work(place.target("1"), IMAGE, Location("shelf://noble"))
    return HandlerRig(shelf_handler, work, place, (shelf / "images" / "noble").unlink, verifies=False)


@pytest.fixture
def shelf_device_rig(shelf_rig: HandlerRig, devices: LoopPlace) -> HandlerRig:
    work = replace(shelf_rig.work, target=devices.target("1"))
    return replace(shelf_rig, work=work, place=devices, is_fixed=True)
