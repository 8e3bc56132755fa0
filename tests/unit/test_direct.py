"""Direct I/O, where the file system of the temporary folder has it; else these test that it is not needed."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.adapters.stream import direct, pipeline
from lading.adapters.stream.direct import DirectWriter, is_cached
from lading.adapters.stream.pipeline import CHUNK
from lading.adapters.stream.sources import DirectSource
from lading.adapters.stream.sparse import BLOCK

LONG = 64 * BLOCK
DATA = os.urandom(2 * LONG + 1000)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    with (tmp_path / "disk").open("w+b", buffering=0) as file:
        yield file.fileno()


def buffer_of(data: bytes) -> memoryview:
    """The data in one of the pipeline's buffers, at a page of memory."""
    view = memoryview(pipeline.new_buffer())[: len(data)]
    view[:] = data
    return view


def written(descriptor: int, data: memoryview, offset: int = 0) -> bytes:
    with DirectWriter(descriptor) as writer:
        writer.write(data, offset)
    return os.pread(descriptor, 2 * CHUNK, offset)


@pytest.mark.parametrize("length", [1, BLOCK, LONG, LONG + 1, len(DATA)])
@pytest.mark.parametrize("offset", [0, 1, 3 * BLOCK])
def test_all_bytes_are_written_whatever_their_place_and_number(descriptor: int, length: int, offset: int) -> None:
    assert written(descriptor, buffer_of(DATA[:length]), offset) == DATA[:length]


def test_memory_that_begins_elsewhere_is_written_too(descriptor: int) -> None:
    assert written(descriptor, buffer_of(DATA)[1:]) == DATA[1:]


def test_a_file_system_without_direct_writes_gets_cached_ones(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_DIRECT", raising=False)

    assert written(descriptor, buffer_of(DATA)) == DATA


def test_a_full_disk_is_an_error_of_a_direct_write() -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        DirectWriter(full.fileno()) as writer,
        pytest.raises(OSError, match="No space left"),
    ):
        writer.write(buffer_of(DATA), 0)


def test_a_buffer_begins_at_a_page_and_has_its_length() -> None:
    buffer = pipeline.new_buffer()

    assert len(buffer) == CHUNK
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % BLOCK == 0


@pytest.mark.parametrize("drop", [True, False], ids=["from the disk", "from the page cache"])
def test_a_file_is_read_whole(descriptor: int, drop: bool) -> None:
    os.write(descriptor, DATA)
    if drop:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    source = DirectSource(os.dup(descriptor))
    read = b"".join(bytes(chunk.view) for chunk in source.chunks(pipeline.new_buffer))
    source.close()

    assert read == DATA


def test_memory_that_begins_elsewhere_is_read_through_the_page_cache(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.write(descriptor, DATA)
    monkeypatch.setattr("lading.adapters.stream.sources.is_cached", lambda *_: False)

    source = DirectSource(os.dup(descriptor))
    read = b"".join(bytes(chunk.view) for chunk in source.chunks(lambda: bytearray(CHUNK)))
    source.close()

    assert read == DATA


def test_bytes_that_were_written_are_in_the_page_cache(descriptor: int) -> None:
    os.write(descriptor, DATA)

    assert is_cached(descriptor, 0, len(DATA))


def test_a_kernel_that_does_not_tell_is_read_through_the_page_cache(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_cachestat", lambda: None)

    assert is_cached(descriptor, 0, CHUNK)
