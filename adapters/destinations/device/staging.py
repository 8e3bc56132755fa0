"""What becomes a raw disk first: packed images and those of other formats, in files without names.

A device is not touched before the disk is complete and verified, and a crash leaves nothing.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.destinations.file.free_space import has_space, require_space
from lading.adapters.destinations.file.steps import RAW_LIKE, Found
from lading.adapters.destinations.file.unpacking import Content
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.source_audit import verdict
from lading.adapters.formats.audit import Audit, Audited, is_kept_packed
from lading.adapters.formats.conversion import qemu
from lading.adapters.formats.inspection import Inspection
from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.stream import pipeline
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.errors import Refused, system_errors, value_or_refuse
from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks
from lading.adapters.stream.sources import FileSource, Source
from lading.domain.handler import Work
from lading.domain.refusals import Unavailable, Unsupported
from lading.ports.association import Shipped
from lading.ports.observer import NullObserver, report_step

__all__ = ["Peeked", "Staged", "is_plain", "require_staging_space", "stage"]

_FOLDER: Final = "/var/tmp"  # noqa: S108 - the file has no name there
"""For large temporary files (Filesystem Hierarchy Standard, section 5.15); TMPDIR replaces it."""


class Staged(NamedTuple):
    """A raw disk in a file without a name, which is not to be closed, and where it came from."""

    source: FileSource
    audited: Audited
    """Of the image as shipped, or of the disk in it."""
    shipped: Shipped
    converted_by: str | None


class Peeked:
    """A source whose first bytes were looked at: they come again, from memory."""

    def __init__(self, source: Source) -> None:
        """Reads the first mebibyte. Raises SourceBroken."""
        self._free: Callable[[], bytearray] = _new_buffer
        self._rest = source.chunks(self._buffer)
        self._early: list[Chunk] = []
        head = bytearray()
        while len(head) < CHUNK and (chunk := next(self._rest, None)) is not None:
            self._early.append(chunk)
            head += bytes(min(chunk.length, CHUNK)) if chunk.buffer is None else chunk.view
        self.head = bytes(head[:CHUNK])
        self.start, self.validator = source.start, source.validator
        self.size, self.required_space = source.size, source.required_space

    def _buffer(self) -> bytearray:
        return self._free()

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """Can be called once."""
        self._free = free
        yield from self._early
        self._early.clear()
        yield from self._rest

    def close(self) -> None:
        """Ends the reading. The source stays open."""
        if isinstance(self._rest, Generator):
            self._rest.close()


def is_plain(work: Work, head: bytes, rules: Rules) -> bool:
    """Tells whether the image's bytes are those of a raw disk, by its first ones and by the catalog."""
    if _packing(work, head, rules) is not None:
        return False
    image = work.image
    if image is not None and image.container_format in {None, "bare"} and image.disk_format in qemu.CONVERTIBLE:
        return image.disk_format in {"raw", "iso"} and _format(head, rules) in RAW_LIKE
    return _format(head, rules) in RAW_LIKE


def stage(work: Work, source: Source, head: bytes, audit: Audit, rules: Rules, resources: ExitStack) -> Staged:
    """Unpacks and converts the image to a raw disk. `audit`: of the bytes as shipped. Raises Refused and SourceBroken.

    `resources` closes the disk's file.
    """
    with system_errors(_folder(), "written"):
        staged = _stage(work, source, head, audit, rules, resources)
    # A disk was not always made of the very bytes that were hashed.
    if isinstance(source, FileSource) and not source.is_unchanged:
        raise Refused(Unavailable("the file was changed while it was read"))
    return staged


def require_staging_space(source: Source, found: Found, rules: Rules) -> None:
    """Raises Refused where `stage` would, for lack of space, as far as the image's first bytes tell it."""
    if found.layers:
        return  # how large the disk in it is comes later
    with system_errors(_folder(), "examined"):
        if not isinstance(source, FileSource):
            _require_space(source.required_space, rules)
        elif found.format in qemu.CONVERTIBLE - RAW_LIKE and not _has_space(found.disk_size, rules):
            _require_space(qemu.required_space(qemu.open_disk(source.descriptor, found.format)), rules)


def _require_space(size: int | None, rules: Rules) -> None:
    if rules.require_space:
        require_space(size, _path())


def _has_space(size: int | None, rules: Rules) -> bool:
    return not rules.require_space or has_space(size, _path())


def _stage(work: Work, source: Source, head: bytes, audit: Audit, rules: Rules, resources: ExitStack) -> Staged:
    packed_as = _packing(work, head, rules)
    if packed_as is not None:
        file, audited, disk, layers = _unpack(work, source, packed_as, audit, rules, resources)
    else:
        file, layers = _received(work, source, audit, rules, resources), ()
        audited = disk = verdict(audit, source, file.size)
    if disk.format is None:
        raise Refused(Unsupported("its format was not inspected: [landing] inspect is false, and a device needs it"))
    found = disk.format
    shipped = Shipped(", ".join((*layers, found)), audited.size, audited.digest)
    facts = disk._replace(format="raw").proven_by(audited)
    if found in RAW_LIKE:
        return Staged(file, facts, shipped, None)
    image = qemu.open_disk(file.descriptor, found)
    rules.check_disk(image.size)
    target = _new_file(resources)
    _require_space(qemu.required_space(image), rules)
    report_step(work.observer, "converting to raw")
    qemu.convert(image, target, "raw", lambda done: work.observer.progress(done, image.size))
    return Staged(_made_of(source, target), facts, shipped, qemu.converted_by())


def _received(work: Work, source: Source, audit: Audit, rules: Rules, resources: ExitStack) -> FileSource:
    """The image as shipped, in a file."""
    if isinstance(source, FileSource):
        pipeline.run(source, (audit.take_strictly,), lambda done: work.observer.progress(done, source.size))
        return source
    target = _new_file(resources)
    _require_space(source.required_space, rules)
    FileWriter(source, target, audit, work.observer, most=rules.max_size).stream()
    return FileSource(target)


def _unpack(
    work: Work, source: Source, packed_as: str, audit: Audit, rules: Rules, resources: ExitStack
) -> tuple[FileSource, Audited, Audited, tuple[str, ...]]:
    """The disk in a packed image, what was shipped, what the disk is, and the packings."""
    audit.ignore_format()
    content = value_or_refuse(Audit.of_content(work.image, verify=rules.verify, inspect=rules.inspect))
    content.most = rules.max_disk
    target = _new_file(resources)
    unpacked: list[Unpacked] = []

    def unpack(packed: Chunks) -> None:
        check = packed.check if isinstance(packed, Branch) else None
        unpacked.append(Unpacked(packed, Limits(rules.max_disk), work.form.member, check=check))
        FileWriter(Content(unpacked[0]), target, content, NullObserver()).stream()

    def progress(done: int) -> None:
        work.observer.progress(done, source.size)

    if packed_as == "zip":  # its list of members is at its end
        if not isinstance(source, FileSource):
            raise Refused(Unsupported("a zip archive is not unpacked on its way to a device: fetch it to a file first"))
        unpack(source)
        size = pipeline.run(source, (audit.take,), progress)
    else:
        with Branch.running(unpack) as branch:
            size = pipeline.run(source, (audit.take, branch.take), progress, give_up=branch.abandon)
            branch.finish()
    audited = verdict(audit, source, size)
    file = _made_of(source, target)
    return file, audited, value_or_refuse(content.verdict(file.size)), unpacked[0].layers


def _packing(work: Work, head: bytes, rules: Rules) -> str | None:
    found = packing(head[:HEAD]) if rules.unpack else None
    return None if found is None or is_kept_packed(work.image, found) else found


def _format(head: bytes, rules: Rules) -> str:
    if not rules.inspect:
        return "raw"
    inspection = Inspection()
    inspection.feed(head)
    return inspection.disk_format()


def _made_of(source: Source, target: int) -> FileSource:
    """The file that was made of the source, as a source."""
    return FileSource(target, source.copied_from if isinstance(source, FileSource) else None)


def _folder() -> str:
    return os.environ.get("TMPDIR") or _FOLDER


def _path() -> str:
    """A path in the folder, for messages: the file itself has no name."""
    return os.path.join(_folder(), "disk")


def _new_file(resources: ExitStack) -> int:
    """A file without a name. Raises OSError."""
    return resources.enter_context(tempfile.TemporaryFile(dir=_folder(), buffering=0)).fileno()


def _new_buffer() -> bytearray:
    return bytearray(CHUNK)
