"""The handler that downloads images from the catalog itself."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from returns.result import Failure, Result, Success

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.stream.sources import ResumePoint, Source, source_from
from lading.domain.cost import Cost
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unconfigured, Unsupported
from lading.ports.catalog import ImageCatalog, ImageData
from lading.ports.failures import NoImageData

__all__ = ["DownloadHandler", "DownloadHandlerSettings"]

# Refused before the target is checked: else a local copy would be recorded as the bytes at the location.
_NOT_A_LOCATION: Final = Unsupported("reads from the catalog, not from a location")


@dataclass(frozen=True, slots=True)
class DownloadHandlerSettings:
    """There are no settings."""


class DownloadHandler(SourceHandler):
    """Reads the image's data from the catalog.

    It is location-independent, so it is tried with every location too. It refuses those, so that its turn is the last:
    it is the fallback at any place in the configured order.
    """

    name = "download"
    schemes: frozenset[str] = frozenset()
    is_local = True

    def __init__(self, catalog: ImageCatalog, files: FileDestination) -> None:
        super().__init__(files)
        self._catalog = catalog
        self._verifies = files.rules.verify

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        return cls(setup.catalog, setup.files)

    def cost(self, target: str) -> Cost:
        return Cost.DOWNLOAD

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return Failure(_NOT_A_LOCATION) if work.location is not None else super().fetch(work)

    def preview(self, work: Work) -> Result[str, Refusal]:
        return Failure(_NOT_A_LOCATION) if work.location is not None else super().preview(work)

    def opener(self, work: Work) -> SourceOpener:
        return SourceOpener(
            partial(self._open, work), self.name, single_flight=True, plan="reads from the catalog".format
        )

    def _open(self, work: Work, start: ResumePoint) -> Result[Source, Refusal]:
        if work.image is None:
            return Failure(Unsupported("the request names no image"))
        if not isinstance(self._catalog, ImageData):
            return Failure(Unconfigured("this catalog gives no data"))
        # With a digest, the catalog may combine bytes of several answers.
        image = work.image if self._verifies else replace(work.image, digest=None, checksum=None)
        match self._catalog.read(image, start.offset, work.context):
            case Failure(NoImageData() as failure):
                return Failure(Unsupported(str(failure)))
            case Failure(failure):
                return Failure(Unavailable(str(failure)))
            case stream:
                return Success(source_from(stream.unwrap(), image.size, start.offset))
