"""The argument of every factory in the entry-point group `lading.handlers`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.clone.storage import CloneStorage
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.web.network import DIRECT, NetworkPolicy
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import LadingError
from lading.ports.journal import Journal

__all__ = ["HandlerSetup", "PackageMissing", "SettingsTable"]

_Settings = TypeVar("_Settings")


@dataclass(eq=False)
class PackageMissing(LadingError, ModuleNotFoundError):
    """A package that a handler needs is not installed."""

    reason: str
    """The message, with the command that installs the package."""

    def __str__(self) -> str:
        return self.reason


class SettingsTable(Protocol):
    """A handler's own table of the settings, `[handlers.NAME]`, as configured."""

    def read(self, kind: type[_Settings]) -> _Settings:
        """The table as that dataclass; its fields are the keys that may be configured.

        Fields may be bool, int, float, str, Literal, Path, which becomes absolute, a tuple of those, and more.
        Raises SettingsError, which names the file or the variable, the key, the expected and the found value.
        """
        ...


@dataclass(frozen=True, slots=True)
class HandlerSetup:
    """The settings, destination, catalog, journal and network policy for a handler.

    `files` is the destination of targets that are files of this host; `clones` makes that of targets that are clones.
    """

    settings: SettingsTable = field(repr=False)
    """The handler's table, with its secrets; see `read`."""
    files: FileDestination
    catalog: ImageCatalog
    journal: Journal
    """For notes on `Work.intent` of handlers with their own destinations."""
    network: NetworkPolicy = DIRECT
    """Proxies and certificates: `[network]`, and the variables."""

    def read(self, kind: type[_Settings]) -> _Settings:
        """The handler's settings as that dataclass, see `SettingsTable`. Raises SettingsError."""
        return self.settings.read(kind)

    def network_trusting(self, ca_file: Path | None, handler: str) -> NetworkPolicy:
        """The network policy, with the handler's own `ca_file` where it has one. Raises SettingsError."""
        return self.network.trusting(ca_file, f"[handlers.{handler}] ca_file")

    def clones(self, storage: CloneStorage) -> CloneDestination:
        """Makes the destination of targets that are clones in this storage."""
        return CloneDestination(storage, self.journal, self.files.rules, self.files.verified)
