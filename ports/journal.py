"""Who remembers what is under way, so that what was cut off is found again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from returns.result import Result, Success

from lading.ports.failures import StoreUnavailable
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["Intent", "Journal", "NullJournal", "Verb"]


class Verb(StrEnum):
    """What is done to a target."""

    FETCH = "fetch"
    REMOVE = "remove"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody set out to do to a target, and has not come to the end of."""

    target: str
    """Stripped, never blank. There is one intent for a target at a time."""
    verb: Verb
    handler: str
    """The name of the handler that was asked last."""
    began_at: datetime
    """Aware, UTC."""
    image: Image | None = None
    """The image without its locations; None when the request named none."""
    location: Location | None = None
    """Where it was to come from, without credentials."""
    destination: str | None = None
    """Where a move was to end."""
    force: bool = False
    """Whether what is at the target may be replaced."""
    notes: Mapping[str, object] = field(default_factory=dict, hash=False)
    """The handler's own, as JSON has it: whatever it will need to find out how far it came. No credentials.

    A handler that can recover notes something before it changes anything: while it is empty, nothing can be left.
    """


class Journal(Protocol):
    """Intents by target. Safe to share between threads; each verb is atomic.

    When a verb of a durable journal returns Success, the effect has reached the disk.
    """

    def begin(self, intent: Intent) -> Result[None, StoreUnavailable]:
        """Write it down, in place of what was written for its target."""
        ...

    def note(self, target: str, notes: Mapping[str, object]) -> Result[None, StoreUnavailable]:
        """Have the target's intent hold these notes from now on. Without an intent nothing is written."""
        ...

    def settle(self, target: str) -> Result[None, StoreUnavailable]:
        """It has come to its end. That there is no such intent is no failure."""
        ...

    def pending(self, target: str) -> Result[Intent | None, StoreUnavailable]:
        """The intent that this is the target or the destination of, if there is one."""
        ...

    def list(self) -> Iterator[Intent]:
        """Every intent, by target; what comes and goes meanwhile may or may not be seen.

        Nothing is read before the first is asked for. Raises StoreUnavailable when it can't go on.
        """
        ...


class NullJournal:
    """The journal of a program that has nothing to find again: nothing is kept."""

    def begin(self, intent: Intent) -> Result[None, StoreUnavailable]:
        return Success(None)

    def note(self, target: str, notes: Mapping[str, object]) -> Result[None, StoreUnavailable]:
        return Success(None)

    def settle(self, target: str) -> Result[None, StoreUnavailable]:
        return Success(None)

    def pending(self, target: str) -> Result[Intent | None, StoreUnavailable]:
        return Success(None)

    def list(self) -> Iterator[Intent]:
        return iter(())
