"""Laws of sparse files: every byte is kept, and no zeros are written."""

import hashlib
import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from lading import Image, Unavailable, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream import sparse
from lading.adapters.stream.pipeline import Chunk
from lading.adapters.stream.safe_open import open_regular
from lading.adapters.stream.sources import FileSource

BLOCK = sparse.BLOCK
runs = st.lists(st.tuples(st.booleans(), st.integers(1, 40_000)), max_size=8)
"""Data (True) and zeros, so many bytes of each."""


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


@given(runs)
def test_extents_cover_the_file_once_in_order_and_holes_are_zeros(
    tmp_path_factory: pytest.TempPathFactory, layout: list[tuple[bool, int]]
) -> None:
    path = tmp_path_factory.mktemp("extents") / "file"
    data = spread(path, layout)
    with path.open("rb") as file:
        found = list(sparse.extents(file.fileno(), len(data)))
    assert [extent.offset for extent in found] == [0, *(each.offset + each.length for each in found)][:-1]
    assert sum(extent.length for extent in found) == len(data)
    assert not any(any(data[each.offset : each.offset + each.length]) for each in found if each.is_hole)


@given(runs, st.booleans())
def test_a_landed_file_has_the_source_s_bytes_and_no_more_blocks(
    tmp_path_factory: pytest.TempPathFactory, layout: list[tuple[bool, int]], verify: bool
) -> None:
    folder = tmp_path_factory.mktemp("landed")
    data = spread(folder / "source", layout)
    image = Image("id", checksum=md5(data)) if verify else Image("id")
    landed = FileDestination(MemoryVerifiedFiles()).fetch(
        Work(str(folder / "target"), image),
        SourceOpener(lambda _: open_regular(str(folder / "source")).map(FileSource).alt(Unavailable), "copy"),
    )
    assert isinstance(landed, Success)
    assert (folder / "target").read_bytes() == data
    assert blocks(folder / "target") <= blocks(folder / "source")


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def blocks(path: Path) -> int:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_blocks


@given(runs, st.integers(0, 3), st.sampled_from([bytearray, bytes]), st.integers(0, 2 * BLOCK))
def test_zeros_are_not_written(
    tmp_path_factory: pytest.TempPathFactory,
    layout: list[tuple[bool, int]],
    at: int,
    kind: type[bytearray | bytes],
    base: int,
) -> None:
    data = laid_out(layout)
    path = tmp_path_factory.mktemp("sparse") / "file"
    buffer = kind(b"x" * base + data + b"old bytes beyond the length")
    with path.open("w+b") as file:
        write = partial(sparse.write_at, file.fileno())
        sparse.write_sparsely(Chunk(at * BLOCK, len(data), buffer, base), write)
        file.truncate(at * BLOCK + len(data))
    assert path.read_bytes() == bytes(at * BLOCK) + data
    whole = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
    assert blocks(path) * 512 <= sum(BLOCK for block in whole if any(block) or len(block) < BLOCK)
