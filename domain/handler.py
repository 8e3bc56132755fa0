"""The Handler strategy: one way of transferring images, and the values of its interface."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable

from returns.result import Result

from lading.domain.refusals import Refusal
from lading.ports.association import Association, Fingerprint, Folder, Shipped, State
from lading.ports.context import ANONYMOUS, Context
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Digest, Image, Signer
from lading.ports.journal import Intent
from lading.ports.location import Location
from lading.ports.observer import NullObserver, Observer

__all__ = [
    "Handler",
    "Landing",
    "PartialData",
    "Report",
    "SupportsForms",
    "SupportsPrepare",
    "SupportsPreview",
    "SupportsRecovery",
    "SupportsReport",
    "SupportsVerification",
    "Work",
]


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one call of a handler, with all that the handler may need."""

    target: str
    """Stripped. Empty when the request names none."""
    image: Image | None = None
    location: Location | None = None
    """None for a location-independent attempt."""
    context: Context = ANONYMOUS
    association: Association | None = None
    """The target's association."""
    force: bool = False
    """Allows the handler to replace what is at the target."""
    observer: Observer = field(default_factory=NullObserver, repr=False, compare=False)
    intent: Intent | None = None
    """The operation's intent in the journal, with the notes of an interrupted one; None without a journal."""
    form: Form = AS_SHIPPED
    """The form that the target is to have, for handlers that support forms."""
    even_if_in_use: bool = False
    """Allows the handler to remove or replace what another program has locked, as QEMU locks disks."""
    wipe: bool = False
    """A removal wipes the signatures of what it leaves where it is: the bytes on a block device stay otherwise."""
    reverify: bool = False
    """Hash the image's bytes also where their digest is known from an earlier fetch."""


@dataclass(frozen=True, slots=True)
class Landing:
    """The result of a transfer, as far as the handler knows it. `Landing()` says only that it succeeded."""

    method: str | None = None
    """`reflink`, `copy`, `download`, …"""
    size: int | None = None
    """Bytes at the target."""
    digest: Digest | None = None
    """Of the bytes at the target."""
    verified: bool = False
    """True when the bytes as shipped, or the disk in them, had the catalog's digest, compared after the transfer."""
    fingerprint: Fingerprint | None = None
    """The target's fingerprint, when it is a file of this host."""
    identity: str | None = None
    """The handler's id of a target that is not a file: a volume's or a clone's id."""
    present: bool = False
    """True when the image was at the target already: nothing was moved, and the record stays."""
    inspected_by: str | None = None
    """The inspector that found the format safe, with its version; None when the format was not inspected."""
    resumed: int = 0
    """Bytes of an interrupted fetch that were resumed, and not read again."""
    copied_from: str | None = None
    """The target of this host that the bytes were copied from, when nothing was read from the location."""
    folder: Folder | None = None
    """The folder of the target, when it is a file of this host."""
    location: Location | None = None
    """The location that most bytes came from, when that is a mirror of the attempt's location."""
    format: str | None = None
    """The format of the bytes at the target; None: it is not known."""
    virtual_size: int | None = None
    """Bytes of the disk that a guest sees; None: it is not known."""
    shipped: Shipped | None = None
    """The image as it was shipped; None: the target has those bytes."""
    converted_by: str | None = None
    """The program that made the target of the image, with its version; None: it was not converted."""
    form: Form = AS_SHIPPED
    """The form that the target was given."""
    signed_by: Signer | None = None
    """The key that signed the bytes as shipped, or the document that has their digest."""

    @classmethod
    def already(cls, association: Association) -> Self:
        """The result of a fetch that found the recorded image at the target."""
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
            format=association.format,
            virtual_size=association.virtual_size,
            shipped=association.shipped,
            converted_by=association.converted_by,
            form=association.form,
            signed_by=association.signed_by,
        )

    def is_in(self, form: Form) -> bool:
        """Tells whether the target has this form: the same wishes, where the image's own format counts as named.

        >>> Landing(format="raw").is_in(Form("raw")), Landing(format="qcow2").is_in(Form("raw"))
        (True, False)
        """
        own = self.shipped.format.rpartition(", ")[2] if self.shipped else self.format
        formats = {self.form.format or own, form.format or own}
        return len(formats) == 1 and replace(self.form, format=None) == replace(form, format=None)

    def recorded_in(self, association: Association) -> Association:
        """The association with the result of the transfer."""
        return replace(
            association,
            location=self.location.redacted() if self.location else association.location,
            method=self.method,
            size=self.size,
            digest=self.digest,
            verified=self.verified,
            # A verification compares with the recorded digest, and reads no signature.
            signed_by=self.signed_by or association.signed_by,
            fingerprint=self.fingerprint,
            identity=self.identity,
            inspected_by=self.inspected_by,
            folder=self.folder,
            # A verification reads the target again, and does not change its origin.
            copied_from=self.copied_from or association.copied_from,
            format=self.format or association.format,
            virtual_size=self.virtual_size or association.virtual_size,
            shipped=self.shipped or association.shipped,
            converted_by=self.converted_by or association.converted_by,
            form=association.form if self.form == AS_SHIPPED else self.form,
        )


@dataclass(frozen=True, slots=True)
class PartialData:
    """The partial data of an interrupted fetch."""

    size: int = 0
    """Bytes that a fetch can resume; 0: none."""
    incomplete: bool = False
    """True when the target itself holds a part of the image, and what it held before is lost."""


class Handler(Protocol):
    """One way of transferring images.

    An instance serves all threads and keeps no state of a request. Its answers are Results: it raises only for bugs.
    """

    @property
    def name(self) -> str:
        """The name in associations and settings; unique within a Dispatcher."""
        ...

    @property
    def schemes(self) -> frozenset[str] | None:
        """The URL schemes that it takes. Empty: location-independent, takes any and none. None: takes nothing."""
        ...

    @property
    def is_local(self) -> bool:
        """True when all its targets are files of this host."""
        ...

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        """Transfers `work.image` from `work.location` to `work.target`: completely, or not at all.

        A refusal leaves nothing behind. What is at the target stays, unless `work.force` is set. Where a target cannot
        be written in one step, as a block device, a refusal may leave it incomplete, for `recover` to tell.
        """
        ...

    def remove(self, work: Work) -> Result[None, Refusal]:
        """Removes what it fetched to `work.target`. It is a success when nothing is there any more."""
        ...

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """Moves what it fetched from `work.target` to `destination`, which must be free: completely, or not at all."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """A handler that re-establishes something after a restart of the host: an attached volume, a mount."""

    def prepare(self, associations: Iterable[Association]) -> None:
        """Re-establishes what a restart lost, for the handler's own associations.

        The Dispatcher calls it once, before its first fetch, removal, move, verification or recovery. An exception is a
        warning.
        """
        ...


@runtime_checkable
class SupportsPreview(Protocol):
    """A handler that can preview an attempt."""

    def preview(self, work: Work) -> Result[str, Refusal]:
        """Returns the way of transfer, or the refusal of `fetch`, as far as it can be known. Changes nothing."""
        ...


@runtime_checkable
class SupportsRecovery(Protocol):
    """A handler that can recover interrupted operations.

    Other handlers are called to remove what an interrupted fetch may have left, or to move again.
    """

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        """Reports how far the interrupted operation got: finished, or partial data that can be resumed.

        `work.intent` is a fetch or a move. A finished one is a Landing. Of an unfinished one everything is removed,
        except partial data that a fetch can resume: that stays with `keep`. An incomplete target stays in any case.
        Without notes the answer is `PartialData()` at once. Only what the notes prove to be the operation's is touched.
        A refusal means that this cannot be known now, for instance because a disk is not mounted.
        """
        ...


@runtime_checkable
class SupportsVerification(Protocol):
    """A handler that can verify its targets."""

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Reads all that is at `work.target` and compares it with `work.association`. A change is Mismatched."""
        ...


@runtime_checkable
class SupportsForms(Protocol):
    """A handler that can give a target another form than its image's. Only such handlers get requests with a form."""

    takes_forms: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a target, as far as it can be known without reading its data."""

    state: State
    details: Mapping[str, str] = field(default_factory=dict)
    """Further facts for messages, by name: `device`, `parent`, …"""


@runtime_checkable
class SupportsReport(Protocol):
    """A handler that can report the state of its targets."""

    def report(self, work: Work) -> Result[Report, Refusal]:
        """Reports the state of what it fetched to `work.target`. Changes nothing. A refusal when it is unknown."""
        ...
