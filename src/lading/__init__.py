"""Brings VM disk images to a host by the cheapest way, and remembers which way it was."""

from lading.domain.attempts import Attempt, FetchRequest, FetchResult
from lading.domain.cost import Cost
from lading.domain.dispatcher import Dispatcher
from lading.domain.failures import (
    AttemptResult,
    HandlerNotLoaded,
    HandlerRefused,
    NoHandlerAvailable,
    NotAssociated,
    TargetUnresolved,
)
from lading.domain.handler import Handler, Landing, PartialData, Report, State, Work
from lading.domain.matcher import LocationMatcher
from lading.domain.recovery import Outcome, Recovered
from lading.domain.refusals import (
    Faulted,
    Mismatched,
    Refusal,
    Scope,
    TargetFailed,
    TargetInUse,
    TargetOccupied,
    Unavailable,
    Unconfigured,
    Unsettled,
    Unsupported,
)
from lading.ports.association import Association, Fingerprint, Folder
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.context import Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogUnavailable,
    ImageNotActive,
    ImageNotFound,
    ImageWithoutData,
    LadingError,
    StoreUnavailable,
)
from lading.ports.image import Digest, Image
from lading.ports.journal import Intent, Journal
from lading.ports.location import Location
from lading.ports.locks import Locks

__all__ = [
    "AmbiguousImage",
    "Association",
    "AssociationStore",
    "Attempt",
    "AttemptResult",
    "CatalogUnavailable",
    "Context",
    "Cost",
    "Digest",
    "Dispatcher",
    "Faulted",
    "FetchRequest",
    "FetchResult",
    "Fingerprint",
    "Folder",
    "Handler",
    "HandlerNotLoaded",
    "HandlerRefused",
    "Image",
    "ImageCatalog",
    "ImageNotActive",
    "ImageNotFound",
    "ImageWithoutData",
    "Intent",
    "Journal",
    "LadingError",
    "Landing",
    "Location",
    "LocationMatcher",
    "Locks",
    "Mismatched",
    "NoHandlerAvailable",
    "NotAssociated",
    "Outcome",
    "PartialData",
    "Recovered",
    "Refusal",
    "Report",
    "Scope",
    "State",
    "StoreUnavailable",
    "TargetFailed",
    "TargetInUse",
    "TargetOccupied",
    "TargetUnresolved",
    "Unavailable",
    "Unconfigured",
    "Unsettled",
    "Unsupported",
    "Work",
]
