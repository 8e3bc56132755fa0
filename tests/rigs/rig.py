"""What the rigs of several handlers share: a folder for targets, and what a handler is built from."""

from lading import Journal
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.sdk.contracts import FolderPlace as Folder

__all__ = ["Folder", "setup_of"]


def setup_of(transfer: FileDestination, journal: Journal | None = None) -> HandlerSetup:
    """What a handler is built from that asks for no settings and no catalog."""
    return HandlerSetup(Table({}), transfer, MemoryCatalog(), journal or MemoryJournal())
