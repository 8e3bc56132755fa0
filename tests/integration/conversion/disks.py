"""Disks of known content, images of them, and what still has a file open."""

import os
import random
import struct
import subprocess
from pathlib import Path
from typing import Final
from zlib import crc32

from tests.images import KIB, MIB, placed

__all__ = ["DISK", "IMAGES", "disk_with_gpt", "holders", "image_of", "plain"]

_CHANCE: Final = random.Random(13)
SIZE: Final = 4 * MIB
DISK: Final = placed(
    (0, _CHANCE.randbytes(300 * KIB)),
    (MIB, _CHANCE.randbytes(5000)),
    (2 * MIB + 7 * 512, _CHANCE.randbytes(MIB)),
    (SIZE - 512, _CHANCE.randbytes(512)),
    size=SIZE,
)
"""Data and holes, on both sides of the first mebibyte and at the very end."""
IMAGES: Final = {
    "raw": ("raw", ""),
    "qcow2": ("qcow2", ""),
    "qcow2, compressed": ("qcow2", "-c"),
    "qcow2, old": ("qcow2", "-o compat=0.10"),
    "qcow2, extended L2": ("qcow2", "-o extended_l2=on,cluster_size=128k"),
    "vmdk, monolithicSparse": ("vmdk", "-o subformat=monolithicSparse"),
    "vmdk, streamOptimized": ("vmdk", "-o subformat=streamOptimized"),
    "vhd, dynamic": ("vhd", "-o force_size"),
    "vhd, fixed": ("vhd", "-o subformat=fixed,force_size"),
    "vhdx": ("vhdx", ""),
    "vdi": ("vdi", ""),
}
"""A format as lading names it, and options for qemu-img."""


def image_of(disk: bytes, kind: str, folder: Path) -> Path:
    """An image of the disk, made by qemu-img; `kind` is one of IMAGES."""
    image_format, options = IMAGES[kind]
    source, image = folder / "disk", folder / "image"
    source.write_bytes(disk)
    driver = "vpc" if image_format == "vhd" else image_format
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options.split(), source, image], check=True)
    return image


def plain(image: Path, image_format: str) -> bytes:
    """The content of the disk in an image."""
    out = image.with_name("plain")
    subprocess.run(["qemu-img", "convert", "-f", image_format, "-O", "raw", image, out], check=True)
    return out.read_bytes()


def disk_with_gpt(sector: int = 512, size: int = SIZE) -> bytes:
    """A disk with a GPT of one partition, which has data; UEFI 2.10, section 5.3."""
    last = size // sector - 1
    entries = -(-128 * 128 // sector)
    kind = bytes.fromhex("af3dc60f838472478e793d69d8477de4")
    entry = struct.pack("<16s16sQQQ72x", kind, b"1" * 16, MIB // sector, 2 * MIB // sector - 1, 0)
    table = entry.ljust(128 * 128, b"\0")
    mbr = placed((446, struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, last)), (510, b"\x55\xaa"))
    return placed(
        (0, mbr),
        (sector, _header(sector, size, 1, last, 2, table)),
        (2 * sector, table),
        (MIB, b"partition" * 1000),
        ((last - entries) * sector, table),
        (last * sector, _header(sector, size, last, 1, last - entries, table)),
        size=size,
    )


def _header(sector: int, size: int, own: int, other: int, entries: int, table: bytes) -> bytes:
    last_usable = size // sector - 2 - len(table) // sector
    fields = (b"EFI PART", 0x10000, 92, 0, own, other, 2 + len(table) // sector, last_usable, b"2" * 16, entries)
    header = bytearray(struct.pack("<8sIII4xQQQQ16sQIII", *fields, 128, 128, crc32(table)))
    header[16:20] = struct.pack("<I", crc32(header))
    return bytes(header)


def holders(file: Path) -> list[str]:
    """The other processes that have the file open."""
    found = []
    status = file.stat()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            opened = [each.stat() for each in (process / "fd").iterdir()]
        except OSError:  # it has ended, or is another user's
            continue
        if any((each.st_dev, each.st_ino) == (status.st_dev, status.st_ino) for each in opened):
            found.append(process.name)
    return found
