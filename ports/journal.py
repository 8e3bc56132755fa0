"""The journal: operations in progress, so that interrupted ones are found after a crash."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from returns.result import Result, Success

from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["Intent", "Journal", "NullJournal", "Verb"]


class Verb(StrEnum):
    """The kind of an operation."""

    FETCH = "fetch"
    REMOVE = "remove"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Intent:
    """An operation that has begun on a target, and has not ended."""

    target: str
    """Stripped, never blank. A target has one intent at a time."""
    verb: Verb
    handler: str
    """The name of the handler of the current attempt."""
    began_at: datetime
    """Aware, UTC."""
    image: Image | None = None
    """The image without its locations; None when the request named no image."""
    location: Location | None = None
    """The location of the current attempt, without credentials."""
    destination: str | None = None
    """The destination of a move."""
    force: bool = False
    """Allows the operation to replace or remove what is at the target."""
    notes: Mapping[str, object] = field(default_factory=dict, hash=False)
    """The handler's own notes, as JSON values without credentials: what its `recover` needs.

    A handler that supports recovery writes a note before it changes anything: empty notes mean that nothing is left.
    """
    even_if_in_use: bool = False
    """Allows the operation to replace or remove what another program has locked."""
    recorded: Association | None = None
    """The association when the operation began: another host may have recorded another one since.

    None where there was none, and in what an earlier version wrote.
    """
    form: Form = AS_SHIPPED
    """The form that the fetch was to give the target."""


class Journal(Protocol):
    """Intents by target. Safe to share between threads; each verb is atomic.

    When a verb of a durable journal returns Success, the effect has reached the disk.
    """

    def begin(self, intent: Intent) -> Result[None, StoreUnavailable]:
        """Records the intent. It replaces an earlier one of the same target."""
        ...

    def note(self, target: str, notes: Mapping[str, object]) -> Result[None, StoreUnavailable]:
        """Replaces the notes of the target's intent. Without an intent nothing is written."""
        ...

    def settle(self, target: str) -> Result[None, StoreUnavailable]:
        """Removes the target's intent: the operation has ended. A target without one is not a failure."""
        ...

    def pending(self, target: str) -> Result[Intent | None, StoreUnavailable]:
        """Returns the intent whose target or destination this is, or None."""
        ...

    def list(self) -> Iterator[Intent]:
        """Iterates over all intents, ordered by target.

        Nothing is read before the first step. Changes made during the iteration may or may not be seen. Raises
        StoreUnavailable.
        """
        ...


class NullJournal:
    """No journal: for a program that does not recover interrupted operations."""

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
