"""Loop devices for tests: real block devices, each on a file."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from tests.packages import needs

__all__ = ["LoopDevice", "LoopPlace"]

MEBIBYTE: Final = 1 << 20
_REMOVE: Final = 0x4C81
"""LOOP_CTL_REMOVE in linux/loop.h."""
_numbers: Final = count(1024 + os.getpid() % 8000 * 128)
"""Of devices that no other process of the tests uses: `losetup --find` takes the lowest."""


class LoopDevice:
    """A loop device on a file of that many bytes."""

    def __init__(self, file: Path, size: int, *options: str) -> None:
        """`options` of losetup: `--sector-size 4096`, `--read-only`."""
        self.file = file
        with file.open("ab") as disk:
            disk.truncate(size)
        self._options = options
        self.number = next(_numbers)
        self.path = ""
        self.attach()

    def attach(self) -> None:
        """Attaches the file, each time to the same device."""
        path = f"/dev/loop{self.number}"
        subprocess.run(["losetup", *self._options, path, str(self.file)], check=True, capture_output=True)
        self.path = path

    def detach(self) -> None:
        if self.path:
            subprocess.run(["losetup", "--detach", self.path], check=True)
            self.path = ""

    def take_name_of(self, other: "LoopDevice") -> None:
        """Attaches the file to the other device, which must be detached."""
        self.detach()
        self.number = other.number
        self.attach()

    def remove(self) -> None:
        """Detaches the file, and removes the device."""
        self.detach()
        # Another program may still look at the device: then an unused one stays.
        with open("/dev/loop-control", "rb") as control, suppress(OSError):
            fcntl.ioctl(control, _REMOVE, self.number)

    def content(self, size: int = -1) -> bytes:
        """The device's bytes."""
        with open(self.path, "rb") as disk:
            return disk.read(size)

    def put(self, data: bytes, offset: int = 0) -> None:
        with open(self.path, "r+b") as disk:
            disk.seek(offset)
            disk.write(data)


class LoopPlace:
    """A few loop devices, as the place of targets. A device whose first MiB is zeros has nothing on it."""

    def __init__(self, devices: dict[str, LoopDevice]) -> None:
        self._devices = devices

    def target(self, name: str) -> str:
        return self._devices[name].path

    def content(self, name: str) -> bytes | None:
        return self._devices[name].content(100_000).rstrip(b"\0") or None

    def occupy(self, name: str, data: bytes) -> None:
        self._devices[name].put(data)

    def clear(self, name: str) -> None:
        self._devices[name].put(bytes(MEBIBYTE))

    def names(self) -> list[str]:
        return sorted(name for name in self._devices if self.content(name) is not None)


@pytest.fixture
def make_loop(tmp_path: Path) -> Iterator[Callable[..., LoopDevice]]:
    """Makes loop devices: `make_loop(8 << 20, "--sector-size", "4096")`."""
    needs("losetup")
    if os.geteuid() != 0:
        pytest.skip("needs root to make a loop device")
    with ExitStack() as made:

        def make(size: int, *options: str) -> LoopDevice:
            device = LoopDevice(tmp_path / f"disk-{len(list(tmp_path.glob('disk-*')))}", size, *options)
            made.callback(device.remove)
            return device

        yield make
