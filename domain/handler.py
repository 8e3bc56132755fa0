"""The Handler strategy: one way of carrying images, and the words in which it is spoken to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from returns.result import Result

from lading.domain.refusals import Refusal
from lading.ports.association import Association, Fingerprint, Folder
from lading.ports.context import ANONYMOUS, Context
from lading.ports.image import Digest, Image
from lading.ports.journal import Intent
from lading.ports.location import Location
from lading.ports.observer import NullObserver, Observer

__all__ = [
    "Handler",
    "Landing",
    "PartialData",
    "Report",
    "State",
    "SupportsPrepare",
    "SupportsPreview",
    "SupportsRecovery",
    "SupportsReport",
    "SupportsResize",
    "SupportsVerification",
    "Work",
]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing for a handler to do, with all that it may need. Handlers keep nothing of it."""

    target: str
    """Stripped. Empty when the request names none."""
    image: Image | None = None
    location: Location | None = None
    """None for a location-independent attempt."""
    context: Context = ANONYMOUS
    association: Association | None = None
    """What is recorded for the target."""
    force: bool = False
    """Whether something at the target may be replaced."""
    observer: Observer = field(default_factory=NullObserver, repr=False, compare=False)
    intent: Intent | None = None
    """What the journal has of this, with the notes of an earlier one that was cut off; None when it has nothing."""
    size: int | None = None
    """Bytes that the target shall have in the end, of a handler that `SupportsResize`; None: as many as the image."""
    even_if_in_use: bool = False
    """Whether what is at the target may be taken away although another program has it locked, as QEMU has disks."""


@dataclass(frozen=True, slots=True)
class Landing:
    """How an image landed, as far as its handler can tell. `Landing()` says that it did, and no more."""

    method: str | None = None
    """`reflink`, `copy`, `download`, …"""
    size: int | None = None
    """Bytes at the target."""
    digest: Digest | None = None
    """Of the bytes at the target."""
    verified: bool = False
    """Whether the digest was compared with the catalog's, and agreed."""
    fingerprint: Fingerprint | None = None
    """Of the target, when it is a file on this host."""
    identity: str | None = None
    """What the handler knows the target by, when it is no file: a volume's or a clone's id."""
    present: bool = False
    """Whether the very image was there already, so that nothing was moved and what is recorded stays."""
    inspected_by: str | None = None
    """What found its format safe, with its version; None when nothing looked."""
    resumed: int = 0
    """Bytes that were there from a fetch that was cut off, and were not brought again."""
    copied_from: str | None = None
    """The target of this host that the bytes were copied from, where nothing was read from the attempt's location."""
    folder: Folder | None = None
    """The folder that the target is in, when it is a file on this host."""
    location: Location | None = None
    """The location that most bytes came from, where a mirror stood in for the attempt's."""

    @classmethod
    def already(cls, association: Association) -> Self:
        """That what is recorded is there already."""
        return cls(
            association.method,
            association.size,
            association.digest,
            association.verified,
            association.fingerprint,
            association.identity,
            present=True,
            inspected_by=association.inspected_by,
            copied_from=association.copied_from,
            folder=association.folder,
        )

    def recorded_in(self, association: Association) -> Association:
        """The association, with what is known of the landing."""
        return replace(
            association,
            location=self.location.redacted() if self.location else association.location,
            method=self.method,
            size=self.size,
            digest=self.digest,
            verified=self.verified,
            fingerprint=self.fingerprint,
            identity=self.identity,
            inspected_by=self.inspected_by,
            # Reading it again, to verify it, does not change where it came from.
            copied_from=self.copied_from or association.copied_from,
            folder=self.folder,
        )


@dataclass(frozen=True, slots=True)
class PartialData:
    """What is left of a fetch that was cut off, and that it can go on from."""

    size: int = 0
    """Bytes; 0 when nothing is left."""


class Handler(Protocol):
    """One way of carrying images.

    An instance serves all threads and keeps no state of a request. Its answers are values: it raises only for bugs.
    """

    @property
    def name(self) -> str:
        """What associations and settings call it; unique within a Dispatcher."""
        ...

    @property
    def schemes(self) -> frozenset[str] | None:
        """The URL schemes it takes. Empty: location-independent, takes any and none. None: takes nothing."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether all that it fetches is a file on this host."""
        ...

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        """Bring `work.image` from `work.location` to `work.target`: whole, or not at all.

        After a refusal nothing is left behind. What is already at the target stays, unless `work.force`.
        """
        ...

    def remove(self, work: Work) -> Result[None, Refusal]:
        """Remove what it fetched to `work.target`. That nothing is there any more is a success."""
        ...

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """Move what it fetched from `work.target` to `destination`, where nothing may be: wholly, or not at all."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """A handler with something to re-establish after a restart: a mapped device, a mount."""

    def prepare(self, associations: Iterable[Association]) -> None:
        """Called once after loading, with its own associations; what it raises is a warning."""
        ...


@runtime_checkable
class SupportsPreview(Protocol):
    """A handler that can tell beforehand whether an attempt would do."""

    def preview(self, work: Work) -> Result[str, Refusal]:
        """How it would do it, or the refusal that `fetch` would end in, as far as can be seen. Changes nothing."""
        ...


@runtime_checkable
class SupportsRecovery(Protocol):
    """A handler that can find out how far something came that was cut off.

    One that can't is asked to remove what it may have fetched, or to move again.
    """

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        """What became of `work.intent`, a fetch or a move, of which nobody heard the end.

        The Landing when it had come to its end, whole. Else nothing of it is left behind, but what a fetch can go on
        from, which stays if `keep`. `PartialData()` at once where the intent has no notes. Nothing is touched that is
        not proven to be what the notes tell of; a refusal where that cannot be told now, as on a disk that is not
        mounted.
        """
        ...


@runtime_checkable
class SupportsVerification(Protocol):
    """A handler that can tell whether what it fetched is still that."""

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Read all that is at `work.target` and compare it with `work.association`: how it is now, or what changed."""
        ...


@runtime_checkable
class SupportsResize(Protocol):
    """A handler that can make a target larger than its image. Others are not asked where a size is wished for."""

    resizes: bool


class State(StrEnum):
    """Whether a target still is what was put there."""

    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"
    DETACHED = "detached"
    """It is, but this host isn't connected to it any more."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """How a target is now, as far as can be told without reading it."""

    state: State
    details: Mapping[str, str] = field(default_factory=dict)
    """What else there is to know, in words, by name: `device`, `parent`, …"""


@runtime_checkable
class SupportsReport(Protocol):
    """A handler that can tell how a target is that is no file on this host."""

    def report(self, work: Work) -> Result[Report, Refusal]:
        """How what it fetched to `work.target` is now; changes nothing. A refusal when it can't find out."""
        ...
