"""Images on web servers, mirrors of each other where there are several."""

import ssl
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Self

from returns.result import Failure, Result, Success

from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.settings import HttpHandlerSettings, read_table
from lading.adapters.transfer.guard import Guard
from lading.adapters.transfer.http import HttpOptions, Origin
from lading.adapters.transfer.mirrors import Mirrors
from lading.adapters.transfer.partial import Start
from lading.adapters.transfer.pipeline import SourceBroken
from lading.adapters.transfer.remote import RemoteSource
from lading.adapters.transfer.transfer import Transfer
from lading.domain.cost import Cost
from lading.domain.handler import Kept, Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unsupported
from lading.ports.location import Location

__all__ = ["HttpHandler"]


class HttpHandler:
    """Takes `http://` and `https://`: plain and signed URLs, credentials in the URL, TLS verified.

    The image's other http locations are its mirrors: where one breaks off or stalls, the next goes on. A guard
    among the options, which settings always give, looks at every address that is about to be connected to.
    """

    name = "http"
    schemes = frozenset({"http", "https"})
    is_local = True

    def __init__(
        self, options: HttpOptions, transfer: Transfer, *, connections: int = 4, first_wait: float = 0.5
    ) -> None:
        self._options = options
        self._transfer = transfer
        self._connections = connections
        self._first_wait = first_wait

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        if find_spec("tenacity") is None:  # better now, in words, than at the first broken connection
            raise ModuleNotFoundError("tenacity is not installed: pip install 'lading[http]'")
        settings = read_table(HttpHandlerSettings, setup.settings, "handlers.http")
        tls = ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else None
        guard = Guard.of(
            settings.allowed_schemes, settings.allowed_ports, settings.allowed_hosts, settings.allowed_networks
        )
        options = HttpOptions(settings.connect_seconds, settings.stall_seconds, tls, guard)
        return cls(options, setup.transfer, connections=settings.connections)

    def cost(self, target: str) -> Cost:
        return Cost.HTTP

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return self._transfer.land(work, self.name, lambda start: self._open(work, start), once=True)

    def foresee(self, work: Work) -> Result[str, Refusal]:
        return self._transfer.foresee(
            work, lambda start: self._open(work, start), lambda size: f"downloads {size or 'some'} bytes"
        )

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self._transfer.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return self._transfer.move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | Kept, Refusal]:
        return self._transfer.recover(work, keep=keep)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self._transfer.verify(work)

    def _open(self, work: Work, start: Start) -> Result[RemoteSource, Refusal]:
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        promised = work.image.size if work.image else None
        try:
            mirrors = Mirrors(self._origins(work, work.location), self._options, first_wait=self._first_wait)
        except ValueError as error:
            return Failure(Unsupported(str(error)))
        source = RemoteSource(mirrors, promised, connections=self._connections)
        try:
            source.open(start)
        except SourceBroken as broken:
            source.close()
            return Failure(Unavailable(str(broken)))
        return Success(source)

    def _origins(self, work: Work, first: Location) -> Sequence[Origin]:
        """The location at hand, and the image's others that can be read. Raises ValueError when it is none itself."""
        origins = [Origin.of(first.url)]
        for location in work.image.locations if work.image else ():
            if location.scheme in self.schemes and location != first:
                try:
                    origins.append(Origin.of(location.url))
                except ValueError:
                    continue  # its own turn will tell
        return origins
