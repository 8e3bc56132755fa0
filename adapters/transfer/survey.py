"""Reading a file once to learn all that a catalog wants to know of it."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from lading.adapters.transfer import pipeline
from lading.adapters.transfer.audit import pieces
from lading.adapters.transfer.inspection import Inspection
from lading.adapters.transfer.pipeline import Chunk
from lading.adapters.transfer.sources import FileSource
from lading.ports.image import Digest

__all__ = ["Survey", "survey"]


class Survey(NamedTuple):
    """What a file turned out to be."""

    size: int
    digest: Digest
    formats: frozenset[str]
    """As `Inspection.formats` gives them."""


def survey(source: FileSource, algorithm: str, read: Callable[[int], None]) -> Survey:
    """Hash and inspect the whole file; `read` is told the bytes read so far.

    Raises SourceBroken when it can't be read to its end.
    """
    hashed = hashlib.new(algorithm, usedforsecurity=False)
    inspection = Inspection()

    def take(chunk: Chunk) -> None:
        for piece in pieces(chunk):
            hashed.update(piece)
            if not inspection.is_decided:
                inspection.feed(bytes(piece))

    size = pipeline.run(source, (take,), read)
    return Survey(size, Digest(algorithm, hashed.hexdigest()), inspection.formats())
