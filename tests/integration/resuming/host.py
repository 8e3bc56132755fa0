"""A host with a database, a folder of targets, and a server that breaks off."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from returns.result import Result, Success
from tests.faulty_server import CUT, FaultyServer, Reply

from lading import (
    Context,
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Image,
    Location,
    NoHandlerAvailable,
    Unavailable,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.destinations.file.partial import part_path
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream
from lading.domain.failures import FetchFailure
from lading.ports.catalog import ByteStream
from lading.ports.failures import CatalogFailure, CatalogUnavailable
from lading.ports.observer import NullObserver, Observer

MEBIBYTE = 1 << 20
DATA = os.urandom(3 * MEBIBYTE + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))
PROMISING_NOTHING = replace(IMAGE, digest=None)
WHOLE = Reply(DATA)
GONE = Reply(b"", status=404)
KEPT = 2 * MEBIBYTE
BREAKING_OFF = Reply(DATA, after=KEPT + 5, then=CUT)
ON_FROM_THERE = f"bytes={KEPT}-"


class ServedCatalog(MemoryCatalog):
    """Gives the image's data from a server, as Glance does."""

    def __init__(self, image: Image, url: str) -> None:
        super().__init__([image])
        self._url = url

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        stream = RemoteStream(Mirrors([Origin(self._url)], HttpOptions(), first_wait=0.001), offset)
        try:
            stream.open()
        except SourceBroken as broken:
            return Result.from_failure(CatalogUnavailable(str(broken)))
        return Success(stream)


@dataclass
class Host:
    """A host: its database, its folder of targets, a server that has the image; each fetch is by a new process."""

    folder: Path
    server: FaultyServer
    database: Database
    url: str
    image: Image = IMAGE
    handler: str = "http"
    rules: Rules = field(default_factory=Rules)
    seen: int = 0
    """Requests that `asked` has told of."""

    def __post_init__(self) -> None:
        self.journal, self.associations = FileJournal(self.database), FileAssociations(self.database)

    @property
    def target(self) -> Path:
        return self.folder / "vm"

    @property
    def part(self) -> Path:
        return Path(part_path(str(self.target)))

    @property
    def transfer(self) -> FileDestination:
        return FileDestination(
            MemoryVerifiedFiles(),
            self.rules,
            journal=self.journal,
            locks=MemoryLocks(),
            associations=self.associations,
        )

    @property
    def http(self) -> HttpHandler:
        return HttpHandler(HttpOptions(5, 5), self.transfer, connections=1, first_wait=0.001)

    @property
    def dispatcher(self) -> Dispatcher:
        image = replace(self.image, locations=[Location(self.url)] if self.handler == "http" else [])
        catalog = ServedCatalog(image, self.url)
        handler = self.http if self.handler == "http" else DownloadHandler(catalog, self.transfer)
        # Loaded is the other one too: of an image without locations it is asked nothing.
        handlers = [handler, self.http] if self.handler == "download" else [handler]
        return Dispatcher(handlers, catalog, self.associations, journal=self.journal, locks=MemoryLocks())

    def fetch(
        self, target: Path | None = None, observer: Observer | None = None, *, force: bool = False
    ) -> Result[FetchResult, FetchFailure]:
        request = FetchRequest(
            self.image.id, str(target or self.target), force=force, observer=observer or NullObserver()
        )
        return self.dispatcher.fetch(request)

    def cut_off(self) -> None:
        """A fetch that the server breaks off for good, after a bit more than KEPT."""
        self.server.answer("/noble", BREAKING_OFF, GONE)
        failure = self.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        refusal = failure.attempts[-1].refusal
        assert isinstance(refusal, Unavailable)
        assert refusal.kept == KEPT
        assert self.part.stat().st_size >= KEPT
        self.server.answer("/noble", WHOLE)
        self.asked()

    def asked(self) -> list[str | None]:
        """The ranges of the requests since this was last asked."""
        requests = self.server.requests
        new, self.seen = requests[self.seen :], len(requests)
        return [each.range for each in new]

    def assert_landed(self, *, resumed: int, outcome: Result[FetchResult, FetchFailure] | None = None) -> None:
        staged = (outcome or self.fetch()).unwrap()
        assert (staged.landing.resumed, staged.landing.size) == (resumed, len(DATA))
        assert self.target.read_bytes() == DATA
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self) -> None:
        assert list(self.journal.list()) == []
        assert not os.path.lexists(self.part)


def a_changed_byte(target: Path) -> None:
    with target.open("r+b") as disk:
        disk.seek(MEBIBYTE)
        disk.write(bytes([DATA[MEBIBYTE] ^ 1]))


def a_byte_more(target: Path) -> None:
    with target.open("ab") as disk:
        disk.write(b"x")


def replaced(target: Path) -> None:
    target.rename(target.with_name("kept"))
    target.write_bytes(DATA)


def a_symlink_there(target: Path) -> None:
    target.rename(target.with_name("kept"))
    target.symlink_to("kept")
