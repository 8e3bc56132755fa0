"""The values of a fetch: its request, attempts, previews and result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from returns.result import Failure, Result, Success

from lading.domain.cost import Cost
from lading.domain.failures import AttemptResult
from lading.domain.handler import Handler, Landing, Work
from lading.domain.refusals import Refusal, Unsettled
from lading.ports.context import ANONYMOUS, Context
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Image
from lading.ports.location import Location
from lading.ports.observer import NullObserver, Observer

__all__ = ["Attempt", "AttemptPreview", "FetchRequest", "FetchResult"]


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A request to fetch an image to a target.

    `image_id` is an id, a name or an href, as the catalog accepts them. Both are stripped. Without an image the
    catalog is not called; without a target nothing is looked up or recorded.
    """

    image_id: str | None = None
    target: str = ""
    context: Context = ANONYMOUS
    force: bool = False
    """Allows the fetch to replace what is at the target."""
    observer: Observer = field(default_factory=NullObserver, repr=False, compare=False)
    form: Form = AS_SHIPPED
    """The form that the target is to have."""
    even_if_in_use: bool = False
    """With `force`: allows the fetch to replace what another program has locked, as QEMU locks disks."""
    reverify: bool = False
    """Hashes the image's bytes also where their digest is known from an earlier fetch."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_id", (self.image_id or "").strip() or None)
        object.__setattr__(self, "target", (self.target or "").strip())


@final
class Attempt:
    """An attempt of one handler at one location. Nothing has been done yet; the caller settles it."""

    __slots__ = ("_record", "handler", "landing", "refusal", "work")

    def __init__(self, handler: Handler, work: Work, record: Callable[[Handler, Work, Landing], None]) -> None:
        self.handler = handler
        self.work = work
        self.landing: Landing | None = None
        self.refusal: Refusal | None = Unsettled()
        """None after a success."""
        self._record = record

    @property
    def location(self) -> Location | None:
        return self.work.location

    @property
    def result(self) -> AttemptResult:
        """The attempt as it is reported."""
        return AttemptResult(self.handler.name, self.location, self.refusal)

    def settle(self, outcome: Result[Landing | None, Refusal]) -> None:
        """Sets the outcome. A Landing is recorded; a success without one, such as a removal, ends the search.

        Raises StoreUnavailable when the Landing cannot be recorded; what landed is removed.
        """
        match outcome:
            case Success(landing):
                if landing is not None:
                    self._record(self.handler, self.work, landing)
                self.landing, self.refusal = landing, None
            case Failure(refusal):
                self.refusal = refusal

    def __repr__(self) -> str:
        return f"Attempt({self.result})"


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result of a successful fetch."""

    image: Image | None
    target: str
    handler: str
    location: Location | None
    """The location that the bytes came from."""
    landing: Landing
    attempts: tuple[AttemptResult, ...]
    """All attempts in order; the last one succeeded."""


@dataclass(frozen=True, slots=True)
class AttemptPreview:
    """An attempt that a fetch would make, with its expected outcome."""

    handler: str
    location: Location | None
    cost: Cost | None
    """None where the handler reports none."""
    outcome: Result[str, Refusal]
    """The way of transfer, or the expected refusal. Without credentials."""

    @property
    def would(self) -> bool:
        """True when the attempt is expected to succeed. A fetch ends with the first such attempt."""
        return isinstance(self.outcome, Success)

    @property
    def reason(self) -> str:
        """The way of transfer, or the reason of the refusal."""
        return str(self.outcome.failure()) if isinstance(self.outcome, Failure) else self.outcome.unwrap()

    @property
    def result(self) -> AttemptResult:
        """The expected result of the attempt."""
        refusal = self.outcome.failure() if isinstance(self.outcome, Failure) else None
        return AttemptResult(self.handler, self.location, refusal)
