"""What handlers have in common that read from servers by HTTP."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
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
"""Locations that stand in for each other while one image is read; each has its own turn, however many there are."""


class RemoteHandler(SourceHandler):
    """Reads from servers by HTTP.

    An attempt asks for the location at hand only. Where that one breaks off or stalls later, the image's other
    locations that the handler takes are mirrors which go on, if the catalog has a digest by which the whole is compared
    in the end. The last location's attempt asks the others once more, and is patient. A guard among the options looks
    at every address that is about to be connected to.
    """

    name: str
    schemes: frozenset[str]

    def __init__(
        self, options: HttpOptions, files: FileDestination, *, connections: int = 4, first_wait: float = 0.5
    ) -> None:
        """`connections` are the most at a time for one image; `first_wait`, in seconds, is that of a second try."""
        super().__init__(files)
        self._verifies = files.rules.verify
        self._options = options
        self._connections = connections
        self._first_wait = first_wait

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        readings: list[Mirrors] = []
        landed = self._files.fetch(work, self._opener(work, readings, digest_decides=self._digest_decides(work)))
        if readings and _is_worth_starting_over(landed, readings[-1]):
            landed = self._files.fetch(work, self._opener(work, readings, digest_decides=False))
        if not readings:
            return landed
        return landed.alt(lambda refusal: _with_hint(refusal, readings[-1])).map(
            lambda landing: self._with_location(landing, work, readings[-1])
        )

    def opener(self, work: Work) -> SourceOpener:
        return self._opener(work, [], digest_decides=self._digest_decides(work))

    def _opener(self, work: Work, readings: list[Mirrors], *, digest_decides: bool) -> SourceOpener:
        """`readings` gets each way in which the image is read."""
        return SourceOpener(
            lambda resume: self._open(work, resume, readings, digest_decides=digest_decides),
            self.name,
            single_flight=True,
            plan=lambda size: f"downloads {size or 'some'} bytes",
        )

    def _with_location(self, landing: Landing, work: Work, reading: Mirrors) -> Landing:
        """The landing, with the mirror's location if most bytes came from that."""
        if landing.copied_from is not None or reading.main_url is None:
            return landing
        for location in (work.location, *(work.image.locations if work.image else ())):
            with suppress(ValueError):
                if location is not None and self._origin(location).url == reading.main_url:
                    return landing if location == work.location else replace(landing, location=location)
        return landing

    def _digest_decides(self, work: Work) -> bool:
        return self._verifies and work.image is not None and work.image.expected_digest is not None

    def _open(
        self, work: Work, start: ResumePoint, readings: list[Mirrors], *, digest_decides: bool
    ) -> Result[RemoteSource, Refusal]:
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        mirrors = self._mirrors(work, work.location)
        if isinstance(mirrors, Failure):
            return mirrors
        reading = mirrors.unwrap()
        reading.digest_decides = digest_decides
        readings.append(reading)
        return self._opened(reading, work, start)

    def _opened(self, mirrors: Mirrors, work: Work, start: ResumePoint) -> Result[RemoteSource, Refusal]:
        """Asks for the bytes, of the location at hand only while there are others whose turn is to come."""
        is_last = mirrors.is_patient = self._is_last(work)
        if is_last and mirrors.digest_decides:
            mirrors.join(self._other_origins(work))
        source = RemoteSource(mirrors, work.image.size if work.image else None, connections=self._connections)
        try:
            source.open(start)
        except SourceBroken as broken:
            source.close()
            return Failure(Unavailable(self._words(broken)))
        mirrors.is_patient = True
        if not is_last and mirrors.digest_decides:
            mirrors.join(self._other_origins(work))
        return Success(source)

    def _mirrors(self, work: Work, first: Location) -> Result[Mirrors, Refusal]:
        """The location at hand."""
        try:
            return Success(Mirrors([self._origin(first)], self._options, first_wait=self._first_wait))
        except ValueError as error:
            return Failure(Unsupported(str(error)))

    def _is_last(self, work: Work) -> bool:
        """Whether no other location of the image has its turn after this one, by this handler."""
        locations = reversed(work.image.locations) if work.image else ()
        last = next((each for each in locations if each.scheme in self.schemes), None)
        return last is None or last == work.location

    def _other_origins(self, work: Work) -> list[Origin]:
        """Where else the image can be read, of the first few locations."""
        others: list[Origin] = []
        for location in work.image.locations if work.image else ():
            if len(others) == _MOST_MIRRORS - 1:
                break
            if location.scheme in self.schemes and location != work.location:
                with suppress(ValueError):  # its own turn will tell
                    others.append(self._origin(location))
        return others

    def _origin(self, location: Location) -> Origin:
        """Where to ask for it. Raises ValueError, in words without credentials."""
        return Origin.of(location.url)

    def _words(self, broken: SourceBroken) -> str:
        return str(broken)


def _is_worth_starting_over(landed: Result[Landing, Refusal], reading: Mirrors) -> bool:
    """Whether bytes of one answer alone may do where those of several did not, or could not be put together."""
    match landed:
        case Failure(Mismatched()):
            return reading.is_pieced and reading.encoding is None
        case Failure(Unavailable(kept=0)):
            return reading.is_stuck
    return False


def _with_hint(refusal: Refusal, reading: Mirrors) -> Refusal:
    if isinstance(refusal, Mismatched) and reading.encoding:
        return replace(refusal, reason=f"{refusal.reason}; the server encoded it as {reading.encoding}, unasked")
    return refusal
