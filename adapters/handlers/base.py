"""The bases of the built-in handlers: a handler opens a source, and a destination does all the rest."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace

from returns.result import Result
from typing_extensions import override

from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.destination import Destination, SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.domain.cost import Cost
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Refusal
from lading.ports.association import Association

__all__ = ["SourceHandler", "StorageHandler"]


class SourceHandler:
    """A handler that reads images; the target's destination does all the rest.

    A subclass has a `name`, `schemes`, `is_local`, and an `opener`.
    """

    takes_forms = True

    def __init__(self, files: FileDestination) -> None:
        """`files` is the destination of targets that are files of this host, and has that of block devices."""
        self._files = files

    @abstractmethod
    def opener(self, work: Work) -> SourceOpener:
        """The opener of this work's image."""

    def destination(self, target: str) -> Destination:
        """The destination of the target, chosen by its form."""
        return self._files.devices if self._files.devices.takes(target) else self._files

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return self.destination(work.target).fetch(work, self.opener(work))

    def preview(self, work: Work) -> Result[str, Refusal]:
        return self.destination(work.target).preview(work, self.opener(work))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self.destination(work.target).remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        # Nothing is moved to a device either: its own destination says so.
        ends = (self.destination(work.target), self.destination(destination))
        devices = self._files.devices
        return (devices if devices in ends else ends[0]).move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        return self.destination(work.target).recover(work, keep=keep)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self.destination(work.target).verify(work)

    def report(self, work: Work) -> Result[Report, Refusal]:
        return self.destination(work.target).report(work)


class StorageHandler(SourceHandler):
    """A handler of storage that clones its images: a target is a clone there, or a file of this host.

    Images that were registered in place, as Nova's snapshots are, may have the size 0 and no digest in the catalog:
    their size is not known.
    """

    is_local = False

    def __init__(self, files: FileDestination, clones: CloneDestination) -> None:
        super().__init__(files)
        self._clones = clones

    @override
    def destination(self, target: str) -> Destination:
        return self._clones if self._clones.takes(target) else super().destination(target)

    def cost(self, target: str) -> Cost:
        return Cost.CLONE if self._clones.takes(target) else Cost.STORAGE_NETWORK

    def prepare(self, associations: Iterable[Association]) -> None:
        """Attaches again what a restart of this host has detached, where the storage attaches its clones."""
        self._clones.prepare(associations)

    @override
    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return super().fetch(_with_known_size(work))

    @override
    def preview(self, work: Work) -> Result[str, Refusal]:
        return super().preview(_with_known_size(work))

    @override
    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        return super().recover(_with_known_size(work), keep=keep)


def _with_known_size(work: Work) -> Work:
    image = work.image
    if image is None or image.size != 0 or image.expected_digest is not None:
        return work
    return replace(work, image=replace(image, size=None))
