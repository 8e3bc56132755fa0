"""A handler at its bench: with work that it can do, and a place where its targets are."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from typing_extensions import override

from lading import Digest, Handler, Image, Journal, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import Transfer
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal

__all__ = ["DATA", "IMAGE", "Bench", "Folder", "Place", "setup_of"]

DATA: Final = os.urandom(100_000)
IMAGE: Final = Image(
    "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    size=len(DATA),
    disk_format="raw",
    digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()),
)


class Place(Protocol):
    """Where targets are."""

    def target(self, name: str) -> str:
        """What a target of that name is called."""
        ...

    def content(self, name: str) -> bytes | None:
        """What is there, as far as DATA's length; None when nothing is."""
        ...

    def occupy(self, name: str, data: bytes) -> None:
        """Let something be there that is not lading's."""
        ...

    def clear(self, name: str) -> None:
        """Let nothing be there."""
        ...

    def names(self) -> list[str]:
        """Everything that is in the place, temporary things too, sorted."""
        ...


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


@dataclass
class Bench:
    """`work` brings IMAGE to the target `1` of the place, where nothing is yet."""

    handler: Handler
    work: Work
    place: Place
    lose_source: Callable[[], None]
    """Take away what it would read from."""
    verifies: bool = True
    """Whether what it lands has been compared with the digest."""
    size: int = len(DATA)
    """Bytes that the target has then."""


def setup_of(transfer: Transfer, journal: Journal | None = None) -> HandlerSetup:
    """What a handler is built from that asks for no settings and no catalog."""
    return HandlerSetup(Table({}), transfer, MemoryCatalog(), journal or MemoryJournal())
