"""Rules for images that oslo.utils' inspectors accept and QEMU should not open, by the first mebibyte.

These were tested: a parent's name, a second createType, a late or odd descriptor in a VMDK, and a short qcow2. QEMU 7.2
opened the other file, and oslo.utils 10.2 said "raw", or "safe". The other rules are from QEMU's sources.

A VMDK may name other files in its descriptor, a text. QEMU's block/vmdk.c reads that text up to the first zero, at most
1 MiB - 1 bytes from the descriptor's sector on, whatever size the header states. It follows the text's extents where
the header's capacity is 0, and a parentFileNameHint always. Other programs read the sectors that the header names. So
both must be harmless, and what is not known to be harmless is refused.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["NOTHING_FOUND", "Findings", "examine", "is_fixed_vhd"]

_SECTOR: Final = 512
# The inspectors need the whole first sector to recognize these. QEMU needs less: it reads zeros beyond the end.
_SIGNATURES: Final = (("qcow2", 0, b"QFI\xfb"), ("qed", 0, b"QED\0"), ("vdi", 0x40, b"\x7f\x10\xda\xbe"))
# A descriptor in a file of its own, as QEMU's vmdk_probe recognizes it: comments and blank lines, then a version.
_DESCRIPTOR: Final = re.compile(rb"(?:#[^\n]*\n|[ \t]*\r?\n)*version=[123]\r?\n")
_TEXT: Final = re.compile(rb"[\t-\r\x1c-~]+")
# The lines of a VMDK's descriptor that name no other file; VMware, "Virtual Disk Format 5.0".
_HARMLESS: Final = re.compile(
    rb'(?:#.*)?|(?:version|encoding|CID|parentCID|isNativeSnapshot) *= *"?[A-Za-z0-9_.-]*"?'
    rb'|createType="(?:monolithicSparse|streamOptimized)"|ddb\..*'
)
_EXTENT: Final = re.compile(rb"(?:rw|rdonly|noaccess)\b", re.IGNORECASE)
# The file's own extent: a name without a folder, a drive or a protocol.
_OWN_EXTENT: Final = re.compile(rb'(?:RW|RDONLY) +\d+ +SPARSE +"[^"/\\:\0-\x1f\x7f]+"')
# Dirty, corrupt, data file (which the inspector refuses), compression type, extended L2 entries; docs/interop/qcow2.txt
_KNOWN_FEATURES: Final = 0b11111
_FIXED: Final = 2
"""The VHD type whose only structure is the footer."""
_DIFFERENCING: Final = 4
"""The VHD type that names a parent, which Hyper-V opens. QEMU reads zeros instead."""


class Findings(NamedTuple):
    """The findings in the first mebibyte."""

    formats: frozenset[str]
    dangers: tuple[str, ...]


NOTHING_FOUND: Final = Findings(frozenset(), ())


def examine(head: bytes) -> Findings:
    """Checks the image's first mebibyte, or all of a shorter one.

    >>> examine(b"QFI\\xfb").dangers
    ('Its header is cut short (qcow2)',)
    """
    found = [*_cut_short(head), *_qcow2(head), *_vmdk(head), *_vhd(head), *_luks(head)]
    return Findings(frozenset(name for name, _ in found), tuple(f"{danger} ({name})" for name, danger in found))


def is_fixed_vhd(end: bytes, size: int) -> bool:
    """Tells whether the last sector of an image of `size` bytes is a fixed VHD's footer.

    Source: "Virtual Hard Disk Image Format Specification"; QEMU's block/vpc.c looks for it there too.
    """
    if len(end) != _SECTOR or not end.startswith(b"conectix"):
        return False
    disk_size, kind, checksum = struct.unpack_from(">Q4xII", end, 48)
    unsummed = end[:64] + bytes(4) + end[68:]
    return bool(kind == _FIXED and disk_size <= size - _SECTOR and checksum == ~sum(unsummed) & 0xFFFFFFFF)


def _cut_short(head: bytes) -> Iterator[tuple[str, str]]:
    """Headers shorter than a sector: a qcow2 of 200 bytes can name a backing file."""
    for name, offset, signature in _SIGNATURES:
        if len(head) < _SECTOR and head.startswith(signature, offset):
            yield name, "Its header is cut short"


def _qcow2(head: bytes) -> Iterator[tuple[str, str]]:
    """Features that QEMU does not know, and sizes beyond its bounds, which make a parser allocate (CVE-2014-0144)."""
    if not head.startswith(b"QFI\xfb") or len(head) < _SECTOR:
        return
    version, cluster_bits, header_length = (struct.unpack_from(">I", head, offset)[0] for offset in (4, 20, 100))
    features = struct.unpack_from(">Q", head, 72)[0] if version == 3 else 0  # noqa: PLR2004 - version 2 has none
    if version not in {2, 3}:
        yield "qcow2", "Unsupported qcow2 version"  # version 1 has backing files too
    elif features & ~_KNOWN_FEATURES:
        yield "qcow2", "Unknown QCOW2 features found"
    if not 9 <= cluster_bits <= 21:  # noqa: PLR2004 - 512 bytes to 2 MiB
        yield "qcow2", "Its clusters are of no possible size"
    elif version == 3 and not 104 <= header_length <= 1 << cluster_bits:  # noqa: PLR2004 - docs/interop/qcow2.txt
        yield "qcow2", "Its header is of no possible length"


def _vhd(head: bytes) -> Iterator[tuple[str, str]]:
    if head.startswith(b"conectix") and head[60:64] == struct.pack(">I", _DIFFERENCING):
        yield "vhd", "It needs a parent disk"


def _luks(head: bytes) -> Iterator[tuple[str, str]]:
    """Versions 1 and 2 are safe: their images cannot name a header in another file."""
    if head.startswith(b"LUKS\xba\xbe") and len(head) >= 8:  # noqa: PLR2004 - the version is its 7th and 8th byte
        version = struct.unpack_from(">H", head, 6)[0]
        if version not in {1, 2}:
            yield "luks", f"LUKS version {version} is not supported"


def _vmdk(head: bytes) -> Iterator[tuple[str, str]]:
    if head.startswith(b"COWD"):
        yield "vmdk", "Unsupported subformat"  # an ESX server's, which may name a parent
    elif _DESCRIPTOR.match(head[:4096]) or (_TEXT.fullmatch(head[:_SECTOR]) and b'createtype="' in head.lower()):
        yield "vmdk", "The descriptor is a file of its own"  # which can only name other files
    elif head.startswith(b"KDMV"):
        for danger in _sparse_extent(head):
            yield "vmdk", danger


def _sparse_extent(head: bytes) -> Iterator[str]:
    capacity, descriptor_sector, sectors = struct.unpack_from("<Q8xQQ", head.ljust(_SECTOR, b"\0"), 12)
    if capacity == 0:
        yield "Its header has no capacity, which makes its descriptor name the extents"
    if descriptor_sector != 1:
        yield "Its descriptor is not in the second sector"
    text, zero, _ = head[_SECTOR:].partition(b"\0")
    if not zero:
        yield "Its descriptor does not end within the first mebibyte"
    yield from _descriptor(text, sectors * _SECTOR)


def _descriptor(text: bytes, length: int) -> Iterator[str]:
    """`length`: bytes of the descriptor by the header."""
    named = text.lower()
    if b"parentfilenamehint" in named:
        yield "The descriptor names a parent disk"
    if named.count(b"createtype") > 1:
        yield "The descriptor names several subformats"
    lines = [line.strip(b" \t\r") for line in text[:length].split(b"\n")]
    extents = [line for line in lines if _EXTENT.match(line)]
    if len(extents) > 1 or not all(map(_OWN_EXTENT.fullmatch, extents)):
        yield "The descriptor names other extents than its own"
    if not all(_HARMLESS.fullmatch(line) or _EXTENT.match(line) for line in lines):
        yield "The descriptor has lines that are not known to be harmless"
