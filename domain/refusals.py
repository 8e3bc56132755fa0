"""The refusals of handlers: one closed union; each member has a scope."""

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
    """The attempts that a refusal rules out."""

    LOCATION = "location"
    """This attempt only: the next location is tried."""
    HANDLER = "handler"
    """All further attempts of this handler."""
    REQUEST = "request"
    """All further attempts: no other handler can succeed."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """The handler does not support such a location, or such a target."""

    reason: str
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The location cannot be read, or not now, or not from here."""

    reason: str
    kept: int = 0
    """Bytes of partial data that are kept, and that the next fetch to the target can resume."""
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Mismatched:
    """The bytes are not what the catalog describes: another size, digest or format; or the format is unsafe."""

    reason: str
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The attempt was not settled."""

    reason: str = "not settled"
    scope: ClassVar[Scope] = Scope.LOCATION


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The handler lacks something that an operator must provide: a setting, a package, a permission."""

    reason: str
    scope: ClassVar[Scope] = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class Faulted:
    """The handler raised an exception or returned an invalid answer: a bug."""

    reason: str
    scope: ClassVar[Scope] = Scope.HANDLER


@dataclass(frozen=True, slots=True)
class TargetOccupied:
    """Something at the target must not be overwritten."""

    reason: str
    scope: ClassVar[Scope] = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """The target cannot be written: its disk is full or failing, its folder is missing or not writable."""

    reason: str
    scope: ClassVar[Scope] = Scope.REQUEST


@dataclass(frozen=True, slots=True)
class TargetInUse:
    """Another program uses what is at the target: it must not be removed or replaced."""

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
