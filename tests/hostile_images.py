"""Images that try to make QEMU open another file: each way that it knows, and random mixtures of them."""

import random
import struct
from collections.abc import Sequence
from typing import Final

from tests.images import (
    AT_END,
    HARMLESS,
    KIB,
    MIB,
    iso,
    placed,
    qcow2,
    qed,
    stream_optimized,
    vmdk_descriptor,
    vmdk_header,
)

__all__ = ["CONTROLS", "SPECIMENS", "VICTIM", "hostile_image"]

VICTIM: Final = "victim.img"
_NAMES: Final = (VICTIM, f"./{VICTIM}", f"/victims/{VICTIM}", f"nbd:127.0.0.1:1:exportname={VICTIM}")
_KINDS: Final = (
    "monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "vmfs",
    "vmfsSparse", "seSparse",
)  # fmt: skip
_SAFE_KINDS: Final = _KINDS[:2]
_ACCESS: Final = ("RW", "RDONLY", "NOACCESS", "rw")
_EXTENTS: Final = ("FLAT", "VMFS", "VMFSSPARSE", "SESPARSE", "SPARSE", "sparse", "ZERO")
_BLANKS: Final = (" ", "  ", "\t", "\r", "\v", "\f", "\n", "\r\n")
_ENDS: Final = ("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\0")
_SECTOR: Final = 512
_BODY: Final = 128 * KIB
"""Bytes of a VMDK that are enough for QEMU to open it."""


def descriptor_at(text: str, *, capacity: int = 2048, sector: int = 1, sectors: int = 20, directory: int = 26) -> bytes:
    """A VMDK with that descriptor in its second sector, wherever the header says that it is."""
    header = vmdk_header(1, capacity, sector, sectors, directory)
    return placed((0, header), (_SECTOR, text.encode("latin-1")), size=_BODY)


def _extent(name: str = VICTIM, kind: str = "FLAT", blank: str = " ") -> str:
    return blank.join(("RW", "8", kind, f'"{name}"', "0"))


def _far(front: str, back: str, offset: int) -> str:
    """A text whose end begins at that byte of the file; a comment lies between."""
    return f"{front}\n#".ljust(offset - _SECTOR - 1, "x") + f"\n{back}\n"


_IGNORED: Final = 'RDONLY 8 SPARSE "disk.vmdk"'
"""QEMU looks at extents to read and write only."""
_FLAT: Final = 'createType="monolithicFlat"'
_DATA_FILE: Final = struct.pack(">II", 0x44415441, len(VICTIM)) + VICTIM.encode().ljust(16, b"\0") + bytes(8)

SPECIMENS: Final = (
    *(each.ljust(_BODY, b"\0") for each in HARMLESS.values()),
    descriptor_at(vmdk_descriptor("monolithicSparse")),
)
"""Harmless images: QEMU reads them, and nothing else."""

CONTROLS: Final = {
    "a qcow2 with a backing file": qcow2(backing=VICTIM.encode()),
    "a qcow2 of version 2 with a backing file": qcow2(version=2, backing=VICTIM.encode()),
    "a qcow2 with a data file": placed((0, qcow2(incompatible=0b100)), (104, _DATA_FILE)),
    "a descriptor alone": vmdk_descriptor("monolithicFlat", extents=[_extent()]).encode(),
    "a vmdk with a parent": descriptor_at(vmdk_descriptor("monolithicSparse", extra=f'parentFileNameHint="{VICTIM}"')),
    "a vmdk whose descriptor counts": descriptor_at(f"{_FLAT}\n{_extent()}\n", capacity=0),
    "a vmdk whose descriptor goes on behind the first mebibyte": descriptor_at(
        _far(f'CREATETYPE="monolithicSparse"\n{_IGNORED}', f"{_FLAT}\n{_extent(blank=chr(9))}=x", MIB), capacity=0,
        sectors=1,
    ),
    "a vmdk whose extent has tabs": descriptor_at(
        f'CREATETYPE="monolithicSparse"\n{_IGNORED}\n{_FLAT}\n{_extent("/victims/" + VICTIM, blank=chr(9))}=x\n',
        capacity=0,
    ),
    "a vmdk whose extent has several lines": descriptor_at(f"{_FLAT}\n{_extent(blank=chr(10))}\n", capacity=0),
}  # fmt: skip
"""What QEMU is known to follow."""


def hostile_image(chance: random.Random) -> bytes:
    """An image of one of several kinds, some of whose parts are hostile, and some of whose bytes are changed."""
    made = chance.choice((_vmdk, _vmdk, _vmdk, _qcow2, _other))(chance)
    return _changed(chance, made) if chance.random() < 0.2 else made


def _mostly(chance: random.Random, usual: object, *others: object) -> object:
    return usual if chance.random() < 0.85 else chance.choice(others)


def _vmdk(chance: random.Random) -> bytes:
    text = _text(chance)
    if chance.random() < 0.3:
        offset = chance.choice((2 * _SECTOR, 10 * KIB, 64 * KIB, MIB, MIB + _SECTOR)) + chance.randint(-24, 24)
        text = text.ljust(offset - _SECTOR, chance.choice(("\0", "\n", " ", "x"))) + _text(chance, hostile=True)
    capacity, sectors = _mostly(chance, 2048, 0, 1), chance.choice((1, 2, 20, 2047, 2048))
    sector, directory = _mostly(chance, 1, 0, 2), _mostly(chance, 26, AT_END)
    assert isinstance(capacity, int)
    assert isinstance(sector, int)
    assert isinstance(directory, int)
    made = descriptor_at(text, capacity=capacity, sector=sector, sectors=sectors, directory=directory)
    made += stream_optimized()[-3 * _SECTOR :] if directory == AT_END else b""
    return made[_SECTOR:] if chance.random() < 0.05 else made


def _text(chance: random.Random, *, hostile: bool = False) -> str:
    lines = ["version=1", "CID=12345678", "parentCID=ffffffff"]
    lines += [f'createType="{chance.choice(_KINDS if hostile else _SAFE_KINDS)}"']
    lines += [_hostile_line(chance)] if hostile else [f'{_mostly(chance, "RW", "RDONLY")} 2048 SPARSE "disk.vmdk"']
    lines += [_hostile_line(chance) for _ in range(chance.choice((0, 0, 0, 0, 1, 2)))]
    if chance.random() < 0.2:
        chance.shuffle(lines)
    return "".join(f"{line}{_mostly(chance, chr(10), *_ENDS)}" for line in lines)


def _hostile_line(chance: random.Random) -> str:
    name = chance.choice(_NAMES)
    parts: Sequence[str] = (chance.choice(_ACCESS), "8", chance.choice(_EXTENTS), f'"{name}"', chance.choice(("0", "")))
    blank = chance.choice(_BLANKS)
    extent = blank.join(parts) + chance.choice(("", "=x", " #", "\t", "0"))
    key = chance.choice(("createType", "parentFileNameHint", "changeTrackPath", "CID", "x", "#"))
    header = f'{key}{chance.choice(("=", " = ", "", "=="))}"{chance.choice((name, *_KINDS))}"'
    line = chance.choice((extent, extent, header, f"# {extent}", f"#{header}", f"ddb.x = {header}", f"x={extent}"))
    return chance.choice((line, line, line, line.upper(), line.lower(), f" {line}", f"\t{line}"))


def _qcow2(chance: random.Random) -> bytes:
    bits = sum(1 << bit for bit in range(6) if chance.random() < 0.1)
    name = chance.choice(_NAMES).encode() if chance.random() < 0.1 else b""
    made = qcow2(
        version=3 if chance.random() < 0.8 else chance.choice((0, 1, 2, 2, 4)),
        backing=name,
        incompatible=bits,
        autoclear=chance.randrange(4),
        header_length=chance.choice((104, 104, 112, 104 + 8 * chance.randrange(20))),
        cluster_bits=chance.choice((16, 16, 9, 14, 21)),
        encryption=chance.choice((0, 0, 0, 1, 2)),
        size=_BODY * 2,
    )
    return placed((0, made), (chance.choice((104, 112, 120)), _DATA_FILE)) if chance.random() < 0.5 else made


def _other(chance: random.Random) -> bytes:
    text = _text(chance, hostile=True).encode("latin-1")
    made = (*SPECIMENS, qed(), text, iso(_vmdk(chance)[: 32 * KIB]), placed((0, _qcow2(chance)[:400]), (_SECTOR, text)))
    return chance.choice(made)


def _changed(chance: random.Random, image: bytes) -> bytes:
    data = bytearray(image)
    for _ in range(chance.randint(1, 4)):
        place = chance.choice((0, 4, 8, 12, 20, 28, 36, 56, 72, 100, 104, 448, 510, 512, 640)) + chance.randrange(16)
        data[place : place + 1] = chance.choice((b"\0", b"\1", b"\xff", b'"', b"\n", b" ", chance.randbytes(1)))
    return bytes(data[: chance.choice((len(data), len(data), 511, 512, 600, MIB))])
