"""The writer of one source's bytes to one new file."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from lading.adapters.destinations.file.unpacking import Unpacking
from lading.adapters.destinations.rules import image_too_large
from lading.adapters.formats.audit import Audit
from lading.adapters.stream import pipeline
from lading.adapters.stream.direct import DirectWriter
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import Chunk
from lading.adapters.stream.sources import FileSource, Source
from lading.adapters.stream.sparse import copy_extent, extents, write_at, write_sparsely
from lading.adapters.stream.threads import Thread, running
from lading.adapters.stream.write_back import WriteBack
from lading.ports.observer import Observer

__all__ = ["FileWriter", "in_background"]


class FileWriter:
    """Fills the file at a descriptor in one of several ways, and audits its bytes."""

    def __init__(
        self, source: Source, descriptor: int, audit: Audit, observer: Observer, *, most: int | None = None
    ) -> None:
        """`most`: the largest number of bytes that may be streamed; None: any."""
        self._most = most
        self.source, self.descriptor, self.audit, self._observer = source, descriptor, audit, observer
        self._direct, self._write_back = DirectWriter(descriptor), WriteBack(descriptor)
        self._unpacking: Unpacking | None = None
        self._wanted: str | None = None

    def progress(self, done: int) -> None:
        self._observer.progress(done, self.source.size)

    def stream(
        self, unpacking: Unpacking | None = None, *, wanted: str | None = None, buffers: int | None = None
    ) -> int:
        """Reads, audits and writes, each on its own thread. Returns the number of bytes.

        The partial data before the source's start is read from the file and audited too. `unpacking` gets all bytes.
        `wanted`: the format to which the file will be converted; None: it stays as it is. `buffers`: see `run`. Raises
        Refused as soon as the size or the format rules the image out.
        """
        self._unpacking, self._wanted = unpacking, wanted
        stages, give_up = [self.audit.take_strictly, self._write], None
        if unpacking is not None:
            stages, give_up = [*stages, unpacking.take], unpacking.abandon
        with self._direct:
            size = pipeline.run(self, stages, self.progress, buffers=buffers, give_up=give_up)
        os.ftruncate(self.descriptor, size)
        if unpacking is not None:
            unpacking.finish()
        return size

    def copy(self, source: FileSource) -> int:
        """Copies within the kernel where possible, and keeps holes. Returns the number of bytes."""
        os.ftruncate(self.descriptor, source.size)
        with in_background(self.audit.prepare):
            for extent in extents(source.descriptor, source.size):
                if not extent.is_hole:
                    copy_extent(source.descriptor, self.descriptor, extent, self._copied)
                self.progress(extent.offset + extent.length)
        return source.size

    def inspect(self) -> None:
        """Inspects the format of the written file; the source may have changed since."""
        with closing(FileSource(os.dup(self.descriptor))) as filled:
            self.audit.inspect(filled)

    def read_back(self) -> int:
        """Audits the whole written file. Returns its size in bytes."""
        with closing(FileSource(os.dup(self.descriptor))) as filled:
            return pipeline.run(filled, (self.audit.take,), self.progress)

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """The partial data in the file, then the source's chunks."""
        for chunk in self._all_chunks(free):
            if self._most is not None and chunk.offset + chunk.length > self._most:
                raise Refused(image_too_large(self._most))
            if self._unpacking is not None:
                self._unpacking.look(chunk)
            yield chunk

    def _all_chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        if self.source.start:
            with closing(FileSource(os.dup(self.descriptor))) as there:
                yield from there.chunks(free)
        yield from self.source.chunks(free)

    def _write(self, chunk: Chunk) -> None:
        if chunk.buffer is not None and chunk.offset >= self.source.start:
            if self._becomes_another():
                write_sparsely(chunk, partial(write_at, self.descriptor))
            else:
                write_sparsely(chunk, self._direct.write)
                self._write_back.wrote(chunk.offset + chunk.length)

    def _becomes_another(self) -> bool:
        """Tells whether the file is unpacked or converted into another: it need not reach the disk then."""
        if self._unpacking is not None and self._unpacking.has_begun:
            return True
        return self._wanted is not None and self.audit.knows_the_format and self.audit.disk(0)[0] != self._wanted

    def _copied(self, end: int) -> None:
        self._write_back.wrote(end)
        self.progress(end)


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Does the work on another thread while the block runs. Its error is raised at the end of the block."""
    faults: list[BaseException] = []
    with running([Thread(partial(_catch, work, faults))], lambda: None):
        yield
    if faults:
        raise faults[0]


def _catch(work: Callable[[], object], faults: list[BaseException]) -> None:
    try:
        work()
    except BaseException as fault:  # noqa: BLE001 - raised again by `in_background`
        faults.append(fault)
