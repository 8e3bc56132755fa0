"""What handlers have in common whose targets are files of this host."""

from contextlib import suppress

from returns.result import Failure, Result, Success

from lading.adapters.transfer.http import HttpOptions, Origin
from lading.adapters.transfer.mirrors import Mirrors
from lading.adapters.transfer.partial import Start
from lading.adapters.transfer.pipeline import SourceBroken
from lading.adapters.transfer.remote import RemoteSource
from lading.adapters.transfer.transfer import Transfer
from lading.domain.handler import Kept, Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unsupported
from lading.ports.location import Location

__all__ = ["LandingHandler", "RemoteHandler"]


class LandingHandler:
    """What becomes of a file that was landed is the transfer's affair, wherever it came from."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self._transfer.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return self._transfer.move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | Kept, Refusal]:
        return self._transfer.recover(work, keep=keep)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self._transfer.verify(work)


class RemoteHandler(LandingHandler):
    """Reads from servers by HTTP.

    The image's other locations that it takes are mirrors of the one at hand: where one breaks off or stalls, the next
    goes on. A guard among the options looks at every address that is about to be connected to.
    """

    name: str
    schemes: frozenset[str]

    def __init__(
        self, options: HttpOptions, transfer: Transfer, *, connections: int = 4, first_wait: float = 0.5
    ) -> None:
        """`connections` are the most at a time for one image; `first_wait`, in seconds, is that of a second try."""
        super().__init__(transfer)
        self._options = options
        self._connections = connections
        self._first_wait = first_wait

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return self._transfer.land(work, self.name, lambda start: self._open(work, start), once=True)

    def foresee(self, work: Work) -> Result[str, Refusal]:
        return self._transfer.foresee(
            work, lambda start: self._open(work, start), lambda size: f"downloads {size or 'some'} bytes"
        )

    def _open(self, work: Work, start: Start) -> Result[RemoteSource, Refusal]:
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        promised = work.image.size if work.image else None
        return self._mirrors(work, work.location).bind(
            lambda mirrors: self._opened(RemoteSource(mirrors, promised, connections=self._connections), start)
        )

    def _opened(self, source: RemoteSource, start: Start) -> Result[RemoteSource, Refusal]:
        try:
            source.open(start)
        except SourceBroken as broken:
            source.close()
            return Failure(Unavailable(self._words(broken)))
        return Success(source)

    def _mirrors(self, work: Work, first: Location) -> Result[Mirrors, Refusal]:
        """The location at hand, and the image's others that can be read."""
        try:
            origins = [self._origin(first)]
        except ValueError as error:
            return Failure(Unsupported(str(error)))
        for location in work.image.locations if work.image else ():
            if location.scheme in self.schemes and location != first:
                with suppress(ValueError):  # its own turn will tell
                    origins.append(self._origin(location))
        return Success(Mirrors(origins, self._options, first_wait=self._first_wait))

    def _origin(self, location: Location) -> Origin:
        """Where to ask for it. Raises ValueError, in words without credentials."""
        return Origin.of(location.url)

    def _words(self, broken: SourceBroken) -> str:
        return str(broken)
