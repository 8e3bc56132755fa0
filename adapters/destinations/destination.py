"""The protocol of destinations, which own all that is true of a kind of target."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from returns.result import Result

from lading.adapters.codec.sizes import size_text
from lading.adapters.stream.sources import ResumePoint, Source
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Refusal

__all__ = ["Destination", "SourceOpener"]


@dataclass(frozen=True, slots=True)
class SourceOpener:
    """A handler's way to open an image's bytes."""

    open: Callable[[ResumePoint], Result[Source, Refusal]]
    """Opens the source at the resume point, or at its beginning where the origin has other bytes by now."""
    method: str = "copy"
    """The method that the association records."""
    single_flight: bool = False
    """True for remote bytes: only one process of this host reads an image at a time, and the others copy from it."""
    plan: Callable[[str], str] = "copies {}".format
    """Returns the text of a preview. Takes the size in words: `3.5 GiB`."""
    probe: Callable[[], Result[Source, Refusal]] | None = None
    """Opens a source that is enough for a preview; None: `open` does."""

    def plan_text(self, size: int | None) -> str:
        """The text of a preview, for so many bytes; None: their number is not known."""
        return self.plan("an unknown number of bytes" if size is None else size_text(size))


class Destination(Protocol):
    """Everything that is true of a kind of target, whichever handler brings the image."""

    def fetch(self, work: Work, opener: SourceOpener) -> Result[Landing, Refusal]:
        """Brings the opener's bytes to `work.target`: whole and verified, or not at all. See `Handler.fetch`."""
        ...

    def preview(self, work: Work, opener: SourceOpener) -> Result[str, Refusal]:
        """Describes what `fetch` would do, or returns the refusal that it would return. Changes nothing."""
        ...

    def remove(self, work: Work) -> Result[None, Refusal]:
        """See `Handler.remove`."""
        ...

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """See `Handler.move`."""
        ...

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        """See `SupportsRecovery`."""
        ...

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """See `SupportsVerification`."""
        ...

    def report(self, work: Work) -> Result[Report, Refusal]:
        """See `SupportsReport`."""
        ...
