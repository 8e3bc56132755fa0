"""What is asked of a Dispatcher, and what it gives: requests, attempts, and images that are where they were wanted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from returns.result import Failure, Result, Success

from lading.domain.cost import Cost
from lading.domain.failures import AttemptResult
from lading.domain.handler import Handler, Landing, Work
from lading.domain.refusals import Refusal, Unsettled
from lading.ports.context import ANONYMOUS, Context
from lading.ports.image import Image
from lading.ports.location import Location
from lading.ports.observer import NullObserver, Observer

__all__ = ["Attempt", "AttemptPreview", "FetchRequest", "FetchResult"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """An image, and where it shall be.

    `image_id` is an id, a name or an href, as far as the catalog takes them. Both are stripped. Without an image the
    catalog is not asked; without a target nothing is looked up and nothing recorded.
    """

    image_id: str | None = None
    target: str = ""
    context: Context = ANONYMOUS
    force: bool = False
    """Whether what is at the target may be replaced."""
    observer: Observer = field(default_factory=NullObserver, repr=False, compare=False)
    size: int | None = None
    """Bytes that the target shall have, not fewer than the image; None: as many as the image."""
    even_if_in_use: bool = False
    """With `force`: whether it may be replaced although another program has it locked, as QEMU has disks."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_id", (self.image_id or "").strip() or None)
        object.__setattr__(self, "target", (self.target or "").strip())


@final
class Attempt:
    """One handler's turn at one location. Nothing behind it has happened yet; who drives it settles it."""

    __slots__ = ("_record", "handler", "landing", "refusal", "work")

    def __init__(self, handler: Handler, work: Work, record: Callable[[Handler, Work, Landing], None]) -> None:
        self.handler = handler
        self.work = work
        self.landing: Landing | None = None
        self.refusal: Refusal | None = Unsettled()
        """None once it is settled as handled."""
        self._record = record

    @property
    def location(self) -> Location | None:
        return self.work.location

    @property
    def tried(self) -> AttemptResult:
        """What is told of it when all is over."""
        return AttemptResult(self.handler.name, self.location, self.refusal)

    def settle(self, outcome: Result[Landing | None, Refusal]) -> None:
        """Say how it went. A Landing is recorded; a success without one (a removal, say) ends the search unrecorded.

        Raises StoreUnavailable when it can't be recorded; what landed is removed again.
        """
        match outcome:
            case Success(landing):
                if landing is not None:
                    self._record(self.handler, self.work, landing)
                self.landing, self.refusal = landing, None
            case Failure(refusal):
                self.refusal = refusal

    def __repr__(self) -> str:
        return f"Attempt({self.tried})"


@dataclass(frozen=True, slots=True)
class FetchResult:
    """An image that is where it was wanted."""

    image: Image | None
    target: str
    handler: str
    location: Location | None
    landing: Landing
    attempts: tuple[AttemptResult, ...]
    """Every attempt in order; the last one handled."""


@dataclass(frozen=True, slots=True)
class AttemptPreview:
    """An attempt that a fetch would make, and what it would come to."""

    handler: str
    location: Location | None
    cost: Cost | None
    """None where the handler does not tell."""
    outcome: Result[str, Refusal]
    """How it would be done, or the refusal that it would end in, as far as can be seen."""

    @property
    def would(self) -> bool:
        """Whether it would do. The first of all is the one that a fetch ends with."""
        return isinstance(self.outcome, Success)
