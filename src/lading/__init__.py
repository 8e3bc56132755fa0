"""Brings VM disk images to a host by the cheapest way, and remembers which way it was."""

from typing import TYPE_CHECKING

from lading.domain.attempts import Attempt, AttemptPreview, FetchRequest, FetchResult
from lading.domain.cost import Cost, SupportsCost
from lading.domain.dispatcher import Dispatcher
from lading.domain.failures import (
    AmbiguousDigest,
    AttemptResult,
    FetchFailure,
    HandlerNotLoaded,
    HandlerRefused,
    NoHandlerAvailable,
    NotAssociated,
    NotHeld,
    TargetFailure,
    TargetUnresolved,
)
from lading.domain.handler import (
    Handler,
    Landing,
    PartialData,
    Report,
    SupportsForms,
    SupportsPrepare,
    SupportsPreview,
    SupportsRecovery,
    SupportsReport,
    SupportsVerification,
    Work,
)
from lading.domain.matcher import LocationMatcher
from lading.domain.newest import NewestImage
from lading.domain.recovery import Outcome, Recovered
from lading.domain.refusals import (
    Faulted,
    Forbidden,
    Mismatched,
    Refusal,
    Scope,
    TargetFailed,
    TargetFull,
    TargetInUse,
    TargetNotWritable,
    TargetOccupied,
    TargetTooSmall,
    TooLarge,
    Unavailable,
    Unconfigured,
    Unsafe,
    Unsettled,
    Unsupported,
)
from lading.domain.targets import Forgotten
from lading.ports.association import Association, Check, Fingerprint, Folder, Shipped, State
from lading.ports.association_store import AssociationStore, HostTarget, SupportsHosts
from lading.ports.catalog import ByteStream, ImageCatalog, ImageData, ImageListing, ImageRegistry
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import (
    AmbiguousImage,
    CatalogFailure,
    CatalogUnavailable,
    Explanation,
    ImageNotActive,
    ImageNotFound,
    ImageUnproven,
    ImageWithoutData,
    LadingError,
    LockLost,
    NoImageData,
    SettingsError,
    StoreUnavailable,
)
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Digest, Image, Proof, Signature, Signer
from lading.ports.journal import Intent, Journal, NullJournal, Verb
from lading.ports.location import Location
from lading.ports.locks import Locks, NullLocks, SupportsHolder, SupportsSharing
from lading.ports.observer import NullObserver, Observer, SupportsSteps, SupportsWaiting

__all__ = [
    "ANONYMOUS",
    "AS_SHIPPED",
    "AmbiguousDigest",
    "AmbiguousImage",
    "Association",
    "AssociationStore",
    "Attempt",
    "AttemptPreview",
    "AttemptResult",
    "ByteStream",
    "CatalogFailure",
    "CatalogUnavailable",
    "Check",
    "Context",
    "Cost",
    "Digest",
    "Dispatcher",
    "Explanation",
    "Faulted",
    "FetchFailure",
    "FetchRequest",
    "FetchResult",
    "Fingerprint",
    "Folder",
    "Forbidden",
    "Forgotten",
    "Form",
    "Handler",
    "HandlerNotLoaded",
    "HandlerRefused",
    "HostTarget",
    "Image",
    "ImageCatalog",
    "ImageData",
    "ImageListing",
    "ImageNotActive",
    "ImageNotFound",
    "ImageRegistry",
    "ImageUnproven",
    "ImageWithoutData",
    "Intent",
    "Journal",
    "LadingError",
    "Landing",
    "Location",
    "LocationMatcher",
    "LockLost",
    "Locks",
    "Mismatched",
    "NewestImage",
    "NoHandlerAvailable",
    "NoImageData",
    "NotAssociated",
    "NotHeld",
    "NullJournal",
    "NullLocks",
    "NullObserver",
    "Observer",
    "Outcome",
    "PartialData",
    "Proof",
    "Recovered",
    "Refusal",
    "Report",
    "Scope",
    "SettingsError",
    "Shipped",
    "Signature",
    "Signer",
    "State",
    "StoreUnavailable",
    "SupportsCost",
    "SupportsForms",
    "SupportsHolder",
    "SupportsHosts",
    "SupportsPrepare",
    "SupportsPreview",
    "SupportsRecovery",
    "SupportsReport",
    "SupportsSharing",
    "SupportsSteps",
    "SupportsVerification",
    "SupportsWaiting",
    "TargetFailed",
    "TargetFailure",
    "TargetFull",
    "TargetInUse",
    "TargetNotWritable",
    "TargetOccupied",
    "TargetTooSmall",
    "TargetUnresolved",
    "TooLarge",
    "Unavailable",
    "Unconfigured",
    "Unsafe",
    "Unsettled",
    "Unsupported",
    "Verb",
    "Work",
    "__version__",
    "fetch",
    "open_container",
]


if TYPE_CHECKING:
    from lading.adapters.container import open_container
    from lading.adapters.library import fetch

    __version__: str
else:  # hidden from type checkers, which would take any name then

    def __getattr__(name: str) -> object:
        """Imports what is slow to load when it is first used."""
        if name == "open_container":
            from lading.adapters.container import open_container  # noqa: PLC0415 - see above

            return open_container
        if name == "fetch":
            from lading.adapters.library import fetch  # noqa: PLC0415 - see above

            return fetch
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - see above

            return version("lading")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
