"""Bytes on their way from one source into one new file."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from lading.adapters.formats.audit import Audit
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import Chunk
from lading.adapters.stream.sources import FileSource, Source
from lading.adapters.stream.sparse import copy_extent, extents, write_sparsely
from lading.adapters.stream.threads import join, start
from lading.domain.refusals import Mismatched
from lading.ports.observer import Observer

__all__ = ["FileWriter"]


class FileWriter:
    """Fills the file at a descriptor, in one of several ways, and audits what is in it."""

    def __init__(
        self, source: Source, descriptor: int, audit: Audit, observer: Observer, *, most: int | None = None
    ) -> None:
        """`most`: so many bytes are streamed, and no more; None: as many as there are."""
        self._most = most
        self.source, self.descriptor, self.audit, self._observer = source, descriptor, audit, observer

    def progress(self, done: int) -> None:
        self._observer.progress(done, self.source.size)

    def stream(self) -> int:
        """Read, audit and write, each on a thread of its own; how many bytes there were.

        What is in the file already, up to where the source begins, is read from there. Raises Refused as soon as its
        size or its format rules the image out.
        """
        size = pipeline.run(self, (self._take, self._write), self.progress)
        os.ftruncate(self.descriptor, size)
        return size

    def copy(self, source: FileSource) -> int:
        """Copy within the kernel where it can, hole for hole; how many bytes that makes."""
        os.ftruncate(self.descriptor, source.size)
        with _on_the_side(self.audit.prepare):
            for extent in extents(source.descriptor, source.size):
                if not extent.is_hole:
                    copy_extent(source.descriptor, self.descriptor, extent, self.progress)
                self.progress(extent.offset + extent.length)
        return source.size

    def inspect(self) -> None:
        """Look at the format of what is in the file now, which is not what may have become of the source since."""
        with closing(FileSource(os.dup(self.descriptor))) as filled:
            self.audit.inspect(filled)

    def read_back(self) -> int:
        """Audit all that is in the file now."""
        with closing(FileSource(os.dup(self.descriptor))) as filled:
            return pipeline.run(filled, (self.audit.take,), self.progress)

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        """What is there, and then what comes."""
        if self.source.start:
            with closing(FileSource(os.dup(self.descriptor))) as there:
                yield from there.chunks(free)
        for chunk in self.source.chunks(free):
            if self._most is not None and chunk.offset + chunk.length > self._most:
                raise Refused(
                    Mismatched(f"it has more than {self._most} bytes, the most that [landing] max_size lets land")
                )
            yield chunk

    def _take(self, chunk: Chunk) -> None:
        was_known = self.audit.knows_the_format
        self.audit.take(chunk)
        if self.audit.knows_the_format and not was_known and (refusal := self.audit.format_refusal()) is not None:
            raise Refused(refusal)

    def _write(self, chunk: Chunk) -> None:
        if chunk.buffer is not None and chunk.offset >= self.source.start:
            write_sparsely(self.descriptor, chunk)


@contextmanager
def _on_the_side(work: Callable[[], None]) -> Iterator[None]:
    """Do the work on another thread while the block runs; what it raises is raised at the block's end."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    start(thread)
    try:
        yield
    finally:
        join(thread)
    if faults:
        raise faults[0]
