"""The one disk in a tar archive, read as a stream.

tarfile reads the headers (POSIX pax, GNU), also sparse maps. It trusts them: `_Headers` bounds what it reads.
"""

import tarfile
from collections.abc import Iterator
from typing import Final, cast

from lading.adapters.formats.unpacking.choice import Choice
from lading.adapters.formats.unpacking.ovf import LONGEST, disk_files
from lading.adapters.formats.unpacking.reader import Reader
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, HOLE, Chunk
from lading.domain.refusals import Mismatched

__all__ = ["disk_in_tar"]

_BLOCK: Final = 512
_LONGEST_READ: Final = 16 << 10
"""Bytes of a pax header or a long name. Before 3.11.10 tarfile searches digits in quadratic time (CVE-2024-6232)."""
_MOST_HEADERS: Final = 4 << 20
"""Bytes of all headers and sparse maps: some thousand members, or some hundred thousand extents."""
_ERRORS: Final = (tarfile.TarError, ValueError, OverflowError, LookupError)
"""Those of tarfile for damaged headers."""


class _Headers:
    """The archive as a file for tarfile: it goes forward only, and reads few bytes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._read = 0
        self.last = b""
        """The bytes read last."""

    def tell(self) -> int:
        return self._reader.position

    def seek(self, position: int) -> None:
        if position < self._reader.position:
            raise _damaged("a member overlaps the one before")
        self._reader.skip(position - self._reader.position)

    def read(self, count: int) -> bytes:
        self._read += count
        if count > _LONGEST_READ or self._read > _MOST_HEADERS:
            raise _damaged("its headers are too long")
        self.last = self._reader.read(count)
        return self.last


def disk_in_tar(reader: Reader, choice: Choice) -> Iterator[Chunk]:
    """The bytes of the disk. Raises Refused where there is none, or several, or the archive is damaged."""
    headers = _Headers(reader)
    try:
        archive = tarfile.TarFile(fileobj=headers, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
        while (entry := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            if not entry.isreg():
                continue
            if entry.name.lower().endswith(".ovf") and 0 < entry.size <= LONGEST and not entry.issparse():
                choice.describe(disk_files(reader.read(entry.size)))
            elif choice.takes(entry.name, entry.size):
                yield from _contents(reader, entry)
                if not 0 <= archive.offset - reader.position < _BLOCK:
                    raise _damaged("a sparse member's map does not fit its data")
    except _ERRORS as error:
        raise _incomplete(reader) if not reader.head(1) else _damaged(str(error)) from error
    _check_end(reader, headers.last)
    choice.settle()


def _contents(reader: Reader, entry: tarfile.TarInfo) -> Iterator[Chunk]:
    """The member's bytes. What a sparse member leaves out are holes."""
    done, runs = 0, [(0, entry.size)]
    if entry.sparse is not None:
        # The type stubs say bytes. Unused places in a header are runs of no length.
        runs = [run for run in cast("list[tuple[int, int]]", entry.sparse) if run[1]]
    for offset, length in runs:
        if not 0 <= done <= offset <= offset + length <= entry.size:
            raise _damaged("a sparse member's map has no order")
        yield from _hole(done, offset)
        done = offset
        while done < offset + length:
            piece = reader.piece(min(offset + length - done, CHUNK))
            if not piece.length:
                raise _incomplete(reader)
            yield piece._replace(offset=done)
            done += piece.length
    yield from _hole(done, entry.size)


def _hole(start: int, end: int) -> Iterator[Chunk]:
    for offset in range(start, end, HOLE):
        yield Chunk(offset, min(HOLE, end - offset), None)


def _check_end(reader: Reader, last: bytes) -> None:
    """An archive ends with two blocks of zeros or more; tarfile also stops at any block that is no header.

    umoci writes no such blocks: then it ends after a member, and the disk in it is whole.
    """
    if not last:
        return
    if len(last) < _BLOCK:
        raise _incomplete(reader)
    if last.strip(b"\0"):
        raise _damaged("a member's header is wrong")
    start = reader.position
    while view := reader.view(CHUNK):
        if bytes(view).strip(b"\0"):
            raise Refused(Mismatched(f"other bytes follow its tar archive, after byte {start}"))
    if reader.position - start < _BLOCK:
        raise _incomplete(reader)


def _damaged(reason: str) -> Refused:
    return Refused(Mismatched(f"its tar archive is damaged: {reason}"))


def _incomplete(reader: Reader) -> Refused:
    return Refused(Mismatched(f"its tar archive is incomplete: it ends at byte {reader.position}"))
