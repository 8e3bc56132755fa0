"""A host with a loop device, images in a folder, and the same images on a server."""

import hashlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from returns.result import Result
from tests.faulty_server import FaultyServer, Reply
from tests.loop_devices import LoopDevice

from lading import (
    ANONYMOUS,
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Handler,
    Image,
    Location,
    NoHandlerAvailable,
    Refusal,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions
from lading.domain.failures import FetchFailure
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.observer import NullObserver, Observer

MEBIBYTE: Final = 1 << 20
SIZE: Final = 8 * MEBIBYTE
"""Bytes of the device."""
DATA: Final = (
    random.Random(1).randbytes(2 * MEBIBYTE + 4096) + bytes(2 * MEBIBYTE) + random.Random(2).randbytes(MEBIBYTE + 17)
)
"""An image with a hole, which ends within a sector."""


def image_of(data: bytes, name: str = "noble") -> Image:
    return Image(name, size=len(data), disk_format="raw", digest=Digest("sha256", hashlib.sha256(data).hexdigest()))


@dataclass
class Host:
    """Each fetch is by a new process, as far as its objects show."""

    folder: Path
    server: FaultyServer
    device: LoopDevice
    order: tuple[str, str] = ("file", "http")
    rules: Rules = field(default_factory=Rules)
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    associations: MemoryAssociations = field(default_factory=MemoryAssociations)
    journal: MemoryJournal = field(default_factory=MemoryJournal)

    @property
    def target(self) -> str:
        return self.device.path

    @property
    def dispatcher(self) -> Dispatcher:
        files = FileDestination(
            MemoryVerifiedFiles(), self.rules, journal=self.journal, locks=MemoryLocks(), associations=self.associations
        )
        by_name: dict[str, Handler] = {
            "file": FileHandler([self.folder], files),
            "http": HttpHandler(HttpOptions(5, 5), files, connections=1, first_wait=0.001),
        }
        handlers = [by_name[each] for each in self.order]
        return Dispatcher(handlers, self.catalog, self.associations, journal=self.journal, locks=MemoryLocks())

    def add(self, data: bytes = DATA, name: str = "noble", *, image: Image | None = None) -> Image:
        """Adds an image in the folder."""
        (self.folder / name).write_bytes(data)
        return self._add(image or image_of(data, name), f"file://{self.folder}/{name}")

    def serve(self, *replies: Reply, image: Image | None = None) -> Image:
        """Adds an image on the server."""
        return self._add(image or image_of(DATA), self.server.answer("/noble", *replies))

    def locations(self) -> Sequence[Location]:
        """The locations of the image noble."""
        return self.catalog.find("noble", ANONYMOUS).unwrap().locations

    def add_locations(self) -> Sequence[Location]:
        """Adds the image in the folder. Returns its locations."""
        self.add()
        return self.locations()

    def _add(self, image: Image, url: str) -> Image:
        self.catalog.add(replace(image, locations=[Location(url)]))
        return image

    def fetch(
        self,
        name: str = "noble",
        *,
        target: str | None = None,
        force: bool = False,
        form: Form = AS_SHIPPED,
        observer: Observer | None = None,
    ) -> Result[FetchResult, FetchFailure]:
        request = FetchRequest(name, target or self.target, force=force, form=form, observer=observer or NullObserver())
        return self.dispatcher.fetch(request)

    def refusal(self, name: str = "noble", *, force: bool = False, form: Form = AS_SHIPPED) -> Refusal:
        """The refusal of a fetch."""
        failure = self.fetch(name, force=force, form=form).failure()
        assert isinstance(failure, NoHandlerAvailable)
        refusal = failure.attempts[-1].refusal
        assert refusal is not None
        return refusal

    def preview(self, name: str = "noble", *, form: Form = AS_SHIPPED) -> list[str]:
        """The texts of a preview."""
        return [str(each.outcome) for each in self.dispatcher.preview(FetchRequest(name, self.target, form=form))]

    @property
    def is_untouched(self) -> bool:
        """True when nothing is recorded or begun."""
        return not [*self.journal.list(), *self.associations.list()]


def noise(size: int) -> bytes:
    return os.urandom(size)
