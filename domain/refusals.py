"""The refusals of handlers: one closed union; each member has a code, and a scope."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from lading.ports.failures import Explanation

__all__ = [
    "Faulted",
    "Forbidden",
    "Mismatched",
    "Refusal",
    "Scope",
    "TargetFailed",
    "TargetFull",
    "TargetInUse",
    "TargetNotWritable",
    "TargetOccupied",
    "TargetTooSmall",
    "TooLarge",
    "Unavailable",
    "Unconfigured",
    "Unsafe",
    "Unsettled",
    "Unsupported",
]


class Scope(StrEnum):
    """The attempts that a refusal rules out."""

    LOCATION = "location"
    """This attempt only: the next location is tried."""
    HANDLER = "handler"
    """All further attempts of this handler."""
    REQUEST = "request"
    """All further attempts: no other handler can succeed."""


@dataclass(frozen=True, slots=True)
class _Refusal(Explanation):
    """The parts of the message, with what programs decide by."""

    code: ClassVar[str]
    """The stable name of this kind of refusal: see docs/json.md."""
    scope: ClassVar[Scope]


@dataclass(frozen=True, slots=True)
class Unsupported(_Refusal):
    """The handler does not support such a location, or such a target."""

    code = "unsupported"
    scope = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unavailable(_Refusal):
    """The location cannot be read, or not now, or not from here."""

    kept: int = 0
    """Bytes of partial data that are kept, and that the next fetch to the target can resume."""
    code = "unavailable"
    scope = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Forbidden(Unavailable):
    """The location may not be read: by its server, the system's permissions or the settings."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Mismatched(_Refusal):
    """The bytes are not what the catalog describes: another size, digest or format; or they are damaged."""

    code = "mismatched"
    scope = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unsafe(Mismatched):
    """The image is unsafe to open: it names other files, for example."""

    code = "unsafe"


@dataclass(frozen=True, slots=True)
class TooLarge(Mismatched):
    """The image is larger than the settings allow."""

    code = "too_large"


@dataclass(frozen=True, slots=True)
class Unsettled(_Refusal):
    """The attempt was not settled."""

    reason: str = "not settled"
    code = "unsettled"
    scope = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unconfigured(_Refusal):
    """The handler lacks something that an operator must provide: a setting, a package, a permission."""

    code = "unconfigured"
    scope = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class Faulted(_Refusal):
    """The handler raised an exception or returned an invalid answer: a bug."""

    code = "faulted"
    scope = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class TargetOccupied(_Refusal):
    """Something at the target must not be overwritten."""

    code = "occupied"
    scope = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetFailed(_Refusal):
    """The target cannot be written, for another reason than those of the kinds below: its folder is missing, …"""

    code = "target_failed"
    scope = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetFull(TargetFailed):
    """The target's disk, pool or quota has too little free space."""

    code = "disk_full"


@dataclass(frozen=True, slots=True)
class TargetTooSmall(TargetFailed):
    """The target is a device smaller than the image's disk."""

    code = "too_small"


@dataclass(frozen=True, slots=True)
class TargetNotWritable(TargetFailed):
    """The permissions do not allow to write the target, or it is read-only."""

    code = "not_writable"


@dataclass(frozen=True, slots=True)
class TargetInUse(_Refusal):
    """Another program uses what is at the target: it must not be removed or replaced."""

    code = "in_use"
    scope = Scope.REQUEST


Refusal = (
    Unsupported
    | Unavailable
    | Forbidden
    | Mismatched
    | Unsafe
    | TooLarge
    | Unsettled
    | Unconfigured
    | Faulted
    | TargetOccupied
    | TargetFailed
    | TargetFull
    | TargetTooSmall
    | TargetNotWritable
    | TargetInUse
)
