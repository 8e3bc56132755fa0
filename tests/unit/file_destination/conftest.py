"""Each way of landing a file: with and without O_TMPFILE, from a file and a stream, verifying or not."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from returns.result import Success
from tests.unit.file_destination.landings import CHUNK, Opener

from lading import Unavailable
from lading.adapters.destinations.file import no_replace, partial, relocation
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.formats import audit, inspection
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream import pipeline, sources
from lading.adapters.stream.safe_open import open_regular
from lading.adapters.stream.sources import FileSource, StreamSource


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (audit, partial, pipeline, sources):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    monkeypatch.setattr(inspection, "_BLOCK", CHUNK)


@pytest.fixture(params=["anonymous", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where targets go: once by O_TMPFILE, once as on a file system or system without it."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms"


@pytest.fixture(params=["file", "stream"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Opener]:
    def source(data: bytes) -> Opener:
        if request.param == "stream":
            return lambda _: Success(StreamSource(io.BytesIO(data), len(data)))
        path = tmp_path / "source"
        path.write_bytes(data)
        return lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable)

    return source


@pytest.fixture(params=[True, False], ids=["verifying", "unverifying"])
def destination(request: pytest.FixtureRequest) -> FileDestination:
    return FileDestination(MemoryVerifiedFiles(), Rules(verify=request.param))


@pytest.fixture
def linkless(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where targets go on a file system like vfat: no hard links and no files without a name, but RENAME_NOREPLACE."""

    def refuse(source: str, destination: str, **given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return folder


@pytest.fixture(params=["same file system", "no renameat2", "other file system"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to move to, by each way of getting there."""
    if request.param == "other file system":

        def refuse(source: str, destination: str) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link", source)

        monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    elif request.param == "no renameat2":

        def lacking(source: str, destination: str, folder: int) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented", source)

        monkeypatch.setattr(no_replace, "_renameat2", lacking)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"
