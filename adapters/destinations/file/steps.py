"""The steps from an image as shipped to the form that is wanted, as far as its first bytes tell them."""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Final, NamedTuple

from lading.adapters.codec.sizes import exact_size, size_text
from lading.adapters.destinations.rules import Rules
from lading.adapters.formats.audit import is_kept_packed
from lading.adapters.formats.conversion import gpt, qemu
from lading.adapters.formats.inspection import Inspection
from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.stream.errors import Refused, device_too_small, unavailable
from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks, SourceBroken
from lading.adapters.stream.sources import FileSource, Source
from lading.domain.handler import Work
from lading.domain.refusals import Mismatched, Unsupported
from lading.ports.form import AS_SHIPPED, Form

__all__ = [
    "RAW_LIKE",
    "Found",
    "Steps",
    "check_form",
    "check_gpt",
    "format_of",
    "must_convert",
    "steps",
    "whole_sectors",
]

RAW_LIKE: Final = frozenset({"raw", "iso", "luks"})
"""The formats whose bytes are the disk's."""
_SECTOR: Final = 512
_TABLE: Final = 8192
"""Bytes at a disk's start that tell whether it has a GPT, for sectors of 512 or 4096 bytes."""


class Found(NamedTuple):
    """What the first bytes of an image tell."""

    layers: tuple[str, ...]
    format: str | None
    """None where it cannot be told from the first bytes."""
    disk_size: int | None


def format_of(form: Form, found: str) -> str:
    """The format that a target gets of an image of the format `found`."""
    return form.format or ("raw" if found in RAW_LIKE else found)


def whole_sectors(size: int) -> int:
    """The size of a disk, rounded up to sectors of 512 bytes, in which QEMU counts.

    >>> whole_sectors(1000001)
    1000448
    """
    return -(-size // _SECTOR) * _SECTOR


def must_convert(form: Form, found: str, disk_size: int | None) -> bool:
    """Tells whether such an image needs another file to get this form. Raises Refused where it cannot get it."""
    wanted = format_of(form, found)
    if form.format is None and form.size is None and not form.fix_gpt and form.preallocation is None:
        return False
    if found not in RAW_LIKE | qemu.CONVERTIBLE:
        raise Refused(Unsupported(f"an image of format {found} has no other form"))
    if wanted not in qemu.TARGETS:
        raise Refused(Unsupported(f"an image of format {wanted} has no other form: add --format raw or qcow2"))
    qemu.check_preallocation(wanted, form.preallocation or "off")
    if form.size is not None and form.size % _SECTOR:
        raise Refused(
            Unsupported(f"a disk has whole sectors of {_SECTOR} bytes, and {exact_size(form.size)} were requested")
        )
    if form.size is not None and disk_size is not None and form.size < disk_size:
        raise Refused(
            Unsupported(f"its disk has {exact_size(disk_size)}, more than the {exact_size(form.size)} requested")
        )
    return form.preallocation is not None or not (wanted == found or (wanted == "raw" and found in RAW_LIKE))


def check_form(form: Form, found: str, disk_size: int | None) -> None:
    """Raises Refused where an image of the format `found` cannot get this form here, or a tool for it is missing."""
    if must_convert(form, found, disk_size) or form.fix_gpt or (form.size is not None and found not in RAW_LIKE):
        qemu.converted_by()
    if form.fix_gpt:
        gpt.FDISK.path()


def check_gpt(form: Form, head: bytes | bytearray) -> None:
    """Raises Refused where the backup of a GPT cannot be moved: fdisk is missing, or the disk has no GPT.

    `head`: the disk's first bytes.
    """
    if not form.fill and not form.fix_gpt:
        return
    if gpt.sector_size(bytes(head[:_TABLE])) is not None:
        gpt.FDISK.path()
    elif form.fix_gpt:
        raise Refused(Mismatched("its disk has no GPT, whose backup --fix-gpt could move"))


class Steps(NamedTuple):
    """The steps from an image as shipped to its disk."""

    text: str
    """For a preview: `, unpacks xz → qcow2 of 2.2 GiB, converts qcow2 to raw`; empty where there are none."""
    found: Found
    converts: bool
    """As far as the first bytes tell it."""


def steps(work: Work, source: Source, rules: Rules, *, room: int | None = None) -> Steps:
    """The steps to the form that is wanted. Reads the source's first mebibyte, and no more.

    `room`: bytes of the largest disk that the target can hold; None: any. Raises Refused where the form cannot be had.
    """
    form = rules.form_of(work)
    converts = False
    found = _found(work, source, rules, form)
    disk = f" of {size_text(found.disk_size)}" if found.disk_size is not None else ""
    plan = [f"unpacks {' → '.join((*found.layers, found.format or 'a disk'))}{disk}"] if found.layers else []
    if found.format is None:
        if found.layers and form.format:  # the first bytes do not tell more
            plan.append(f"converts it to {form.format}")
    else:
        if not found.layers and found.disk_size not in {None, source.size}:
            plan.append(f"a {found.format} disk{disk}")
        check_form(form, found.format, found.disk_size)
        if converts := must_convert(form, found.format, found.disk_size):
            plan.append(f"converts {found.format} to {format_of(form, found.format)}")
        if found.layers or found.format not in RAW_LIKE or form.size is not None:
            rules.check_disk(max(found.disk_size or 0, form.size or 0))
    if room is not None and found.disk_size is not None and found.disk_size > room:
        raise Refused(device_too_small(work.target, found.disk_size, room))
    if form.size is not None and form.size != found.disk_size:
        plan.append(f"grows to {exact_size(form.size)}")
    return Steps("".join(f", {each}" for each in plan), found, converts)


def _found(work: Work, source: Source, rules: Rules, form: Form) -> Found:
    head = _Head(source.first_bytes(CHUNK) if isinstance(source, FileSource) else _first_bytes(source))
    packed_as = packing(head.data[:HEAD]) if rules.unpack else None
    if packed_as is None or is_kept_packed(work.image, packed_as):
        if form == AS_SHIPPED and work.image is not None and work.image.disk_format in RAW_LIKE:
            return Found((), None, None)  # and nothing is loaded that inspects
        return _inspected(head.data, source.size, (), rules, form)
    is_seekable = isinstance(source, FileSource)
    unpacked = Unpacked(source if is_seekable else head, Limits(rules.max_disk), form.member)
    try:
        data = _first_bytes(unpacked)
    except Refused:
        if is_seekable:
            raise
        return Found((packed_as,), None, None)  # its first mebibyte does not suffice
    return _inspected(data, work.image.content_size if work.image else None, unpacked.layers, rules, form)


def _inspected(data: bytes, size: int | None, layers: tuple[str, ...], rules: Rules, form: Form) -> Found:
    if not rules.inspect:
        return Found(layers, None, None)
    inspection = Inspection()
    inspection.feed(data)
    found = inspection.disk_format()
    if found in RAW_LIKE:
        check_gpt(form, data)
    if found in RAW_LIKE:
        return Found(layers, found, size)
    return Found(layers, found, inspection.virtual_size(len(data)) if found in qemu.CONVERTIBLE else None)


def _first_bytes(source: Chunks) -> bytes:
    """The source's first chunks, a mebibyte or little more; of a hole, that many zeros."""
    data = bytearray()
    chunks = source.chunks(partial(bytearray, CHUNK))
    try:
        for chunk in chunks:
            data += bytes(min(chunk.length, CHUNK)) if chunk.buffer is None else chunk.view
            if len(data) >= CHUNK:
                break
    except SourceBroken as broken:
        raise Refused(unavailable(broken)) from broken
    finally:
        if isinstance(chunks, Generator):
            chunks.close()
    return bytes(data[:CHUNK])


class _Head:
    """The first bytes of a source, as a source."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        yield Chunk(0, len(self.data), self.data)
