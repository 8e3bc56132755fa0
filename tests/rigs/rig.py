"""What the rigs of several handlers share: a folder for targets, and what a handler is built from."""

import os
from pathlib import Path

from typing_extensions import override

from lading import Journal
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal

__all__ = ["Folder", "setup_of"]


class Folder:
    """A folder of this host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

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
        return sorted(os.listdir(self.path))

    @override
    def __repr__(self) -> str:
        return f"Folder({self.path})"


def setup_of(transfer: FileDestination, journal: Journal | None = None) -> HandlerSetup:
    """What a handler is built from that asks for no settings and no catalog."""
    return HandlerSetup(Table({}), transfer, MemoryCatalog(), journal or MemoryJournal())
