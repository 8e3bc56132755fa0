"""Why a handler did not do it: one closed union, each member with the scope of its refusal."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "Faulted",
    "Mismatched",
    "Refusal",
    "Scope",
    "TargetFailed",
    "TargetInUse",
    "TargetOccupied",
    "Unavailable",
    "Unconfigured",
    "Unsettled",
    "Unsupported",
]


class Scope(StrEnum):
    """What else a refusal rules out."""

    LOCATION = "location"
    """This attempt alone: the next location is tried."""
    HANDLER = "handler"
    """The rest of this handler's attempts too."""
    REQUEST = "request"
    """Everything: no other handler could do better."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The handler can't carry from such a location, or to such a target."""

    reason: str
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The location can't be read, or not now, or not from here."""

    reason: str
    kept: int = 0
    """Bytes that had come and are kept, so that the next fetch to that target can go on from there."""
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Mismatched:
    """What lies there isn't what the catalog promises: another size, digest or format, or something unsafe to open."""

    reason: str
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Whoever drove the attempt did not say how it went."""

    reason: str = "not settled"
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The handler lacks something that only an operator can give it: a setting, a package, a permission."""

    reason: str
    scope: ClassVar[Scope] = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class Faulted:
    """The handler raised instead of answering: a bug of its own."""

    reason: str
    scope: ClassVar[Scope] = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class TargetOccupied:
    """Something is at the target that must not be overwritten."""

    reason: str
    scope: ClassVar[Scope] = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """The target can't be written: its disk is full or failing, its folder missing or closed."""

    reason: str
    scope: ClassVar[Scope] = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetInUse:
    """Another program uses what is at the target, so that it must not be taken away."""

    reason: str
    scope: ClassVar[Scope] = Scope.REQUEST


Refusal = (
    Unsupported
    | Unavailable
    | Mismatched
    | Unsettled
    | Unconfigured
    | Faulted
    | TargetOccupied
    | TargetFailed
    | TargetInUse
)
