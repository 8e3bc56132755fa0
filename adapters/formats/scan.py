"""A scan: one reading of a file for all that a catalog records of it."""

from collections.abc import Callable
from typing import NamedTuple

from lading.adapters.formats.audit import Audit
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.formats.inspection import Inspection
from lading.adapters.formats.other_files import OtherFile
from lading.adapters.formats.unpacking.unpacked import Limits, Unpacked
from lading.adapters.stream import pipeline
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import FileSource
from lading.ports.image import Digest

__all__ = ["Content", "Scan", "content_digest", "scan", "scan_packed"]


class Content(NamedTuple):
    """The disk in a packed file."""

    size: int
    digest: Digest
    layers: tuple[str, ...]
    """The packings, from the outermost."""


class Scan(NamedTuple):
    """The properties of a file, and those of the disk in it."""

    size: int
    digest: Digest
    formats: frozenset[str]
    """Of the disk, as `Inspection.formats` gives them."""
    dangers: tuple[str, ...]
    """Of the disk, as `Inspection.dangers` gives them."""
    other_file: OtherFile | None
    """As `Inspection.other_file` gives it; None for a file that was unpacked."""
    content: Content | None = None
    """The disk in a packed file; None: the file is the disk, or was not unpacked."""


def scan_packed(
    source: FileSource, algorithm: str, read: Callable[[int], None], *, most: int, member: str | None
) -> Scan:
    """Hashes a packed file, and hashes and inspects the disk in it; `most`: its largest size in bytes.

    Raises what `scan` raises, and Refused where the file cannot be unpacked.
    """
    shipped = scan(source, algorithm, read)
    unpacked = Unpacked(source, Limits(most), member)
    inspection = Inspection(footer=True)
    audit = Audit(None, None, inspection, algorithm=algorithm)
    size = pipeline.run(unpacked, (audit.take,), read)
    assert audit.digest is not None  # noqa: S101 - an algorithm was named
    content = Content(size, audit.digest, unpacked.layers)
    return Scan(shipped.size, shipped.digest, inspection.formats(), inspection.dangers(), None, content)


def scan(source: FileSource, algorithm: str, read: Callable[[int], None]) -> Scan:
    """Hashes and inspects the whole file; calls `read` with the number of bytes read so far.

    Raises SourceBroken if the file cannot be read or changes meanwhile, and ValueError if there is no such hash.
    """
    inspection = Inspection(footer=True)
    audit = Audit(None, None, inspection, algorithm=algorithm)
    size = pipeline.run(source, (audit.take,), read)
    if change := source.change:
        raise SourceBroken(f"the file was changed while it was read: {change}")
    assert audit.digest is not None  # noqa: S101 - an algorithm was named
    return Scan(size, audit.digest, inspection.formats(), inspection.dangers(), inspection.other_file())


def content_digest(source: FileSource, read: Callable[[int], None]) -> Digest:
    """The file's digest by the fastest strong hash; calls `read` with the number of bytes read so far.

    Holes are not read, and count as zeros. Raises SourceBroken.
    """
    audit = Audit(None, None, None, algorithm=content_algorithm())
    pipeline.run(source, (audit.take,), read)
    assert audit.digest is not None  # noqa: S101 - an algorithm was named
    return audit.digest
