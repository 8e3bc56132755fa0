"""The writer of one source's bytes to one device: all but the head, and the head last."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from lading.adapters.destinations.device.block_device import HEAD, BlockDevice
from lading.adapters.destinations.device.target_state import DeviceBytes
from lading.adapters.destinations.file.steps import RAW_LIKE, check_gpt
from lading.adapters.destinations.rules import image_too_large
from lading.adapters.formats.audit import Audit
from lading.adapters.formats.conversion import gpt
from lading.adapters.formats.conversion.gpt import MovedBackup, moved_backup
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused, device_too_small
from lading.adapters.stream.pipeline import CHUNK, Chunk
from lading.adapters.stream.sources import Source
from lading.domain.refusals import TargetFailed, Unsupported
from lading.ports.form import Form
from lading.ports.image import Digest
from lading.ports.observer import Observer

__all__ = ["DeviceWriter", "check_sectors"]

_ZEROS: Final = bytes(CHUNK)
_NOTED_BYTES: Final = 1 << 30
_NOTED_SECONDS: Final = 30.0
"""What was written is flushed and noted so often, so that a later fetch resumes it."""


class DeviceWriter:
    """Writes to the device, and audits the bytes.

    Nothing is written before the image's first MiB has been read and inspected. Then `begin` is called, and the head
    and the end of the device are zeroed: an old partition table has its backup at the end.
    """

    def __init__(  # noqa: PLR0913 - the parts of one writing
        self,
        source: Source,
        device: BlockDevice,
        audit: Audit,
        observer: Observer,
        *,
        most: int | None,
        begin: Callable[[], None],
        note: Callable[[int], None] | None,
        head: bytes,
        end: int,
        form: Form,
    ) -> None:
        """`most`: the largest number of bytes that may be written; None: any. `note` is called with the number of bytes
        that are safe, None: nothing needs to be noted. `head`: the first bytes of an image that is resumed. `end`: the
        offset up to which the device gets zeros after the image, 0: none. `form`: whether a GPT's backup goes there.
        """
        self._source, self._device, self._audit, self._observer = source, device, audit, observer
        self._most, self._begin, self._note = most, begin, note
        self._given = head
        self._end, self._form = end, form
        self._moved: MovedBackup | None = None
        """The GPT as it becomes; None: it stays, or there is none."""
        self._made = Audit(None, Digest(content_algorithm(), ""), None) if end else None
        """The hash of what the device gets, where that is not the image as shipped."""
        self._head = bytearray()
        self._at = source.start or HEAD
        """Offset of the next byte to be written."""
        self._data = bytearray()
        """Bytes that wait for a whole sector."""
        self._zeros_from: int | None = None
        """Offset of the zeros that are not written yet, up to `_at`; None: there are none."""
        self._noted, self._noted_at = self._at, time.monotonic()
        self._content = audit if audit.is_hashing else Audit(None, Digest(content_algorithm(), ""), None)
        self.has_begun = False
        """True when the device is incomplete."""
        self.is_sealed = False
        """True when the head is written."""

    @property
    def digest(self) -> Digest | None:
        """The digest of what the device gets: by the catalog's algorithm for an image as shipped."""
        return (self._made or self._content).digest

    @property
    def head(self) -> bytes:
        """The device's first bytes."""
        return bytes(self._head)

    def stream(self) -> int:
        """Reads, audits and writes, each on its own thread. Returns the number of bytes.

        Raises Refused as soon as the size or the format rules the image out.
        """
        return pipeline.run(self, (self._take, self._write), self._progress)

    def check_format(self) -> None:
        """Raises Refused where the format is not the catalog's, or unsafe, or none that a device can have."""
        if (refusal := self._audit.format_refusal()) is not None:
            raise Refused(refusal)
        found, _ = self._audit.disk(0)
        if found is not None and found not in RAW_LIKE:
            raise Refused(Unsupported(f"its format is {found}, and a device gets raw images only"))

    def finish(self) -> None:
        """Writes what is left, but the head; zeroes the device from there to the end; flushes it."""
        if not self.has_begun:
            self._head += bytes(max(min(HEAD, self._end) - len(self._head), 0))
            self._start()
        at = self._at + len(self._data)
        whole = -(-at // self._device.sector) * self._device.sector
        tail = self._moved.tail_start if self._moved is not None else self._end
        for stop in (min(whole, self._end), tail, self._end):
            if stop > at:
                self._put(Chunk(at, stop - at, None))
                at = stop
        self._write_data(final=True)
        self._write_zeros()
        self._device.flush()

    def seal(self) -> None:
        """Writes the head, its first sector last, and flushes it: without that sector nothing boots."""
        self.is_sealed = True
        sector = self._device.sector
        if len(self._head) > sector:
            self._device.write(self._head[sector:], sector)
            self._device.flush()
        self._device.write(self._head[:sector], 0)
        self._device.flush()

    def keep(self) -> None:
        """Flushes what was written, and notes it."""
        if self._note is not None and self.has_begun:
            self._write_zeros()
            self._device.flush()
            self._noted, self._noted_at = self._at, time.monotonic()
            self._note(self._at // CHUNK * CHUNK)

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """What is there of an image that is resumed, then the source's chunks."""
        if self._source.start:
            yield Chunk(0, len(self._given), self._given)
            yield from DeviceBytes(self._device, self._source.start, HEAD).chunks(free)
        for chunk in self._source.chunks(free):
            if self._most is not None and chunk.offset + chunk.length > self._most:
                raise Refused(image_too_large(self._most))
            yield chunk

    def _progress(self, done: int) -> None:
        self._observer.progress(done, self._source.size)

    def _take(self, chunk: Chunk) -> None:
        was_known = self._audit.knows_the_format
        self._audit.take(chunk)
        if self._content is not self._audit:
            self._content.take(chunk)
        if self._audit.knows_the_format and not was_known:
            self.check_format()

    def _write(self, chunk: Chunk) -> None:
        if chunk.offset + chunk.length > self._device.size:
            raise Refused(device_too_small(self._device.path, self._source.size, self._device.size))
        skipped = max(min(HEAD - chunk.offset, chunk.length), 0)
        if skipped:
            self._head += chunk.view[:skipped] if chunk.buffer is not None else bytes(skipped)
        if len(self._head) == HEAD and not self.has_begun:
            self._start()
        if chunk.length > skipped:
            self._put(Chunk(chunk.offset + skipped, chunk.length - skipped, chunk.buffer, chunk.base + skipped))

    def _put(self, chunk: Chunk) -> None:
        """Writes bytes behind the head, unless they are there already."""
        chunk = self._with_backup(chunk)
        if self._made is not None:
            self._made.take(chunk)
        if chunk.offset >= self._at + len(self._data):
            self._append(chunk)

    def _with_backup(self, chunk: Chunk) -> Chunk:
        """The chunk with the moved backup of the partition table in it, where that belongs there."""
        moved = self._moved
        if moved is None or chunk.offset + chunk.length <= moved.tail_start:
            return chunk
        data = bytearray(chunk.length) if chunk.buffer is None else bytearray(chunk.view)
        start = max(moved.tail_start, chunk.offset)
        piece = moved.tail[start - moved.tail_start : chunk.offset + chunk.length - moved.tail_start]
        data[start - chunk.offset : start - chunk.offset + len(piece)] = piece
        return Chunk(chunk.offset, chunk.length, bytes(data))

    def _start(self) -> None:
        """Makes the device incomplete: noted, without a head, and without a partition table at its end."""
        check_sectors(self._head, self._device)
        check_gpt(self._form, self._head)
        if self._form.fill or self._form.fix_gpt:
            self._moved = moved_backup(bytes(self._head), self._end)
            if self._moved is not None:
                self._head[:] = self._moved.head
        if self._made is not None:
            self._made.take(Chunk(0, len(self._head), bytes(self._head)))
        self._begin()
        self.has_begun = True
        if self._source.start:
            return  # it is incomplete already
        self._device.zero_ends()
        self._device.flush()
        self._device.rescan_partitions()

    def _append(self, chunk: Chunk) -> None:
        """Writes the bytes that follow those before. The last ones may wait until their sector is whole."""
        is_zeros = chunk.buffer is None or (
            chunk.length <= CHUNK and chunk.buffer.startswith(memoryview(_ZEROS)[: chunk.length], chunk.base)
        )
        if is_zeros and not self._data and chunk.length % self._device.sector == 0:
            if self._zeros_from is None:
                self._zeros_from = self._at
            self._at += chunk.length
            return
        self._write_zeros()
        if chunk.buffer is None:
            for start in range(0, chunk.length, CHUNK):
                self._append_data(memoryview(_ZEROS)[: min(CHUNK, chunk.length - start)])
        else:
            self._append_data(chunk.view)
        if self._note is not None and (
            self._at - self._noted >= _NOTED_BYTES or time.monotonic() - self._noted_at >= _NOTED_SECONDS
        ):
            self.keep()

    def _append_data(self, data: memoryview) -> None:
        if self._data or len(data) % self._device.sector:
            self._data += data
            self._write_data(final=False)
            return
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            self._device.write(piece, self._at)
            self._at += len(piece)

    def _write_data(self, *, final: bool) -> None:
        """Writes what waits, as far as sectors are whole; all of it when it is `final`."""
        length = len(self._data) if final else len(self._data) // self._device.sector * self._device.sector
        for start in range(0, length, CHUNK):
            piece = bytes(self._data[start : min(start + CHUNK, length)])
            self._device.write(piece, self._at)
            self._at += -(-len(piece) // self._device.sector) * self._device.sector
        del self._data[:length]

    def _write_zeros(self) -> None:
        if self._zeros_from is not None:
            self._device.zero(self._zeros_from, self._at)
            self._zeros_from = None


def check_sectors(head: bytes | bytearray, device: BlockDevice) -> None:
    """Raises Refused where the image's GPT is for sectors of another size: such a disk would not boot."""
    sizes = [size for size in gpt.SECTOR_SIZES if head.startswith(gpt.SIGNATURE, size)]
    if sizes and device.sector not in sizes:
        reason = f"its partition table is for sectors of {sizes[0]} bytes, and {device.path} has sectors of"
        raise Refused(TargetFailed(f"{reason} {device.sector}: it could not be read there"))
