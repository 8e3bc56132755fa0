"""Conversion of disk images by qemu-img: from every format that it reads safely to raw and qcow2.

The format is always given, never detected: a detected one could be another than the inspected one. Images must have
been inspected before (formats/inspection.py).
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.conversion.run import run
from lading.adapters.formats.conversion.sandbox import Limits, Stall, Tool
from lading.adapters.formats.inspection import unsafe
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, Unsafe, Unsupported

__all__ = [
    "CONVERTIBLE", "HEAD", "PATIENCE", "TARGETS", "Disk", "Patience", "check_preallocation", "convert", "converted_by",
    "copy_window", "grow", "head_of", "open_disk",
]  # fmt: skip

QEMU_IMG: Final = Tool("qemu-img", debian="qemu-utils", fedora="qemu-img")
_DRIVERS: Final = {
    "raw": "raw",
    "gpt": "raw",
    "iso": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vhd": "vpc",
    "vhdx": "vhdx",
    "vdi": "vdi",
}
"""Glance's names of formats, and an inspection's, as QEMU's."""
CONVERTIBLE: Final = frozenset(_DRIVERS)
"""The formats that can be converted."""
TARGETS: Final = {"raw": ("off", "falloc", "full"), "qcow2": ("off", "metadata", "falloc", "full")}
"""The formats that can be made, each with its kinds of preallocation; qemu-img(1)."""
HEAD: Final = 1 << 20
"""Bytes at a disk's start that hold its partition table, and that a device gets last."""
_SECTOR: Final = 512
_COROUTINES: Final = "16"
_INFO: Final = Limits(processor=30, seconds=120, file_size=0)
_CHECK: Final = Limits(processor=600, seconds=3600, file_size=0)
# Exit statuses of `qemu-img check`; qemu-img(1). Clusters that nothing refers to do no harm.
_DAMAGED: Final = 2
_LEAKS: Final = 3
_PROGRESS: Final = re.compile(rb"\((\d+\.\d+)/100%\)")


class Disk(NamedTuple):
    """An open disk image."""

    descriptor: int
    format: str
    """One of CONVERTIBLE; `raw` where that is what QEMU takes it for."""
    size: int
    """Bytes of the disk that a guest sees, a multiple of 512."""

    @property
    def driver(self) -> str:
        """Options of QEMU that open it."""
        return f"driver={_DRIVERS[self.format]},file.driver=file,file.filename=/dev/fd/{self.descriptor}"


class Patience(NamedTuple):
    """How long a conversion may take."""

    seconds: float = 86_400
    """From start to end, and of processor time."""
    stall: float = 600
    """Without progress."""


PATIENCE: Final = Patience()


@cache
def converted_by() -> str:
    """Name and version of the tool: `qemu-img 7.2.22`. Raises Refused where it is missing."""
    found = re.match(rb"qemu-img version (\S+)", _output("--version", descriptors={}))
    return f"qemu-img {found[1].decode(errors='replace')}" if found else "qemu-img"


def open_disk(descriptor: int, disk_format: str) -> Disk:
    """The disk in this image, of which QEMU tells the size.

    Raises Refused where the format cannot be converted, the tool is missing or the image is broken.
    """
    driver = _DRIVERS.get(disk_format)
    if driver is None:
        known = ", ".join(sorted(_DRIVERS))
        raise Refused(Unsupported(f"an image of format {disk_format} cannot be converted, only {known}"))
    output = _output(
        "info", "--output=json", "-f", driver, f"/dev/fd/{descriptor}", descriptors={descriptor: "the image"}
    )
    try:
        info: dict[str, Any] = json.loads(output)
        size = int(info["virtual-size"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(Mismatched("qemu-img does not tell the size of its disk")) from error
    if "backing-filename" in info:  # inspections refuse it; this is the second door
        raise Refused(Unsafe(unsafe(("Image has a backing file",))))
    if driver == "qcow2":
        _check(descriptor)
    return Disk(descriptor, "raw" if driver == "raw" else disk_format, -(-size // _SECTOR) * _SECTOR)


def _check(descriptor: int) -> None:
    """Raises Refused where a qcow2 is damaged, or cut short: a conversion would read zeros beyond its end."""
    arguments = ("check", "-q", "-f", "qcow2", f"/dev/fd/{descriptor}")
    status = run(QEMU_IMG, arguments, {descriptor: "the image"}, _CHECK, _ignored, answers=(0, _DAMAGED, _LEAKS))
    if status == _DAMAGED:
        raise Refused(Mismatched("it is damaged or cut short: qemu-img check finds errors in it"))


def _output(*arguments: str, descriptors: Mapping[int, str]) -> bytes:
    output: list[bytes] = []
    run(QEMU_IMG, arguments, descriptors, _INFO, output.append)
    return b"".join(output)


def required_space(disk: Disk) -> int:
    """Bytes of the disk that are not zeros, in whole clusters of 64 KiB: what its conversion writes. Raises Refused."""
    output = _output(
        "measure", "--output=json", "-f", _DRIVERS[disk.format], "-O", "qcow2", f"/dev/fd/{disk.descriptor}",
        descriptors={disk.descriptor: "the image"},
    )  # fmt: skip
    try:
        return int(json.loads(output)["required"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(Mismatched("qemu-img does not tell how much data it has")) from error


def check_preallocation(to: str, preallocation: str) -> None:
    """Raises Refused where an image of format `to` cannot be made, or not with this preallocation."""
    if to not in TARGETS:
        raise Refused(Unsupported(f"no image can be converted to {to}, only to {' or '.join(TARGETS)}"))
    if preallocation not in TARGETS[to]:
        kinds = ", ".join(TARGETS[to])
        raise Refused(Unsupported(f"{to} has no preallocation {preallocation}, only {kinds}"))


def convert(
    source: Disk,
    target: int,
    to: str,
    reached: Callable[[int], None],
    *,
    preallocation: str = "off",
    patience: Patience = PATIENCE,
) -> Disk:
    """Converts the disk into the regular file `target`, which is truncated; calls `reached` with bytes of its size.

    The file is not flushed. Zeros become holes. Returns the new image. Raises Refused, and what `reached` raises; the
    file is partial then.
    """
    check_preallocation(to, preallocation)
    arguments = [
        "convert", "-p", "-W", "-m", _COROUTINES, "-f", _DRIVERS[source.format], "-O", to,
        "-o", f"preallocation={preallocation}", f"/dev/fd/{source.descriptor}", f"/dev/fd/{target}",
    ]  # fmt: skip
    _convert(arguments, source, target, _largest(to, source.size), source.size, reached, patience)
    return Disk(target, to, source.size)


def copy_window(
    source: Disk,
    target: Disk,
    start: int,
    end: int,
    reached: Callable[[int], None],
    *,
    patience: Patience = PATIENCE,
) -> None:
    """Copies the source's bytes from `start` to `end` to the same place in the target.

    Multiples of 512, within both disks. The target's other bytes stay. Zeros are written too. Nothing is flushed.
    `reached` is called with the bytes of the window. Raises Refused, and what `reached` raises.
    """
    if start >= end:
        return
    window = f"driver=raw,offset={start},size={end - start}"
    arguments = [
        "convert", "-p", "-n", "-W", "-m", _COROUTINES, "--image-opts", "--target-image-opts",
        f"{window},{_nested(source.driver)}", f"{window},{_nested(target.driver)}",
    ]  # fmt: skip
    _convert(arguments, source, target.descriptor, _largest(target.format, target.size), end - start, reached, patience)


def head_of(source: Disk) -> bytes:
    """The disk's first mebibyte, or all of a smaller one. Raises Refused."""
    length = min(source.size, HEAD)
    with os.fdopen(os.memfd_create("lading-head"), "rb") as memory:
        os.truncate(memory.fileno(), length)
        copy_window(source, Disk(memory.fileno(), "raw", length), 0, length, _ignored)
        return os.pread(memory.fileno(), length, 0)


def grow(disk: Disk, size: int, *, preallocation: str = "off") -> Disk:
    """Grows a raw or qcow2 image in a regular file to `size` bytes, a multiple of 512. Returns it as it is then.

    Raises Refused where it is larger, or of another format.
    """
    check_preallocation(disk.format, preallocation)
    if size < disk.size:
        raise Refused(Mismatched(f"its disk has {exact_size(disk.size)}, and cannot shrink to {exact_size(size)}"))
    if size > disk.size:
        arguments = ["resize", "-q", "-f", disk.format, f"--preallocation={preallocation}"]
        limits = Limits(3600, 3600, _largest(disk.format, size))
        descriptors = {disk.descriptor: "the image"}
        run(QEMU_IMG, [*arguments, f"/dev/fd/{disk.descriptor}", str(size)], descriptors, limits, _ignored)
    return disk._replace(size=size)


def _nested(driver: str) -> str:
    """A driver's options as those of the node beneath another."""
    return ",".join(f"file.{option}" for option in driver.split(","))


def _largest(disk_format: str, size: int) -> int:
    """The largest file that an image of a disk of `size` bytes can be.

    raw has exactly its bytes. qcow2 has at most 10 bytes of tables for each cluster of 64 KiB, and a few clusters more.
    """
    return size if disk_format == "raw" else size + size // 4096 + (4 << 20)


def _convert(
    arguments: list[str],
    source: Disk,
    target: int,
    largest: int,
    length: int,
    reached: Callable[[int], None],
    patience: Patience,
) -> None:
    stall = Stall(patience.stall, lambda: os.fstat(target).st_mtime_ns)
    limits = Limits(int(patience.seconds), patience.seconds, largest, stall=stall)
    descriptors = {source.descriptor: "the image", target: "the target"}
    run(QEMU_IMG, arguments, descriptors, limits, _Progress(length, reached).hear)
    reached(length)


class _Progress:
    """Reads the percentages that `-p` prints: `    (12.34/100%)\\r`."""

    def __init__(self, length: int, reached: Callable[[int], None]) -> None:
        self._length, self._reached = length, reached
        self._rest = b""

    def hear(self, output: bytes) -> None:
        *lines, self._rest = (self._rest + output).split(b"\r")
        found = [each[1] for each in map(_PROGRESS.search, lines) if each]
        if found:
            self._reached(min(int(float(found[-1]) * self._length / 100), self._length))


def _ignored(value: object) -> None:
    """Takes the progress of a run that is too short to show any."""
