"""An image on a server, and the http handler that fetches it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from returns.result import Result
from tests.faulty_server import Reply

from lading import Digest, Dispatcher, FetchRequest, FetchResult, Image, Landing, Location, Refusal, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions
from lading.domain.failures import FetchFailure

MEBIBYTE = 1 << 20
DATA = os.urandom(3 * MEBIBYTE + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))
BIG = DATA * 8
BIG_IMAGE = replace(IMAGE, size=len(BIG), digest=Digest("sha256", hashlib.sha256(BIG).hexdigest()))
WHOLE = Reply(DATA)


def handler(**options: float) -> HttpHandler:
    given = HttpOptions(5, options.get("stall", 5), first_byte_seconds=options.get("first_byte", 5))
    most = int(options["max_size"]) if "max_size" in options else None
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(verify=bool(options.get("verify", True)), max_size=most))
    return HttpHandler(given, transfer, connections=int(options.get("connections", 1)), first_wait=0.001)


def fetch(target: Path, *urls: str, image: Image = IMAGE, **options: float) -> Result[Landing, Refusal]:
    locations = [Location(url) for url in urls]
    return handler(**options).fetch(Work(str(target), replace(image, locations=locations), locations[0]))


def dispatch(target: Path, *urls: str, image: Image = IMAGE, **options: float) -> Result[FetchResult, FetchFailure]:
    """As a Dispatcher has it, which gives each location its turn."""
    return dispatch_by(handler(**options), target, replace(image, locations=[Location(url) for url in urls]))


def dispatch_by(handler: HttpHandler, target: Path, image: Image) -> Result[FetchResult, FetchFailure]:
    dispatcher = Dispatcher([handler], MemoryCatalog([image]), MemoryAssociations())
    return dispatcher.fetch(FetchRequest(image.id, str(target)))


NO_DIGEST = replace(IMAGE, digest=None)
HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
LENGTH = f"Content-Length: {len(DATA)}"
