"""Whatever the catalog itself gives of an image: the way that is always open."""

from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from returns.result import Failure, Result

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.stream.sources import ResumePoint, Source, source_from
from lading.domain.cost import Cost
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unconfigured, Unsupported
from lading.ports.catalog import ImageCatalog, ImageData

__all__ = ["DownloadHandler", "DownloadHandlerSettings"]

# Answered before the target is looked at: a local copy is not to be taken for what lies at the location.
_NOT_A_LOCATION: Final = Unsupported("reads from the catalog, not from a location")


@dataclass(frozen=True, slots=True)
class DownloadHandlerSettings:
    """Nothing to set."""


class DownloadHandler(SourceHandler):
    """Reads the image's data from the catalog.

    Being location-independent it is offered every location too, and declines: its turn is the last, so that it is the
    fallback wherever it stands in the configured order.
    """

    name = "download"
    schemes: frozenset[str] = frozenset()
    is_local = True

    def __init__(self, catalog: ImageCatalog, files: FileDestination) -> None:
        self._catalog = catalog
        super().__init__(files)

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
            partial(self._open, work), self.name, single_flight=True, plan=lambda _: "reads from the catalog"
        )

    def _open(self, work: Work, start: ResumePoint) -> Result[Source, Refusal]:
        if work.image is None:
            return Failure(Unsupported("the request names no image"))
        if not isinstance(self._catalog, ImageData):
            return Failure(Unconfigured("this catalog gives no data"))
        size = work.image.size
        return (
            self._catalog.read(work.image, start.offset, work.context)
            .alt(lambda failure: Unavailable(str(failure)))
            .map(lambda stream: source_from(stream, size, start.offset))
        )
