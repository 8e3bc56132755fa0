"""The decompression of streams: one loop for all formats.

A file may have several members one after the other (gzip), streams (bzip2, xz) or frames (zstd, lz4): together they are
the file. Sources: RFC 1952 2.2 (gzip members), bzip2's manual, the .xz file format 1.2 (2.2: padding), RFC 8878 3
(zstd), lz4_Frame_format.md.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple, Protocol, cast

from lading.adapters.formats.unpacking.reader import Reader
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, Chunk
from lading.domain.refusals import Mismatched, Unconfigured

__all__ = ["COMPRESSIONS", "decompress"]

_FIRST_PIECE: Final = 4096
_PIECE: Final = 256 << 10
"""Bytes that a decompressor gets at a time: with more, zlib and isal copy so much that other threads wait for them."""
_SKIPPABLE: Final = tuple(bytes([first, 0x2A, 0x4D, 0x18]) for first in range(0x50, 0x60))
"""The first bytes of frames without data, in zstd and lz4."""
_PACKAGES: Final = {"zst": "backports.zstd", "lz4": "lz4"}
_GZIP: Final = 31
"""The window of zlib for a gzip member, with its checksum (zlib.h, inflateInit2)."""


class _Decompressor(Protocol):
    """Decompresses one member, like those of bz2 and lzma."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes | memoryview, /, max_length: int) -> bytes: ...


class _Format(NamedTuple):
    """A compression, once its library is loaded."""

    decompressor: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]
    starts: tuple[bytes, ...]
    """The first bytes of a member."""
    padding: int = 0
    """Zeros may follow a member, in multiples of so many bytes; 0: none may."""


class _Zlib:
    """The decompressor of zlib with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes | memoryview, /, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail or data, max_length)


def _gz(_memory: int) -> _Format:
    starts = (b"\x1f\x8b",)
    try:
        from isal import igzip_lib  # noqa: PLC0415 - see `COMPRESSIONS`
    except ImportError:
        return _Format(_Zlib, (zlib.error,), starts, padding=1)

    decompressor = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP)
    return _Format(decompressor, (cast("type[Exception]", igzip_lib.error), EOFError), starts, padding=1)


def _bz2(_memory: int) -> _Format:
    import bz2  # noqa: PLC0415 - see `COMPRESSIONS`

    return _Format(bz2.BZ2Decompressor, (OSError, EOFError, ValueError), (b"BZh",))


def _xz(memory: int) -> _Format:
    import lzma  # noqa: PLC0415 - see `COMPRESSIONS`

    decompressor = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=memory)
    return _Format(decompressor, (lzma.LZMAError, EOFError), (b"\xfd7zXZ\0",), padding=4)


def _zst(memory: int) -> _Format:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - see `COMPRESSIONS`
    else:
        from backports import zstd  # noqa: PLC0415 - see `COMPRESSIONS`

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: memory.bit_length() - 1}
    decompressor = partial(zstd.ZstdDecompressor, options=options)
    return _Format(decompressor, (zstd.ZstdError, EOFError), (b"\x28\xb5\x2f\xfd", *_SKIPPABLE))


def _lz4(_memory: int) -> _Format:
    from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 - see `COMPRESSIONS`

    return _Format(LZ4FrameDecompressor, (RuntimeError, EOFError), (b"\x04\x22\x4d\x18", *_SKIPPABLE))


COMPRESSIONS: Final = {"gz": _gz, "bz2": _bz2, "xz": _xz, "zst": _zst, "lz4": _lz4}
"""By the names of `other_file`. Each loads its library when it is called, with the bytes of memory that are allowed."""


def decompress(name: str, packed: Reader, memory: int) -> Iterator[Chunk]:
    """The decompressed bytes of all members; `memory` bounds what a member may need, in bytes.

    Raises Refused where the data is damaged, incomplete, followed by other bytes, or needs more memory.
    """
    try:
        form = COMPRESSIONS[name](memory)
    except ImportError as error:
        reason = f"it is {name} data, and {_PACKAGES.get(name, error.name)} is not installed"
        raise Refused(Unconfigured(f"{reason}: pip install 'lading[unpack]'")) from error
    offset = 0
    while True:
        for data in _member(name, form, packed, memory):
            yield Chunk(offset, len(data), data)
            offset += len(data)
        _skip_padding(name, form, packed)
        start = packed.head(6)
        if not start:
            return
        if not start.startswith(form.starts):
            raise _other_bytes(name, packed.position)


def _member(name: str, form: _Format, packed: Reader, memory: int) -> Iterator[bytes]:
    """The decompressed bytes of the member that begins here, in pieces of at most a buffer's length."""
    decompressor = form.decompressor()
    # Small at first: the rest after a member's end is copied, and a file may consist of tiny members.
    most = _FIRST_PIECE
    while not decompressor.eof:
        is_hungry = decompressor.needs_input
        piece = packed.view(most) if is_hungry else b""
        try:
            data = decompressor.decompress(piece, CHUNK)
        except MemoryError:
            raise _too_much_memory(name, memory) from None
        except form.errors as error:
            if "memory" in str(error).lower():
                raise _too_much_memory(name, memory) from None
            raise Refused(Mismatched(f"its {name} data is damaged before byte {packed.position}: {error}")) from error
        if data:
            yield data
        elif not piece and not decompressor.eof and decompressor.needs_input == is_hungry:
            raise Refused(Mismatched(f"its {name} data is incomplete: it ends at byte {packed.position}"))
        most = min(4 * most, _PIECE)
    packed.give_back(len(decompressor.unused_data or b""))


def _skip_padding(name: str, form: _Format, packed: Reader) -> None:
    start = packed.position
    while form.padding and (view := packed.view(_FIRST_PIECE)):
        rest = len(bytes(view).lstrip(b"\0"))
        if rest:
            packed.give_back(rest)
            break
    if form.padding and (packed.position - start) % form.padding:
        raise _other_bytes(name, start)


def _other_bytes(name: str, position: int) -> Refused:
    return Refused(Mismatched(f"other bytes follow its {name} data, from byte {position} on"))


def _too_much_memory(name: str, memory: int) -> Refused:
    return Refused(
        Mismatched(f"its {name} data needs more than {memory >> 20} MiB of memory: compress it with a smaller window")
    )
