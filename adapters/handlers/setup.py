"""What a handler is built from: the one argument of every factory in the entry-point group `lading.handlers`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lading.adapters.transfer.transfer import Transfer
from lading.ports.catalog import ImageCatalog
from lading.ports.journal import Journal

__all__ = ["HandlerSetup"]


@dataclass(frozen=True, slots=True)
class HandlerSetup:
    """`settings` is the handler's own table, `[handlers.NAME]`; `lading.adapters.settings.read_table` checks it."""

    settings: Mapping[str, object] = field(repr=False)
    transfer: Transfer
    catalog: ImageCatalog
    journal: Journal
    """For notes on `Work.intent`, of handlers that don't leave that to the transfer."""
