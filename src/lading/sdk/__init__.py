"""The names that authors of handlers, catalogs, stores and locks need, beside those of `lading`.

An adapter is a factory under an entry point. lading calls it once, when the adapter is first needed:

- `lading.handlers`: called with a `HandlerSetup`, returns a `lading.Handler`.
- `lading.catalogs`: called with a `SettingsTable`, `[catalog]` without its `kind`, returns a `lading.ImageCatalog`.
- `lading.associations`: called with a `SettingsTable`, `[associations]` without its `kind`, returns a
  `lading.AssociationStore`.
- `lading.locks`: called with a `SettingsTable`, `[locks]` without its `kind`, returns a `lading.Locks`.

`lading.sdk.contracts` has the ports' contracts as pytest suites.
"""

from lading.adapters.codec.associations import decode_association, encode_association
from lading.adapters.codec.text import MALFORMED
from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.clone.storage import AttachesClones, Clone, CloneStorage, CopiesClones, Parent
from lading.adapters.destinations.destination import Destination, SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.rules import Rules
from lading.adapters.handlers.base import SourceHandler, StorageHandler
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing, SettingsTable
from lading.adapters.stream.errors import Refused, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.pipeline import CHUNK, Chunk, SourceBroken
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source, StreamSource, source_from
from lading.adapters.web.network import NetworkPolicy

__all__ = [
    "CHUNK",
    "FROM_START",
    "MALFORMED",
    "AttachesClones",
    "Chunk",
    "Clone",
    "CloneDestination",
    "CloneStorage",
    "CopiesClones",
    "Destination",
    "FileDestination",
    "FileSource",
    "HandlerSetup",
    "NetworkPolicy",
    "PackageMissing",
    "Parent",
    "Refused",
    "ResumePoint",
    "Rules",
    "SettingsTable",
    "Source",
    "SourceBroken",
    "SourceHandler",
    "SourceOpener",
    "StorageHandler",
    "StreamSource",
    "decode_association",
    "encode_association",
    "returning_refusals",
    "source_from",
    "system_errors",
    "value_or_refuse",
]
