"""Fixtures of the tests of conversion."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.loop_devices import LoopDevice
from tests.packages import needs

from lading.adapters.formats.conversion import sandbox

Opened = Callable[[Path], int]


@pytest.fixture(params=["bubblewrap", "limits only"])
def _sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests with this run in the sandbox, and without bubblewrap."""
    if request.param == "limits only":
        monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    else:
        request.getfixturevalue("bubblewrap")


@pytest.fixture
def bubblewrap() -> None:
    needs("bwrap")
    if sandbox._bubblewrap() is None:  # noqa: SLF001
        pytest.skip("needs a kernel that lets bubblewrap work")


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens files, new ones too, and closes them after the test."""
    descriptors: list[int] = []

    def open_file(path: Path) -> int:
        descriptors.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return descriptors[-1]

    yield open_file
    for each in descriptors:
        os.close(each)


@pytest.fixture
def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in qemu-img's place."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "qemu-img").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "qemu-img").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.fixture
def loop_device(make_loop: Callable[..., LoopDevice]) -> Callable[[bytes, int], str]:
    """Makes loop devices: of this content, with sectors of this size."""

    def make(content: bytes, sector: int) -> str:
        device = make_loop(len(content), "--sector-size", str(sector))
        device.put(content)
        return device.path

    return make
