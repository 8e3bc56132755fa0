"""The benches of handlers that need no service."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults import Faults, Reply
from tests.rigs.rig import DATA, IMAGE, Bench, Folder

from lading import Location, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions

__all__ = ["download_bench", "file_bench", "folder", "http_bench", "transfer"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A place for targets that are files."""
    return Folder(tmp_path / "vms")


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
def file_bench(folder: Folder, transfer: FileDestination, source: Path) -> Bench:
    work = Work(folder.target("1"), IMAGE, Location(f"file://{source}"))
    return Bench(FileHandler([source.parent], transfer), work, folder, source.unlink)


@pytest.fixture
def download_bench(folder: Folder, transfer: FileDestination, source: Path) -> Bench:
    catalog = MemoryCatalog()
    catalog.add(IMAGE, data=str(source))
    return Bench(DownloadHandler(catalog, transfer), Work(folder.target("1"), IMAGE), folder, source.unlink)


@pytest.fixture
def http_bench(folder: Folder, transfer: FileDestination, faults: Faults) -> Bench:
    work = Work(folder.target("1"), IMAGE, Location(faults.answer("/noble.img", Reply(DATA))))

    def lose() -> None:
        faults.answer("/noble.img", Reply(b"", status=404))

    return Bench(HttpHandler(HttpOptions(), transfer, first_wait=0), replace(work), folder, lose)
