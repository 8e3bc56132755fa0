"""Bytes and holes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.adapters.stream import pipeline, sparse
from lading.adapters.stream.pipeline import CHUNK, Chunk, SourceBroken
from lading.adapters.stream.safe_open import open_regular
from lading.adapters.stream.sources import FileSource, StreamSource


def laid_out(layout: list[tuple[bool, int]]) -> bytes:
    return b"".join(os.urandom(length) if is_data else bytes(length) for is_data, length in layout)


def spread(path: Path, layout: list[tuple[bool, int]]) -> bytes:
    """A file with holes where the layout has zeros; its bytes."""
    data = laid_out(layout)
    with path.open("wb") as file:
        for is_data, length in layout:
            part = data[file.tell() : file.tell() + length]
            file.write(part) if is_data else file.seek(length, os.SEEK_CUR)
        file.truncate(len(data))
    return data


def test_a_copy_goes_on_by_hand_where_the_kernel_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = spread(tmp_path / "source", [(True, 3 << 20), (False, 1 << 20), (True, 100)])

    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert copied(tmp_path) == data
    monkeypatch.delattr(os, "copy_file_range")
    assert copied(tmp_path) == data


def copied(folder: Path) -> bytes:
    with (folder / "source").open("rb") as source, (folder / "target").open("w+b") as target:
        size = os.fstat(source.fileno()).st_size
        os.ftruncate(target.fileno(), size)
        for extent in sparse.extents(source.fileno(), size):
            if not extent.is_hole:
                sparse.copy_extent(source.fileno(), target.fileno(), extent, lambda _: None)
    return (folder / "target").read_bytes()


def test_a_file_that_becomes_shorter_while_it_is_copied_is_a_broken_source(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"short")
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("w+b") as target:
        extent = sparse.Extent(0, 100, is_hole=False)
        with pytest.raises(SourceBroken, match="shorter"):
            sparse.copy_extent(source.fileno(), target.fileno(), extent, lambda _: None)


def test_a_file_that_becomes_shorter_while_it_is_read_is_a_broken_source(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(3 << 20))
    source = FileSource(open_regular(str(path)).unwrap())

    chunks = source.chunks(lambda: bytearray(CHUNK))
    next(chunks)
    os.truncate(path, 1 << 20)
    with pytest.raises(SourceBroken, match="shorter"):
        list(chunks)
    source.close()


class Source:
    """Counts, and remembers which buffers it was given."""

    def __init__(self, chunks: int) -> None:
        self.count = chunks
        self.buffers: set[int] = set()

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        for number in range(self.count):
            buffer = free()
            self.buffers.add(id(buffer))
            buffer[0] = number % 256
            yield Chunk(number, 1, buffer)


def test_every_stage_sees_every_chunk_in_order_in_bounded_memory() -> None:
    source, first, second = Source(200), [], []
    total = pipeline.run(
        source,
        (
            lambda chunk: first.append((chunk.offset, seen(chunk))),
            lambda chunk: second.append((chunk.offset, seen(chunk))),
        ),
        lambda _: None,
    )
    assert total == 200
    assert first == second == [(number, number) for number in range(200)]
    assert len(source.buffers) <= 24


def seen(chunk: Chunk) -> int:
    assert chunk.buffer is not None
    return chunk.buffer[0]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_stage_s_fault_ends_the_run_and_is_raised(failing: int) -> None:
    source = Source(1_000_000)

    def fail(chunk: Chunk) -> None:
        if chunk.offset == 20:
            raise ZeroDivisionError

    stages: list[Callable[[Chunk], None]] = [lambda _: None, lambda _: None]
    stages[failing] = fail
    read: list[int] = []
    with pytest.raises(ZeroDivisionError):
        pipeline.run(source, stages, read.append)
    assert max(read) < 100


def test_a_stream_is_taken_whatever_pieces_it_comes_in() -> None:
    data = os.urandom(2 * CHUNK + 17)

    class Dribbling:
        position = 0

        def readinto(self, buffer: memoryview) -> int:
            piece = data[self.position : self.position + min(len(buffer), 70_001)]
            buffer[: len(piece)] = piece
            self.position += len(piece)
            return len(piece)

        def close(self) -> None:
            raise AssertionError("whoever opened it closes it")

    got = bytearray()
    for chunk in StreamSource(Dribbling(), None).chunks(lambda: bytearray(CHUNK)):
        assert chunk.buffer is not None
        assert chunk.length == CHUNK or chunk.offset + chunk.length == len(data)
        got += chunk.buffer[: chunk.length]
    assert bytes(got) == data
