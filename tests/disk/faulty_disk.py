"""A disk that misbehaves to order, for a child process: it fails a call, or the child is killed at it.

    disk = faulty_disk(tmp_path / "vms")
    run(…, env={…, **disk.counted()})
    assert [call.name for call in disk.calls()] == ["openat", "write", "fsync", "linkat", "fsync"]
    run(…, env={…, **disk.kill_at(4)})
    run(…, env={…, **disk.fail(errno.ENOSPC, "write")})

What counts as a call, and what isn't seen, is said in faulty_disk.c.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.integration.services.cache import cache, recipe
from tests.packages import want

SOURCE: Final = Path(__file__).with_suffix(".c")


class Call(NamedTuple):
    """One that changes a disk. It was asked for: what came of it is not told."""

    number: int
    name: str
    """The C library's, less its 64: `open`, `openat`, `pwrite`, `renameat2`, …"""
    path: str


class FaultyDisk:
    """The files beneath these folders, for children that get one of these environments besides their own.

    Each is for as many children as wanted, and each child counts for itself.
    """

    def __init__(self, library: Path, log: Path, *folders: Path) -> None:
        self.library: Final = library
        self._log: Final = log
        self._counted: Final = {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK_FOLDERS": ":".join(map(str, folders)),
            "FAULTY_DISK_LOG": str(log),
        }

    def counted(self) -> Mapping[str, str]:
        """The disk is a good one, and calls are counted."""
        return self._counted

    def kill_at(self, number: int) -> Mapping[str, str]:
        """The child is killed (SIGKILL) just before its call of that number."""
        return {**self._counted, "FAULTY_DISK_KILL_AT": str(number)}

    def kill_after(self, number: int) -> Mapping[str, str]:
        """The child is killed just after its call of that number."""
        return {**self._counted, "FAULTY_DISK_KILL_AFTER": str(number)}

    def signal(self, number: int, first: int, last: int | None = None) -> Mapping[str, str]:
        """The child gets the signal just before each call from the first to the last, or each from the first on."""
        return {**self._counted, "FAULTY_DISK_SIGNAL": f"{number:d}:{first}:{last or ''}"}

    def fail(
        self, error: int, calls: str = "*", first: int = 1, last: int | None = None, *, path: str = "*"
    ) -> Mapping[str, str]:
        """Of the calls with such a name and path those from the first to the last fail, or all from the first on.

        `calls` are patterns with commas between them; in `path`, a pattern too, `*` takes slashes as well.
        """
        return {**self._counted, "FAULTY_DISK_FAIL": f"{error}:{calls}:{first}:{last or ''}:{path}"}

    def calls(self) -> list[Call]:
        """Those that were counted since this was last asked. One that the child was killed at is the last of them."""
        if not self._log.exists():
            return []
        lines = [line.split(" ", 2) for line in self._log.read_text(errors="surrogateescape").splitlines()]
        self._log.unlink()
        return [Call(int(number), name, path) for number, name, path in lines]


def build(compiler: str) -> Path:
    """The library that a child preloads. It is built once, and kept between runs."""

    def compiled(folder: Path) -> None:
        options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
        library = folder / "faulty.so"
        done = subprocess.run(
            [compiler, *options, "-o", str(library), str(SOURCE)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    return cache().folder(f"faulty-disk-{recipe(str(SOURCE))}", compiled) / "faulty.so"


@pytest.fixture(scope="session")
def faulty_library() -> Path:
    """What a child preloads."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip(want("cc", "Linux and a C compiler"))
    return build(compiler)


@pytest.fixture
def faulty_disk(faulty_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FaultyDisk]:
    """Makes one of these folders: `faulty_disk(tmp_path)`."""

    def make(*folders: Path) -> FaultyDisk:
        return FaultyDisk(faulty_library, tmp_path_factory.mktemp("faulty-disk") / "log", *folders)

    return make
