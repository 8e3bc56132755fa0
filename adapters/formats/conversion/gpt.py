"""GUID partition tables: their backup is moved to the end of a disk that has grown.

fdisk of util-linux does it, in a scratch file in memory that has the disk's size and its first mebibyte. So no tool
touches the disk, and files, images and devices of any sector size are treated alike. sgdisk would make a new table
where it finds none; sfdisk takes a file's sectors for 512 bytes. Source of the layout: UEFI 2.10, section 5.3.
"""

import os
import struct
from typing import Final, NamedTuple

from lading.adapters.formats.conversion.qemu import HEAD, Disk, copy_window, head_of
from lading.adapters.formats.conversion.run import run
from lading.adapters.formats.conversion.sandbox import Limits, Tool
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.sparse import write_at
from lading.domain.refusals import Mismatched

__all__ = ["FDISK", "SECTOR_SIZES", "SIGNATURE", "MovedBackup", "move_backup", "moved_backup", "sector_size"]

FDISK: Final = Tool("fdisk", debian="fdisk", fedora="util-linux")
_LIMITS: Final = Limits(processor=30, seconds=120, file_size=0)
SIGNATURE: Final = b"EFI PART"
SECTOR_SIZES: Final = (512, 4096)
"""Bytes; the table's header is in the second sector."""


class MovedBackup(NamedTuple):
    """What must be written to a disk, so that its partition table's backup is at its end."""

    head: bytes
    """The disk's first mebibyte, or as much of it as was given."""
    tail_start: int
    """Offset in bytes."""
    tail: bytes
    """The backup of the table, up to the end of the disk's last whole sector."""


def sector_size(head: bytes) -> int | None:
    """The sector size for which the disk was partitioned, by its first 8 KiB; None where it has no GPT."""
    return next((each for each in SECTOR_SIZES if head[each : each + len(SIGNATURE)] == SIGNATURE), None)


def moved_backup(head: bytes, size: int) -> MovedBackup | None:
    """The head and tail of a disk of `size` bytes that begins with `head`; None where that has no GPT.

    `head` is the disk's first mebibyte. Raises Refused where fdisk is missing, or the table is broken.
    """
    sector = sector_size(head)
    if sector is None:
        return None
    with os.fdopen(os.memfd_create("lading-gpt"), "rb") as scratch:
        descriptor = scratch.fileno()
        os.truncate(descriptor, size)
        write_at(descriptor, memoryview(head), 0)
        run(
            FDISK,
            ["--wipe=never", "--wipe-partitions=never", f"--sector-size={sector}", f"/dev/fd/{descriptor}"],
            {descriptor: "the disk"},
            _LIMITS._replace(file_size=size),
            _ignored,
            stdin=b"w\n",
        )
        tail_start, end = _backup(descriptor, size, sector), size // sector * sector
        tail = os.pread(descriptor, end - tail_start, tail_start)
        return MovedBackup(os.pread(descriptor, len(head), 0), tail_start, tail)


def move_backup(disk: Disk) -> bool:
    """Moves the backup of the disk's GPT to its end; tells whether it has a GPT.

    The disk is a raw or qcow2 image in a regular file, which is not flushed. Raises Refused.
    """
    moved = moved_backup(head_of(disk), disk.size)
    if moved is None:
        return False
    with os.fdopen(os.memfd_create("lading-gpt"), "rb") as scratch:
        descriptor = scratch.fileno()
        os.truncate(descriptor, disk.size)
        write_at(descriptor, memoryview(moved.head), 0)
        write_at(descriptor, memoryview(moved.tail), moved.tail_start)
        fixed = Disk(descriptor, "raw", disk.size)
        copy_window(fixed, disk, moved.tail_start, moved.tail_start + len(moved.tail), _ignored)
        copy_window(fixed, disk, 0, len(moved.head), _ignored)
    return True


def _backup(descriptor: int, size: int, sector: int) -> int:
    """The offset of the backup at the disk's end: of its list of partitions, which its header follows."""
    last = size // sector - 1
    header = os.pread(descriptor, sector, last * sector)
    (own,), (entries,) = struct.unpack_from("<Q", header, 24), struct.unpack_from("<Q", header, 72)
    (backup,) = struct.unpack_from("<Q", os.pread(descriptor, sector, sector), 32)
    if not (header.startswith(SIGNATURE) and own == backup == last and 0 < last - entries <= HEAD // sector):
        raise Refused(Mismatched("its partition table is broken: fdisk did not move its backup"))
    return int(entries) * sector


def _ignored(value: object) -> None:
    """Takes what tools say that end at once."""
