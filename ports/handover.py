"""The port of a store that works while the record of many hosts is away, and hands its changes over later."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from lading.ports.association import Association

__all__ = ["Change", "Difference", "HandOver", "SupportsHandOver"]


class Change(NamedTuple):
    """A change of a target's association that this host has decided on."""

    id: str
    """Unique."""
    target: str
    before: Association | None
    """The association that this host knew; None: it knew none."""
    after: Association | None
    """None: the association is removed."""
    decided_at: datetime


class Difference(NamedTuple):
    """A target whose associations in this host's record and in the shared record differ."""

    target: str
    own: Association | None
    shared: Association | None


class HandOver(NamedTuple):
    """The outcome of a hand-over."""

    made: Sequence[Change]
    """The changes that are in the shared record now, in order."""
    differences: Sequence[Difference]
    """Targets that others have changed in the shared record. This host's record now agrees with it."""
    reason: str | None
    """The reason why the shared record cannot be reached; None: all is handed over and compared."""


@runtime_checkable
class SupportsHandOver(Protocol):
    """A store whose changes are in this host's record first. All methods raise StoreUnavailable."""

    def hand_over(self) -> HandOver:
        """Hands over all pending changes, in order, and compares the two records.

        A change is made only when the target is as this host knew it. Otherwise the shared record stays, and the change
        becomes a conflict.
        """
        ...

    def pending(self) -> Sequence[Change]:
        """The changes that are not handed over yet, in order."""
        ...

    def conflicts(self) -> Sequence[Difference]:
        """The changes that were not made, in order, until they are acknowledged."""
        ...

    def acknowledge(self, target: str) -> bool:
        """Forgets the target's conflicts. False: there are none."""
        ...
