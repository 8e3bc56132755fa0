"""The one disk in a zip archive, which is read from a file: its directory is at the end (APPNOTE.TXT 4.3.6)."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.unpacking.choice import Choice
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import Chunk, SourceBroken
from lading.adapters.stream.sources import FileSource
from lading.domain.refusals import Mismatched

__all__ = ["disk_in_zip"]

_ERRORS: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, LookupError, OverflowError, NotImplementedError,
)  # fmt: skip
"""Those of zipfile for damaged archives, and for features that it does not know."""
_LONGEST_READ: Final = 1 << 20
"""Bytes of a directory: some thousand members."""
_PIECE: Final = 256 << 10
_END: Final = b"PK\5\6"
_END_SIZE: Final = 22
"""Bytes of the record at the end, without its comment."""
_ENCRYPTED: Final = 0x1
_METHODS: Final = {0: "stored", 8: "deflate"}


class _File(io.RawIOBase):
    """A file by its descriptor, which others use at the same time."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError("it begins before the file")
        self._position = start + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(self._source.size - self._position, 0)
        if size > _LONGEST_READ:
            raise ValueError("its directory is too long")
        try:
            data = os.pread(self._source.descriptor, size, self._position)
        except OSError as error:
            raise SourceBroken(f"it cannot be read: {error.strerror}") from error
        self._position += len(data)
        return data


def disk_in_zip(source: FileSource, choice: Choice) -> Iterator[Chunk]:
    """The bytes of the disk. Raises Refused where there is none, or several, or the archive is damaged."""
    try:
        with zipfile.ZipFile(_File(source)) as archive:
            _check_end(source, archive.comment)
            for entry in archive.infolist():
                if not (entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16)) and choice.takes(
                    entry.filename, entry.file_size
                ):
                    chosen = entry
            choice.settle()
            _check_method(chosen)
            with archive.open(chosen) as member:
                offset = 0
                while data := member.read(_PIECE):
                    yield Chunk(offset, len(data), data)
                    offset += len(data)
            if offset != chosen.file_size:
                raise _damaged(f"the disk has {exact_size(offset)}, its directory says {exact_size(chosen.file_size)}")
    except _ERRORS as error:
        raise _damaged(str(error) or type(error).__name__) from error


def _check_end(source: FileSource, comment: bytes) -> None:
    """zipfile also finds a directory that other bytes follow."""
    end = source.last_bytes(_END_SIZE + len(comment))
    if not end.startswith(_END):
        raise Refused(Mismatched("other bytes follow its zip archive"))


def _check_method(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise Refused(
            Mismatched("the disk in the zip archive is encrypted", advice="take it out with its password first")
        )
    if entry.compress_type not in _METHODS:
        raise Refused(
            Mismatched(
                "the disk in the zip archive is compressed in an unknown way",
                expected="deflate",
                found=f"method {entry.compress_type}",
                advice="take it out first: 7z x FILE",
            )
        )


def _damaged(reason: str) -> Refused:
    return Refused(Mismatched(f"its zip archive is damaged: {reason}"))
