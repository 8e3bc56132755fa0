"""Parts of a handler's rig: a folder for its targets, and the setup that its factory is called with."""

from collections.abc import Mapping
from pathlib import Path

from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles

__all__ = ["FolderPlace", "handler_setup"]


class FolderPlace:
    """A folder of this host, as the place of targets that are files."""

    def __init__(self, path: Path) -> None:
        """`path` is created."""
        self.path = path
        path.mkdir()

    def __repr__(self) -> str:
        return f"FolderPlace({self.path})"

    def target(self, name: str) -> str:
        return str(self.path / name)

    def content(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.exists() else None

    def occupy(self, name: str, data: bytes) -> None:
        (self.path / name).write_bytes(data)

    def clear(self, name: str) -> None:
        (self.path / name).unlink()

    def names(self) -> list[str]:
        return sorted(each.name for each in self.path.iterdir())


def handler_setup(settings: Mapping[str, object]) -> HandlerSetup:
    """The setup of a handler with these settings, an empty catalog, and a journal in memory."""
    return HandlerSetup(Table(settings), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
