"""Detection of the disk format from the bytes alone, and of what makes it unsafe to open."""

from functools import cache
from typing import Final

from lading.adapters.formats.inspector import Inspector
from lading.adapters.formats.other_files import PACKED, OtherFile, other_file
from lading.adapters.formats.qemu_rules import NOTHING_FOUND, Findings, examine, is_fixed_vhd
from lading.adapters.host.late_package import init_late
from lading.adapters.stream.pipeline import CHUNK
from lading.domain.refusals import Mismatched

__all__ = ["Inspection", "agrees", "inspected_by", "not_a_disk", "unsafe"]

# Formats without a signature: raw bytes, maybe with a partition table.
_RAW_LIKE: Final = frozenset({"raw", "ami", "ari", "aki"})
_IN_RAW: Final = frozenset({"raw", "gpt"})
_IN_ISO: Final = frozenset({"iso", "gpt"})
# Kernels and RAM disks, which usually are compressed.
_BOOTED: Final = frozenset({"ari", "aki"})
_SECTOR: Final = 512
_BLOCK: Final = CHUNK
"""Bytes that inspectors get at a time, whatever chunks the image comes in: their findings depend on it.

VMDK's longest descriptor fits in: its inspector looks for the kind of a text descriptor in the first block only.
"""


class Inspection:
    """Inspects an image's bytes as they pass, until no inspector needs more.

    It uses oslo.utils' format_inspector, which keeps only the structures that it has captured (64 KiB each, a VMDK's
    descriptor 1 MiB), and `qemu_rules`. format_inspector is imported with the first bytes, on their thread: the import
    takes a tenth of a second.
    """

    def __init__(self, *, footer: bool = False) -> None:
        """`footer`: inspect the image's last sector too, which alone identifies a fixed VHD."""
        self._inspectors: list[Inspector] | None = None
        self._block = bytearray()
        self._findings: Findings | None = None
        self._other: OtherFile | None = None
        self._supposed: OtherFile | None = None
        self._inspectors_are_done = False
        self._waits_for_footer = footer
        self._end = b""
        self._size = 0

    @property
    def is_decided(self) -> bool:
        """No more bytes are needed."""
        return self._inspectors_are_done and not self._waits_for_footer

    @property
    def needs_only_the_footer(self) -> bool:
        """Only the last sector is missing, which `feed_end` takes."""
        return self._inspectors_are_done and self._waits_for_footer

    def suppose(self, other: OtherFile) -> None:
        """Takes the bytes for such a file where no format is recognized. Call it before the first bytes."""
        self._supposed = other

    def prepare(self) -> None:
        """Loads the inspectors before the first bytes come."""
        if self._inspectors is None:
            init_late("oslo_utils.imageutils")  # it compiles hundreds of regular expressions for other purposes
            from oslo_utils.imageutils.format_inspector import ALL_FORMATS  # noqa: PLC0415 - see the class

            self._inspectors = [Inspector(name, each()) for name, each in ALL_FORMATS.items() if name != "raw"]

    def feed(self, chunk: bytes | memoryview) -> None:
        """Takes the next bytes. Once `is_decided`, no more are needed."""
        if self._waits_for_footer:
            self._end = (self._end + bytes(chunk[-_SECTOR:]))[-_SECTOR:]
            self._size += len(chunk)
        if not self._inspectors_are_done:
            self._block += chunk
        while len(self._block) >= _BLOCK and not self._inspectors_are_done:
            block = bytes(self._block[:_BLOCK])
            del self._block[:_BLOCK]
            self._look(block)

    def feed_end(self, end: bytes, size: int) -> None:
        """Takes the last sector of the image's `size` bytes, instead of all bytes that were not fed."""
        self._end, self._size, self._waits_for_footer = end, size, False

    def formats(self) -> frozenset[str]:
        """The names of the formats, after the last byte; `raw` where no format is recognized.

        There are several where structures of several formats are found, as in a bootable ISO.
        """
        found = self._structures()
        if not found and self._other is not None:
            return frozenset({self._other.name})
        return frozenset(found or {"raw"})

    def disk_format(self) -> str:
        """The one name of the formats, after the last byte: `raw` also for a partition table, `iso` with or without."""
        found = self.formats() - {"gpt"} or {"raw"}
        return next(iter(found)) if len(found) == 1 else "raw"

    def other_file(self) -> OtherFile | None:
        """The kind of a file that is not a disk image, after the last byte; None: it is one."""
        return None if self._structures() else self._other

    def virtual_size(self, size: int) -> int | None:
        """Bytes of the disk in this image of `size` bytes, as its header tells them, after the last byte.

        None where it does not. QEMU may tell another size: a VHD's is rounded there, by its geometry.
        """
        found = self._structures() - {"gpt", "iso"}
        if not found:
            return size
        if is_fixed_vhd(self._end, self._size):
            return int.from_bytes(self._end[48:56], "big")
        sizes = [each.virtual_size for each in self._finished() if each.name in found and each.is_match]
        return sizes[0] if len(sizes) == 1 else None

    def dangers(self) -> tuple[str, ...]:
        """The reasons why it is unsafe to open, after the last byte; empty where it is safe.

        Unsafe is what QEMU and similar programs would act on: other files that they open (CVE-2022-47951,
        CVE-2024-32498), unknown features, and structures that are broken or truncated.
        """
        found, findings = self.formats(), self._findings or NOTHING_FOUND
        dangers = [
            f"{danger} ({each.name})"
            for each in self._finished()
            if each.is_match or each.has_failed
            for danger in each.dangers()
        ]
        if len(found) > 1 and not found <= _IN_ISO:
            dangers.append(f"{' and '.join(sorted(found))} at once")
        return (*dangers, *findings.dangers)

    def _structures(self) -> set[str]:
        """The formats whose structures are found."""
        found = {each.name for each in self._finished() if each.is_match} | (self._findings or NOTHING_FOUND).formats
        if is_fixed_vhd(self._end, self._size):
            return found - {"gpt"} | {"vhd"}  # before the footer lies a raw disk
        return found

    def _look(self, block: bytes) -> None:
        self.prepare()
        if self._findings is None:
            self._findings, self._other = examine(block), other_file(block) or self._supposed
        waiting = [each for each in self._inspectors or () if not each.is_done]
        for each in waiting:
            each.eat(block)
        self._inspectors_are_done = all(each.is_done for each in waiting)

    def _finished(self) -> list[Inspector]:
        if not self._inspectors_are_done:
            self._look(bytes(self._block))
            for each in self._inspectors or ():
                each.finish()
            self._inspectors_are_done = True
        self._waits_for_footer = False
        self._block.clear()
        return self._inspectors or []


@cache
def inspected_by() -> str:
    """Name and version of the inspector: `oslo.utils 10.2.0`."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - needed after a transfer only

    try:
        return f"oslo.utils {version('oslo.utils')}"
    except PackageNotFoundError:  # it was installed without metadata
        return "oslo.utils"


def unsafe(dangers: tuple[str, ...]) -> str:
    """The dangers as one reason.

    >>> unsafe(("Image has a backing file (qcow2)", "Image has data_file set (qcow2)"))
    'unsafe image: Image has a backing file (qcow2), Image has data_file set (qcow2)'
    """
    return f"unsafe image: {', '.join(dangers)}"


def not_a_disk(other: OtherFile) -> Mismatched:
    """The refusal of a file that is no disk image, with the remedy."""
    return Mismatched(f"not a disk image: it is {other.description}", advice=other.remedy)


def agrees(declared: str | None, found: frozenset[str]) -> bool:
    """Tells whether an image with these formats may be declared as `declared`, one of Glance's disk formats.

    The rule is Nova's after CVE-2024-40767: the declared format and nothing else, where a partition table counts as
    raw; an ISO may carry one to boot from.

    >>> agrees("raw", frozenset({"gpt"})), agrees("raw", frozenset({"qcow2"})), agrees("iso", frozenset({"iso", "gpt"}))
    (True, False, True)
    """
    if declared is None:
        return True
    if declared in _BOOTED and found <= PACKED:
        return True
    if declared in _RAW_LIKE:
        return found <= _IN_RAW
    if declared == "iso":
        return "iso" in found and found <= _IN_ISO
    if declared == "ploop":  # no inspector knows it
        return found == {"raw"}
    return found == {declared}
