"""How a request ends when it doesn't succeed."""

from dataclasses import dataclass
from typing import Final

from lading.domain.refusals import Refusal, Scope, Unsupported
from lading.ports.failures import CatalogFailure, LadingError, StoreUnavailable
from lading.ports.journal import Verb
from lading.ports.location import Location

__all__ = [
    "AttemptResult",
    "FetchFailure",
    "HandlerNotLoaded",
    "HandlerRefused",
    "NoHandlerAvailable",
    "NotAssociated",
    "TargetFailure",
    "TargetUnresolved",
]


_MOST_TOLD: Final = 20
"""Attempts in one message to a person, of an image that has thousands of locations."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """An attempt that was made, and how it ended."""

    handler: str
    location: Location | None
    refusal: Refusal | None = None
    """None when it handled."""

    def __str__(self) -> str:
        where = "" if self.location is None else f" {self.location}"
        return f"{self.handler}{where}: {self.refusal.reason if self.refusal else 'done'}"


@dataclass(eq=False)
class NoHandlerAvailable(LadingError):
    """Nothing handled the request."""

    image_id: str | None
    target: str
    attempts: tuple[AttemptResult, ...]
    """Every attempt in order, with its reason."""

    def __str__(self) -> str:
        what = f"image {self.image_id}" if self.image_id else "a request that names no image"
        what += f" for {self.target}" if self.target else " for no target"
        if not self.attempts:
            return f"no handler took {what}: none takes any of its locations, none goes without"
        # That one who goes without a location has no use for each of them is no news.
        independent = {tried.handler for tried in self.attempts if tried.location is None}
        telling = [
            tried
            for tried in self.attempts
            if tried.location is None or tried.handler not in independent or not isinstance(tried.refusal, Unsupported)
        ]
        more = f"; and {len(telling) - _MOST_TOLD} more" if len(telling) > _MOST_TOLD else ""
        return f"no handler took {what}: {'; '.join(map(str, telling[:_MOST_TOLD]))}{more}"

    @property
    def decisive(self) -> Refusal | None:
        """The refusal that ruled out everything else, if one did."""
        last = self.attempts[-1].refusal if self.attempts else None
        return last if last is not None and last.scope is Scope.REQUEST else None


@dataclass(eq=False)
class NotAssociated(LadingError):
    """Nothing is recorded for the target."""

    target: str

    def __str__(self) -> str:
        return f"nothing is recorded for {self.target or 'a blank target'}"


@dataclass(eq=False)
class HandlerNotLoaded(LadingError):
    """The handler that the target is associated with isn't among those loaded."""

    target: str
    handler: str
    loaded: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.target} was put there by the handler {self.handler!r}, which is not loaded "
            f"(loaded: {', '.join(self.loaded) or 'none'})"
        )


@dataclass(eq=False)
class HandlerRefused(LadingError):
    """The associated handler would not remove or move the target."""

    target: str
    handler: str
    refusal: Refusal

    def __str__(self) -> str:
        return f"{self.target}: {self.handler}: {self.refusal.reason}"


@dataclass(eq=False)
class TargetUnresolved(LadingError):
    """An interrupted operation on the target can't be resolved, or not now: nothing new begins before it is."""

    target: str
    """That of the interrupted operation."""
    verb: Verb
    destination: str | None
    """Where a move was to end."""
    reason: str

    def __str__(self) -> str:
        where = f" to {self.destination}" if self.destination else ""
        return f"nothing was begun: the interrupted {self.verb} of {self.target}{where} is unresolved: {self.reason}"


FetchFailure = NoHandlerAvailable | TargetUnresolved | CatalogFailure | StoreUnavailable
"""How a fetch fails."""
TargetFailure = NotAssociated | HandlerNotLoaded | HandlerRefused | TargetUnresolved | StoreUnavailable
"""How a remove or a move fails."""
