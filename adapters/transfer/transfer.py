"""How an image lands: filled in under no name, audited, flushed, and published in one step."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.transfer import pipeline
from lading.adapters.transfer.audit import Audit, Audited
from lading.adapters.transfer.new_file import NewFile
from lading.adapters.transfer.opening import fingerprint, open_regular
from lading.adapters.transfer.pipeline import Chunk, SourceBroken
from lading.adapters.transfer.sources import FileSource, Source
from lading.adapters.transfer.sparse import clone, copy_extent, extents, write_sparsely
from lading.adapters.transfer.standing import standing
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed, TargetOccupied, Unavailable
from lading.ports.association import Fingerprint
from lading.ports.observer import Observer
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Transfer"]

_Done = TypeVar("_Done")
# link(2): another file system, one without hard links, or a file that this user may not link.
_CANNOT_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP})

_SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this long ago could change again within one tick of its clock, unseen (git's racy index)."""


class Transfer:
    """The one way in which bytes come to a target that is a file on this host."""

    def __init__(self, verified: VerifiedFiles, *, verify: bool = True, inspect: bool = True) -> None:
        """`verify`: compare digests with the catalog's. `inspect`: compare formats, which needs lading[inspect]."""
        self._verified = verified
        self._verify = verify
        self._inspect = inspect

    def land(
        self, work: Work, method: str, open_source: Callable[[], Result[Source, Refusal]]
    ) -> Result[Landing, Refusal]:
        """Bring a source's bytes to `work.target`: whole and audited, or not at all.

        The source is opened only when it is needed, and closed here. `method` is what the association says, unless the
        bytes could be cloned.
        """

        def unless_there(present: Landing | None) -> Result[Landing, Refusal]:
            if present is not None:
                return Success(present)
            return open_source().bind(lambda source: self._audited(work, source, method))

        return standing(work).bind(unless_there)

    def _audited(self, work: Work, source: Source, method: str) -> Result[Landing, Refusal]:
        with closing(source):
            audit = Audit.of(work.image, verify=self._verify, inspect=self._inspect)
            return audit.bind(lambda audit: _answering(work.target, lambda: self._carry(work, source, method, audit)))

    def _carry(self, work: Work, source: Source, method: str, audit: Audit) -> Result[Landing, Refusal]:
        with NewFile(work.target) as new:
            filling = _Filling(source, new.descriptor, audit, work.observer)
            if isinstance(source, FileSource) and clone(source.descriptor, new.descriptor):
                method, size = "reflink", self._check_clone(source, filling)
            elif isinstance(source, FileSource) and not audit.is_hashing:
                size = filling.copy(source)
            else:
                size = filling.stream()

            def publish(audited: Audited) -> Landing:
                published = new.publish(replace=work.force)
                return Landing(method, audited.size, audited.digest, audited.verified, published)

            return audit.verdict(size).map(publish)

    def _check_clone(self, source: FileSource, filling: "_Filling") -> int:
        audit, promised = filling.audit, filling.audit.promised
        if promised is not None:
            known = self._verified.digest(source.fingerprint, promised.algorithm).value_or(None)
            if known is None or not source.is_unchanged:
                size = filling.read_back()
                if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
                    self._verified.remember(source.fingerprint, digest)
                return size
            audit.trust(known)
        audit.inspect(source)
        filling.progress(source.size)
        return os.fstat(filling.descriptor).st_size

    def remove(self, work: Work) -> Result[None, Refusal]:
        """Remove the file at the target; that there is none is a success."""

        def unlink() -> Result[None, Refusal]:
            try:
                os.unlink(work.target)
            except FileNotFoundError:
                return Success(None)
            _flush_folder(work.target)
            return Success(None)

        return _answering(work.target, unlink)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """Move the file at the target to `destination`, to another file system too; nothing there is overwritten."""

        def relocate() -> Result[Landing, Refusal]:
            try:
                os.link(work.target, destination, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                return self._copy_away(work, destination)
            os.unlink(work.target)
            _flush_folder(destination)
            _flush_folder(work.target)
            # Taken last: the change of the link count shows in the ctime.
            return Success(Landing(fingerprint=fingerprint(os.lstat(destination))))

        return _answering(destination, relocate)

    def _copy_away(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        def copy(descriptor: int) -> Landing:
            with closing(FileSource(descriptor)) as source, NewFile(destination) as new:
                audit = Audit(None, verify=False, inspect=False)
                _Filling(source, new.descriptor, audit, work.observer).copy(source)
                published = new.publish(replace=False)
            os.unlink(work.target)
            _flush_folder(work.target)
            return Landing(fingerprint=published)

        return open_regular(work.target).map(copy).alt(TargetFailed)


class _Filling:
    """Bytes on their way from one source into one new file."""

    def __init__(self, source: Source, descriptor: int, audit: Audit, observer: Observer) -> None:
        self.source, self.descriptor, self.audit, self._observer = source, descriptor, audit, observer

    def progress(self, done: int) -> None:
        self._observer.progress(done, self.source.size)

    def stream(self) -> int:
        """Read, audit and write, each on a thread of its own; how many bytes there were."""
        size = pipeline.run(self.source, (self.audit.take, self._write), self.progress)
        os.ftruncate(self.descriptor, size)
        return size

    def copy(self, source: FileSource) -> int:
        """Copy within the kernel where it can, hole for hole, with a look at the format on the side."""
        os.ftruncate(self.descriptor, source.size)
        with _on_the_side(lambda: self.audit.inspect(source)):
            for extent in extents(source.descriptor, source.size):
                if not extent.is_hole:
                    copy_extent(source.descriptor, self.descriptor, extent, self.progress)
                self.progress(extent.offset + extent.length)
        return source.size

    def read_back(self) -> int:
        """Audit what is in the new file already."""
        with closing(FileSource(os.dup(self.descriptor))) as filled:
            return pipeline.run(filled, (self.audit.take,), self.progress)

    def _write(self, chunk: Chunk) -> None:
        if chunk.buffer is not None:
            write_sparsely(self.descriptor, chunk.buffer, chunk.length, chunk.offset)


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
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if faults:
        raise faults[0]


def _answering(target: str, act: Callable[[], Result[_Done, Refusal]]) -> Result[_Done, Refusal]:
    """What the system says, as refusals: the one table of this adapter."""
    try:
        return act()
    except SourceBroken as broken:
        return Failure(Unavailable(str(broken)))
    except FileExistsError:
        return Failure(TargetOccupied(f"{target} exists; only force replaces it"))
    except FileNotFoundError as error:
        return Failure(TargetFailed(f"{error.filename or target} or its folder does not exist"))
    except OSError as error:
        return Failure(TargetFailed(f"{target} can't be written: {error.strerror or error}"))


def _flush_folder(path: str) -> None:
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
