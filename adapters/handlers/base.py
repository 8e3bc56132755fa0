"""What the built-in handlers are made of: a source to open, and destinations that do all the rest."""

from abc import abstractmethod

from returns.result import Result

from lading.adapters.destinations.destination import Destination, SourceOpener
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Refusal

__all__ = ["SourceHandler"]


class SourceHandler:
    """A handler that reads images; what a target is, is its destination's affair.

    A subclass has a `name`, `schemes`, `is_local`, and says how an image is read: `opener`.
    """

    def __init__(self, files: Destination) -> None:
        """`files` is the destination of targets that are files of this host."""
        self._files = files

    @abstractmethod
    def opener(self, work: Work) -> SourceOpener:
        """How the image of this work is read."""

    def destination(self, target: str) -> Destination:
        """What the target is."""
        return self._files

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return self.destination(work.target).fetch(work, self.opener(work))

    def preview(self, work: Work) -> Result[str, Refusal]:
        return self.destination(work.target).preview(work, self.opener(work))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self.destination(work.target).remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return self.destination(work.target).move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        return self.destination(work.target).recover(work, keep=keep)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self.destination(work.target).verify(work)

    def report(self, work: Work) -> Result[Report, Refusal]:
        return self.destination(work.target).report(work)
