"""Disk images made by hand: whole enough to be taken for what they are, and as wrong as a test wants them.

Each builder gives the bytes of a harmless image unless it is told otherwise. The layouts are those of QEMU's
docs/interop, VMware's "Virtual Disk Format 5.0", [MS-VHDX], ECMA-119, UEFI 2.10 and the LUKS on-disk format 1.2.
"""

import struct
from collections.abc import Sequence
from typing import Final
from uuid import UUID

KIB: Final = 1 << 10
MIB: Final = 1 << 20
AT_END: Final = (1 << 64) - 1
"""VMDK: the grain directory's place is told by a footer."""
OWN_EXTENT: Final = 'RW 2048 SPARSE "disk.vmdk"'


def placed(*parts: tuple[int, bytes], size: int = 0) -> bytes:
    """Each part at its offset, zeros between them and up to `size`."""
    data = bytearray(max(size, *(offset + len(part) for offset, part in parts)))
    for offset, part in parts:
        data[offset : offset + len(part)] = part
    return bytes(data)


def qcow2(
    *,
    version: int = 3,
    backing: bytes = b"",
    backing_offset: int | None = None,
    incompatible: int = 0,
    compatible: int = 0,
    autoclear: int = 0,
    header_length: int = 104,
    cluster_bits: int = 16,
    encryption: int = 0,
    size: int = 1024,
) -> bytes:
    """`size`: bytes of the file; a backing file's name ends it, unless that has an offset of its own."""
    if backing_offset is None:
        backing_offset = size - len(backing) if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", version, backing_offset, len(backing), cluster_bits, MIB,
        encryption, 1, 192 * KIB, 64 * KIB, 1, 0, 0,
    )  # fmt: skip
    if version > 2:
        header += struct.pack(">QQQII", incompatible, compatible, autoclear, 4, header_length)
    parts = [(0, header)]
    if backing and backing_offset < size:
        parts.append((backing_offset, backing))
    return placed(*parts, size=size)


def vmdk(
    kind: str = "monolithicSparse",
    *,
    extents: Sequence[str] = (OWN_EXTENT,),
    extra: str = "",
    descriptor: str | None = None,
    version: int = 1,
    capacity: int = 2048,
    descriptor_sector: int = 1,
    descriptor_sectors: int = 2,
    directory: int = 26,
    tail: bytes = b"",
    size: int = 4 * KIB,
) -> bytes:
    """A sparse extent with its descriptor embedded; `directory` is the grain directory's sector, or AT_END."""
    text = vmdk_descriptor(kind, extents=extents, extra=extra) if descriptor is None else descriptor
    header = vmdk_header(version, capacity, descriptor_sector, descriptor_sectors, directory)
    return placed((0, header), (512, text.encode("latin-1")), size=size) + tail


def vmdk_header(version: int, capacity: int, descriptor_sector: int, descriptor_sectors: int, directory: int) -> bytes:
    fields = (version, 3, capacity, 128, descriptor_sector, descriptor_sectors, 512, 0, directory, 128, 0, b"\n \r\n")
    return struct.pack("<4sIIQQQQIQQQB4s", b"KDMV", *fields).ljust(512, b"\0")


def vmdk_descriptor(kind: str, *, extents: Sequence[str] = (OWN_EXTENT,), extra: str = "") -> str:
    lines = [
        "# Disk DescriptorFile", "version=1", "CID=12345678", "parentCID=ffffffff", f'createType="{kind}"', extra, "",
        "# Extent description", *extents, "", "# The Disk Data Base", "#DDB", "", 'ddb.adapterType = "ide"', "",
    ]  # fmt: skip
    return "\n".join(lines)


def stream_optimized(
    *, marker: int = 3, sectors: int = 2, directory: int = 26, end: int = 0, body: int = 0, cut: int = 0
) -> bytes:
    """One whose header is overruled by its footer: marker, footer, end-of-stream marker, a sector each."""
    footer = vmdk_header(1, 2048, 1, sectors, directory)
    tail = struct.pack("<QII496x", 1, 0, marker) + footer + struct.pack("<QII496x", 0, 0, end)
    whole = vmdk("streamOptimized", directory=AT_END, tail=bytes(body) + tail)
    return whole[: len(whole) - cut]


def vhd(kind: int = 3) -> bytes:
    """A dynamic one, which begins with a copy of its footer."""
    fields = (b"conectix", 2, 0x10000, 512, 0, b"test", 0, b"Wi2k", MIB, MIB, 0, kind, 0)
    footer = struct.pack(">8sIIQI4sI4sQQIII", *fields)
    return placed((0, footer), (512, b"cxsparse"), (1536, footer), size=2048)


def fixed_vhd(disk: bytes = b"", *, kind: int = 2, checksum: int | None = None, size: int = MIB) -> bytes:
    """A raw disk and a footer; `size`: bytes of the disk, as the footer tells them."""
    fields = (b"conectix", 2, 0x10000, AT_END, 0, b"test", 0, b"Wi2k", size, size, 0, kind)
    footer = struct.pack(">8sIIQI4sI4sQQII", *fields)
    summed = ~sum(footer) & 0xFFFFFFFF if checksum is None else checksum
    return placed((0, disk), (MIB, (footer + struct.pack(">I", summed)).ljust(512, b"\0")))


def vhdx(
    *,
    signature: bytes = b"regi",
    regions: int = 1,
    metadata_at: int = MIB,
    metadata: bytes = b"metadata",
    has_parent: bool = False,
) -> bytes:
    metadata_region, disk_size = (
        UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e"),
        UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8"),
    )
    table = struct.pack("<4sIII16sQII", signature, 0, regions, 0, metadata_region.bytes_le, metadata_at, MIB, 1)
    parent = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
    items = struct.pack("<8sHH20x", metadata, 0, 2 if has_parent else 1)
    items += struct.pack("<16sIIII", disk_size.bytes_le, 64 * KIB, 8, 0, 0)
    items += struct.pack("<16sIIII", parent.bytes_le, 65 * KIB, 8, 0, 0) if has_parent else b""
    size = struct.pack("<Q", MIB)
    return placed((0, b"vhdxfile"), (192 * KIB, table), (MIB, items), (MIB + 64 * KIB, size))


def vdi() -> bytes:
    return placed((0, b"<<< Oracle VM VirtualBox Disk Image >>>\n"), (0x40, b"\x7f\x10\xda\xbe"), size=1024)


def qed() -> bytes:
    return placed((0, b"QED\0"), size=1024)


def luks(version: int = 1, size: int = 4096) -> bytes:
    header = struct.pack(">6sH32s32s32sII", b"LUKS\xba\xbe", version, b"aes", b"xts-plain64", b"sha256", 4096, 64)
    return placed((0, header), size=size)[:size]


def tar(name: bytes = b"disk.raw", *, magic: bytes = b"ustar\x0000") -> bytes:
    header = bytearray(placed((0, name), (100, b"0000644\0"), (124, b"00000000000\0"), (257, magic), size=512))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header).ljust(10240, b"\0")


def parallels() -> bytes:
    return placed((0, b"WithoutFreeSpace\x02\0\0\0"), size=1024)


def iso(front: bytes = b"", identifier: bytes = b"CD001") -> bytes:
    """`front` is what lies in the system area, the first 32 KiB."""
    return placed((0, front), (32 * KIB, b"\x01" + identifier + b"\x01"), size=36 * KIB)


def partition(kind: int, *, boot: int = 0, start: int = 1, chs: bytes = b"\x00\x02\x00") -> bytes:
    return struct.pack("<B3sB3sII", boot, chs, kind, b"\xff\xff\xff", start, 2048)


def mbr(*partitions: bytes, front: bytes = b"") -> bytes:
    return placed((0, front), (446, b"".join(partitions)), (510, b"\x55\xaa"), size=2048)


def gpt(*partitions: bytes) -> bytes:
    """A protective MBR and a GPT's header behind it."""
    return placed((0, mbr(*(partitions or (partition(0xEE),)))), (512, b"EFI PART\x00\x00\x01\x00"), size=4096)


HARMLESS: Final = {
    "raw": bytes(range(256)) * 20,
    "qcow2": qcow2(),
    "vmdk": vmdk(),
    "stream": stream_optimized(),
    "vhd": vhd(),
    "vhdx": vhdx(),
    "vdi": vdi(),
    "luks": luks(),
    "luks2": luks(version=2),
    "iso": iso(),
    "hybrid": iso(gpt()),
    "gpt": gpt(),
    "mbr": mbr(partition(0x83, boot=0x80)),
}
"""One of each kind that may land."""
