"""Images to land, sources of their bytes, and what is recorded of them."""

import errno
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from returns.result import Result, Success

from lading import Association, Digest, Image, Landing, Refusal, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.stream.sources import ResumePoint, Source, StreamSource

CHUNK: Final = 64 << 10
"""Bytes that are read at a time here: the tests need several chunks, not large ones."""
DATA = b"\xeb\x63\x90" + os.urandom(3 * CHUNK) + bytes(CHUNK) + os.urandom(1000)


def image_of(data: bytes, **described: object) -> Image:
    known = Image("id", size=len(data), disk_format="raw", digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    return replace(known, **described)  # type: ignore[arg-type]  # fields by name


Opener = Callable[[ResumePoint], Result[Source, Refusal]]


def associated(target: Path, landing: Landing, image: Image | None) -> Association:
    return landing.recorded_in(Association(str(target), "file", image, None, datetime.now(UTC)))


def unopened(_: ResumePoint) -> Result[Source, Refusal]:
    raise AssertionError("the source must not be opened")


class Broken(io.RawIOBase):
    """Gives some bytes, then fails."""

    def __init__(self, good: int) -> None:
        self._good = good

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is wider
        if self._good <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "s3cret")
        count = min(self._good, len(buffer), 4096)
        self._good -= count
        return count


def landed(destination: FileDestination, target: Path) -> Association:
    source = StreamSource(io.BytesIO(DATA), len(DATA))
    image = image_of(DATA)
    return associated(
        target,
        destination.fetch(Work(str(target), image), SourceOpener(lambda _: Success(source), "copy")).unwrap(),
        image,
    )
