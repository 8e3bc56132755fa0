"""The failures of requests."""

from dataclasses import dataclass, replace
from typing import Final

from lading.domain.refusals import (
    Faulted,
    Mismatched,
    Refusal,
    Scope,
    Unavailable,
    Unconfigured,
    Unsettled,
    Unsupported,
)
from lading.ports.association import State
from lading.ports.failures import CatalogFailure, Explanation, LadingError, StoreUnavailable
from lading.ports.journal import Verb
from lading.ports.location import Location

__all__ = [
    "AmbiguousDigest",
    "AttemptResult",
    "FetchFailure",
    "HandlerNotLoaded",
    "HandlerRefused",
    "NoHandlerAvailable",
    "NotAssociated",
    "NotHeld",
    "TargetFailure",
    "TargetUnresolved",
]


_MOST_SHOWN: Final = 20
"""Attempts in one message; an image may have thousands of locations."""
_BY_WEIGHT: Final = (Mismatched, Unavailable, Faulted, Unconfigured, Unsettled, Unsupported)
"""The refusals of one attempt, from the one that came closest to a success."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt."""

    handler: str
    location: Location | None
    refusal: Refusal | None = None
    """None when the attempt succeeded."""

    def __str__(self) -> str:
        where = "" if self.location is None else f" {self.location}"
        return f"{self.handler}{where}: {self.refusal or 'done'}"


@dataclass(eq=False)
class NoHandlerAvailable(LadingError):
    """All attempts of a fetch were refused."""

    image_id: str | None
    target: str
    attempts: tuple[AttemptResult, ...]
    """All attempts in order, each with its refusal."""

    def __str__(self) -> str:
        what = f"image {self.image_id}" if self.image_id else "a request that names no image"
        what += f" for {self.target}" if self.target else " for no target"
        if not self.attempts:
            return f"no handler took {what}: none takes any of its locations, none works without a location"
        # A location-independent handler refuses each location; only its refusal without one is of interest.
        independent = {each.handler for each in self.attempts if each.location is None}
        shown = [
            each
            for each in self.attempts
            if each.location is None or each.handler not in independent or not isinstance(each.refusal, Unsupported)
        ]
        more = f"; and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
        return f"no handler took {what}: {'; '.join(map(str, shown[:_MOST_SHOWN]))}{more}"

    @property
    def decisive(self) -> Refusal | None:
        """The refusal that says most about why it failed: see `decisive_attempt`."""
        return self.decisive_attempt.refusal if self.decisive_attempt else None

    @property
    def decisive_attempt(self) -> AttemptResult | None:
        """The attempt that stopped the request; else the first of those that came closest. None without attempts."""
        if self.attempts and (last := self.attempts[-1]).refusal and last.refusal.scope is Scope.REQUEST:
            return last
        return next((each for kind in _BY_WEIGHT for each in self.attempts if isinstance(each.refusal, kind)), None)

    @property
    def explanation(self) -> Explanation:
        attempt = self.decisive_attempt
        if attempt is None or attempt.refusal is None:
            what = f"the image {self.image_id}" if self.image_id else "a request that names no image"
            return Explanation(f"no handler takes a location of {what}")
        refusal = attempt.refusal
        if refusal.scope is Scope.REQUEST:  # it is about the target
            return refusal
        place = f"{attempt.location or ''} (handler {attempt.handler})".strip()
        return replace(refusal, place=f"{place}: {refusal.place}" if refusal.place else place)


@dataclass(eq=False)
class NotAssociated(LadingError):
    """The target has no association."""

    target: str

    def __str__(self) -> str:
        return f"nothing is recorded for {self.target or 'a blank target'}"


@dataclass(eq=False)
class NotHeld(LadingError):
    """No recorded target holds the image."""

    reference: str
    """The image as it was named."""

    def __str__(self) -> str:
        return f"no recorded target holds the image {self.reference!r}"


@dataclass(eq=False)
class AmbiguousDigest(LadingError):
    """Several recorded digests begin like this one."""

    reference: str
    digests: tuple[str, ...]
    """Two of them."""

    def __str__(self) -> str:
        return f"several digests begin with {self.reference}, give more of its digits: {', '.join(self.digests)}, …"


@dataclass(eq=False)
class HandlerNotLoaded(LadingError):
    """The associated handler is not loaded."""

    target: str
    handler: str
    loaded: tuple[str, ...]
    """The names of the loaded handlers."""

    def __str__(self) -> str:
        return (
            f"{self.target} was put there by the handler {self.handler!r}, which is not loaded "
            f"(loaded: {', '.join(self.loaded) or 'none'})"
        )


@dataclass(eq=False)
class HandlerRefused(LadingError):
    """The associated handler refused to remove, move or verify the target."""

    target: str
    handler: str
    refusal: Refusal
    state: State | None = None
    """CHANGED or MISSING where a verification found that; else None."""

    def __str__(self) -> str:
        return f"{self.target}: {self.handler}: {self.refusal}"

    @property
    def explanation(self) -> Explanation:
        refusal = self.refusal
        if self.target in refusal.reason or " /" in f" {refusal.reason}":  # it names a path itself
            return refusal
        return replace(refusal, reason=f"{self.target}: {refusal.reason}")


@dataclass(eq=False)
class TargetUnresolved(LadingError):
    """An interrupted operation on the target cannot be resolved now. Nothing new begins on the target."""

    target: str
    """The target of the interrupted operation."""
    verb: Verb
    destination: str | None
    """The destination of an interrupted move."""
    reason: str

    def __str__(self) -> str:
        return f"{self._what}: {self.reason}"

    @property
    def explanation(self) -> Explanation:
        return Explanation(self._what, place=self.reason)

    @property
    def _what(self) -> str:
        where = f" to {self.destination}" if self.destination else ""
        return f"nothing was begun: the interrupted {self.verb} of {self.target}{where} is unresolved"


FetchFailure = NoHandlerAvailable | TargetUnresolved | CatalogFailure | StoreUnavailable
"""The failures of a fetch."""
TargetFailure = NotAssociated | HandlerNotLoaded | HandlerRefused | TargetUnresolved | StoreUnavailable
"""The failures of operations on a recorded target: remove, move, verify, forget, report."""
