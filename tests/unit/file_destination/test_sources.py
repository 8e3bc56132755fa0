"""A source that fails, changes or never ends is refused, and nothing is left."""

import io
import os
from contextlib import closing
from pathlib import Path

import pytest
from returns.result import Success
from tests.unit.file_destination.landings import CHUNK, DATA, Broken, Opener, image_of

from lading import Digest, Mismatched, Unavailable, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.formats.scan import scan
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.safe_open import open_regular
from lading.adapters.stream.sources import FileSource, StreamSource


def test_a_source_that_breaks_off_is_refused_and_nothing_is_left(folder: Path, destination: FileDestination) -> None:
    work = Work(str(folder / "vm"), image_of(DATA))
    refused = destination.fetch(
        work, SourceOpener(lambda _: Success(StreamSource(Broken(3 * CHUNK), None)), "copy")
    ).failure()
    assert isinstance(refused, Unavailable)
    assert refused.reason == "the connection broke off: Connection reset by peer"
    assert os.listdir(folder) == []


class Endless(io.RawIOBase):
    """OSSA-2025-001's /dev/zero, counted."""

    read_so_far = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is wider
        self.read_so_far += len(buffer)
        return len(buffer)


def test_a_broken_streams_own_words_are_not_repeated(folder: Path, destination: FileDestination) -> None:
    class Telling(io.BytesIO):
        def readinto(self, _buffer: object, /) -> int:
            raise OSError("X-Auth-Token: s3cret")

    work = Work(str(folder / "vm"), image_of(DATA))
    refused = destination.fetch(
        work, SourceOpener(lambda _: Success(StreamSource(Telling(), len(DATA))), "copy")
    ).failure()
    assert refused.reason == "the connection broke off: OSError"


def test_a_source_without_end_is_read_no_further_than_promised(folder: Path, destination: FileDestination) -> None:
    stream = Endless()
    refused = destination.fetch(
        Work(str(folder / "vm"), image_of(DATA)),
        SourceOpener(lambda _: Success(StreamSource(stream, len(DATA))), "copy"),
    )
    assert isinstance(refused.failure(), Mismatched)
    assert stream.read_so_far < len(DATA) + 4 * CHUNK


@pytest.mark.parametrize("good", [5, len(DATA)])
@pytest.mark.parametrize("told", [None, 7])
def test_the_source_is_closed_however_it_ends(
    folder: Path, destination: FileDestination, good: int, told: int | None
) -> None:
    stream = Broken(good)
    work = Work(str(folder / "vm"), image_of(DATA, digest=Digest("sha256", "0" * 64)))
    destination.fetch(work, SourceOpener(lambda _: Success(StreamSource(stream, told)), "copy"))
    assert stream.closed


class Writer:
    """An observer that writes to the file that is copied."""

    def __init__(self, path: Path, *, grow: bool) -> None:
        self._path, self._grow = path, grow

    def progress(self, done: int, total: int | None) -> None:
        with self._path.open("r+b") as file:
            file.seek(0, os.SEEK_END if self._grow else os.SEEK_SET)
            file.write(b"more")
        os.utime(self._path, ns=(0, done))  # two writes within one tick of the clock show by this


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize(
    "described", [{"digest": None, "size": None}, {"digest": None}, {"digest": Digest("sha256", "0" * 64)}]
)
def test_a_file_that_is_changed_while_it_is_copied_is_refused(
    folder: Path, tmp_path: Path, destination: FileDestination, described: dict[str, object], *, grow: bool
) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    work = Work(str(folder / "vm"), image_of(DATA, **described), observer=Writer(path, grow=grow))
    refused = destination.fetch(
        work, SourceOpener(lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable), "copy")
    ).failure()
    assert isinstance(refused, Unavailable)
    assert "changed while it was copied" in str(refused)
    assert os.listdir(folder) == []


def test_a_file_that_grows_behind_verified_bytes_is_landed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    work = Work(str(folder / "vm"), image_of(DATA), observer=Writer(path, grow=True))
    opening: Opener = lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable)  # noqa: E731
    assert FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening, "copy")).unwrap().verified
    assert (folder / "vm").read_bytes() == DATA
    assert path.stat().st_size > len(DATA)


def test_a_file_that_grows_while_it_is_surveyed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    with closing(FileSource(open_regular(str(path)).unwrap())) as source:
        writer = Writer(path, grow=True)
        with pytest.raises(SourceBroken, match="changed while it was read"):
            scan(source, "sha256", lambda done: writer.progress(done, None))
