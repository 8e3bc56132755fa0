"""Packed files made by the standard library and the decompressors' own packages, and their unpacking in one call."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import lz4.frame
from backports import zstd

from lading.adapters.formats.unpacking.unpacked import Limits, Unpacked
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks
from lading.adapters.stream.sources import FileSource

__all__ = ["COMPRESS", "LIMITS", "Pieces", "contents", "opened", "refusal_of", "source_of", "tar_of", "zip_of"]

LIMITS: Final = Limits(most=64 << 20)


def _lz4(data: bytes) -> bytes:
    return bytes(lz4.frame.compress(data, content_checksum=True))


def _zstd(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


COMPRESS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd, "lz4": _lz4,
}  # fmt: skip


class Pieces:
    """Packed bytes that come in pieces, each in the same buffer as the one before."""

    def __init__(self, data: bytes, cuts: tuple[int, ...] = ()) -> None:
        self._data, self._cuts = data, cuts

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        buffer = bytearray(max(len(self._data), 1))
        for start, end in pairwise([0, *sorted({min(cut, len(self._data)) for cut in self._cuts}), len(self._data)]):
            buffer[: end - start] = self._data[start:end]
            if end > start:
                yield Chunk(start, end - start, None if not any(self._data[start:end]) else buffer)


def contents(unpacked: Unpacked) -> bytes:
    """All bytes that come out, the holes as zeros."""
    parts, place = [], 0
    for chunk in unpacked.chunks(lambda: bytearray(CHUNK)):
        assert chunk.offset == place
        assert chunk.length > 0
        parts.append(bytes(chunk.length) if chunk.buffer is None else bytes(chunk.view))
        place += chunk.length
    return b"".join(parts)


def opened(packed: bytes | Chunks, member: str | None = None, limits: Limits = LIMITS) -> bytes:
    return contents(Unpacked(Pieces(packed) if isinstance(packed, bytes) else packed, limits, member))


def refusal_of(packed: bytes | Chunks, member: str | None = None, limits: Limits = LIMITS) -> str:
    """The reason why it is refused; "" where it is not."""
    try:
        opened(packed, member, limits)
    except Refused as refused:
        return str(refused.refusal)
    return ""


def tar_of(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def zip_of(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> FileSource:
    """An open zip archive; the caller closes it."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return source_of(path)


def source_of(path: Path) -> FileSource:
    return FileSource(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
