"""The base of handlers that read from servers by HTTP."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.stream.errors import Refused, unavailable
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import ResumePoint
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteSource
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, Refusal, Unavailable, Unsupported
from lading.ports.location import Location

__all__ = ["RemoteHandler"]

_MOST_MIRRORS: Final = 8
"""The most locations that one attempt reads from. Each location has its own attempt, however many there are."""


class RemoteHandler(SourceHandler):
    """Reads from servers by HTTP.

    An attempt requests the bytes from its own location only. When that breaks off or stalls later, the attempt
    continues from the image's other locations as mirrors, if the catalog has a digest to compare the whole with. The
    last location's attempt tries the others once more, and retries for longer. A guard among the options checks every
    address before a connection is made.
    """

    name: str
    schemes: frozenset[str]

    def __init__(
        self, options: HttpOptions, files: FileDestination, *, connections: int = 4, first_wait: float = 0.5
    ) -> None:
        """`connections`: the most for one image at a time. `first_wait`: seconds before the first retry."""
        super().__init__(files)
        self._verifies = files.rules.verify
        self._options = options
        self._connections = connections
        self._first_wait = first_wait

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        reading = self._reading(work)
        destination = self.destination(work.target)
        landed = destination.fetch(work, reading.opener)
        if reading.needs_restart(landed):
            reading.digest_decides = False
            landed = destination.fetch(work, reading.opener)
        return landed.alt(reading.refusal).map(reading.landing)

    def opener(self, work: Work) -> SourceOpener:
        return self._reading(work).opener

    def mirrors(self, work: Work, location: Location) -> Mirrors:
        """The server of the location. Raises Refused."""
        try:
            origin = self.origin(location)
        except ValueError as error:
            raise Refused(Unsupported(str(error))) from None
        return Mirrors([origin], self._options, first_wait=self._first_wait)

    def origin(self, location: Location) -> Origin:
        """The URL to request for a location. Raises ValueError; its message shows no credentials."""
        return Origin.of(location.url, trusted=location.trusted)

    def advice(self, failure: SourceBroken) -> str:
        """The advice for a failure of the server; empty where there is none."""
        return ""

    def _reading(self, work: Work) -> "_Reading":
        has_digest = work.image is not None and work.image.expected_digest is not None
        return _Reading(self, work, self._connections, digest_decides=self._verifies and has_digest)


class _Reading:
    """One request's reading of an image from its servers."""

    def __init__(self, handler: RemoteHandler, work: Work, connections: int, *, digest_decides: bool) -> None:
        """`digest_decides`: bytes of several answers may be combined, because the whole is compared with a digest."""
        self.digest_decides = digest_decides
        self._handler = handler
        self._work = work
        self._connections = connections
        self._mirrors: Mirrors | None = None
        """The servers of the last `_open`; None before that."""

    @property
    def opener(self) -> SourceOpener:
        return SourceOpener(self._open, self._handler.name, single_flight=True, plan="downloads {}".format)

    def needs_restart(self, landed: Result[Landing, Refusal]) -> bool:
        """Returns True when the bytes of a single answer may be right where combined answers failed."""
        match landed, self._mirrors:
            case Failure(Mismatched()), Mirrors() as mirrors:
                return mirrors.is_combined and mirrors.encoding is None
            case Failure(Unavailable(kept=0)), Mirrors() as mirrors:
                return mirrors.needs_restart
        return False

    def refusal(self, refusal: Refusal) -> Refusal:
        """The refusal, with a hint where the server sent a Content-Encoding."""
        if isinstance(refusal, Mismatched) and self._mirrors is not None and self._mirrors.encoding:
            return replace(refusal, advice=f"the server encoded it as {self._mirrors.encoding}, unrequested")
        return refusal

    def landing(self, landing: Landing) -> Landing:
        """The landing, with the mirror's location when most bytes came from that mirror."""
        main_url = self._mirrors.main_url if self._mirrors is not None else None
        if landing.copied_from is not None or main_url is None:
            return landing
        image, attempted = self._work.image, self._work.location
        for location in (attempted, *(image.locations if image else ())):
            with suppress(ValueError):
                if location is not None and self._handler.origin(location).url == main_url:
                    return landing if location == attempted else replace(landing, location=location)
        return landing

    def _open(self, start: ResumePoint) -> Result[RemoteSource, Refusal]:
        """Requests the bytes; from the attempt's own location only, unless it is the last one."""
        image, location = self._work.image, self._work.location
        if location is None:
            return Failure(Unsupported("this handler needs a location"))
        try:
            mirrors = self._mirrors = self._handler.mirrors(self._work, location)
        except Refused as refused:
            return Failure(refused.refusal)
        mirrors.digest_decides = self.digest_decides
        is_last = mirrors.retries = self._is_last(location)
        if is_last and self.digest_decides:
            mirrors.add(self._other_origins(location))
        source = RemoteSource(mirrors, image.size if image else None, connections=self._connections)
        try:
            source.open(start)
        except SourceBroken as failure:
            source.close()
            return Failure(replace(unavailable(failure), advice=self._handler.advice(failure)))
        mirrors.retries = True
        if not is_last and self.digest_decides:
            mirrors.add(self._other_origins(location))
        return Success(source)

    def _is_last(self, location: Location) -> bool:
        """Returns True for the last of the image's locations that the handler takes."""
        taken = self._taken_locations()
        return not taken or taken[-1] == location

    def _other_origins(self, location: Location) -> list[Origin]:
        """The other locations as mirrors, the first few."""
        others: list[Origin] = []
        for other in self._taken_locations():
            if len(others) == _MOST_MIRRORS - 1:
                break
            if other != location:
                with suppress(ValueError):  # its own attempt is refused with the reason
                    others.append(self._handler.origin(other))
        return others

    def _taken_locations(self) -> list[Location]:
        image = self._work.image
        return [each for each in image.locations if each.scheme in self._handler.schemes] if image else []
