"""The disk image in a packed file: compressed, in an archive, or both."""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import repeat
from typing import Final, NamedTuple

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.other_files import other_file
from lading.adapters.formats.unpacking.choice import Choice
from lading.adapters.formats.unpacking.decompression import COMPRESSIONS, decompress
from lading.adapters.formats.unpacking.reader import Reader
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, HOLE, Chunk, Chunks
from lading.adapters.stream.sources import FileSource
from lading.domain.refusals import Mismatched, TooLarge

__all__ = ["HEAD", "Limits", "Unpacked", "packing"]

HEAD: Final = 4096
"""First bytes of a file that tell how it is packed."""
_PACKINGS: Final = frozenset({*COMPRESSIONS, "tar", "ova", "zip"})
_MOST_LAYERS: Final = 4


class Limits(NamedTuple):
    """Bounds of the unpacking, in bytes."""

    most: int
    """Of what comes out, of each layer."""
    memory: int = 128 << 20
    """Of the memory for one decompressor, above all its window. 128 MiB suffice for `xz -9` and `zstd --ultra -22`."""


def packing(head: bytes) -> str | None:
    """The name of the packing that begins so and can be unpacked here; None for others. `head` has `HEAD` bytes.

    >>> packing(b"\\x1f\\x8b\\x08" + bytes(20)), packing(b"7z\\xbc\\xaf\\x27\\x1c"), packing(bytes(512))
    ('gz', None, None)
    """
    other = other_file(head)
    return other.name if other is not None and other.name in _PACKINGS else None


class Unpacked:
    """The bytes of the disk image in a packed file, as chunks for a pipeline.

    Packings may be nested. The packed bytes are read to their end: what follows the image is checked too.
    """

    def __init__(
        self, packed: Chunks, limits: Limits, member: str | None = None, *, check: Callable[[], None] | None = None
    ) -> None:
        """`packed` gives all bytes from offset 0; a zip archive must be a FileSource. `member`: the disk's name.

        `check` is called with each piece that comes out of a layer, also one that is skipped; it may raise.
        """
        self._packed, self._limits, self._asked, self._check = packed, limits, member, check
        self.layers: tuple[str, ...] = ()
        """The packings that were unpacked so far, from the outermost: ("xz", "tar")."""
        self.member: str | None = None
        """The name of the disk in the archive, once it is found."""

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """See `Chunks`. Raises Refused where the file cannot be unpacked: Mismatched, or Unconfigured."""
        self.layers, self.member = (), None
        # A file's source uses one buffer at a time; one that several connections fill may use several.
        buffers = repeat(bytearray(CHUNK)) if isinstance(self._packed, FileSource) else map(bytearray, repeat(CHUNK))
        packed = self._packed.chunks(buffers.__next__)
        try:
            reader = self._innermost(Reader(packed))
            if self._asked is not None and self.member is None:
                raise Refused(Mismatched("the image is no archive, and has no member that could be chosen"))
            yield from _in_buffers(reader, free)
        finally:
            if isinstance(packed, Generator):
                packed.close()

    def _innermost(self, reader: Reader) -> Reader:
        while (name := packing(reader.head(HEAD))) is not None:
            if len(self.layers) == _MOST_LAYERS:
                raise Refused(
                    Mismatched(f"the image is packed more than {_MOST_LAYERS} times: {' in '.join(self.layers[::-1])}")
                )
            reader = Reader(self._bounded(self._layer(name, reader)))
            self.layers += (name,)
        return reader

    def _layer(self, name: str, reader: Reader) -> Iterator[Chunk]:
        if name in COMPRESSIONS:
            return decompress(name, reader, self._limits.memory)
        if name != "zip":
            from lading.adapters.formats.unpacking.tar import disk_in_tar  # noqa: PLC0415 - few images are in one

            return self._from_archive(name, partial(disk_in_tar, reader))
        if self.layers or not isinstance(self._packed, FileSource):
            raise Refused(Mismatched("the image is a zip archive within another file", advice="take it out first"))
        from lading.adapters.formats.unpacking.zip import disk_in_zip  # noqa: PLC0415 - likewise

        return self._from_archive(name, partial(disk_in_zip, self._packed))

    def _from_archive(self, name: str, disk_in: Callable[[Choice], Iterator[Chunk]]) -> Iterator[Chunk]:
        choice = Choice(name, self._asked)
        for chunk in disk_in(choice):
            self.member = choice.taken
            yield chunk
        self.member = choice.taken

    def _bounded(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            if self._check is not None:
                self._check()
            if chunk.offset + chunk.length > self._limits.most:
                raise Refused(
                    TooLarge(
                        "the disk in the packed image is too large",
                        expected=f"at most {exact_size(self._limits.most)}",
                        found="more",
                        advice="[landing] max_size and max_unpacked are the limits",
                    )
                )
            yield chunk


def _in_buffers(reader: Reader, free: Callable[[], bytearray]) -> Iterator[Chunk]:
    """The reader's bytes in full buffers: members of a few bytes cost little, and data begins at whole blocks."""
    buffer, length = bytearray(), 0
    while (piece := reader.piece(HOLE)).length:
        if piece.buffer is None and piece.length >= CHUNK:
            if length:
                yield Chunk(piece.offset - length, length, buffer)
                length = 0
            yield piece
            continue
        reader.give_back(piece.length)
        if length == 0:
            buffer = free()
        view = reader.view(CHUNK - length)
        memoryview(buffer)[length : length + len(view)] = view
        length += len(view)
        if length == CHUNK:
            yield Chunk(reader.position - length, length, buffer)
            length = 0
    if length:
        yield Chunk(reader.position - length, length, buffer)
