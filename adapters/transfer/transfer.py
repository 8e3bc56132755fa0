"""How an image lands: filled in under no name, audited, flushed, and published in one step."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.transfer import relocation
from lading.adapters.transfer.audit import Audit, Audited
from lading.adapters.transfer.errors import answering
from lading.adapters.transfer.filling import Filling
from lading.adapters.transfer.new_file import NewFile
from lading.adapters.transfer.sources import FileSource, Source
from lading.adapters.transfer.sparse import clone
from lading.adapters.transfer.standing import standing
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, Refusal
from lading.ports.association import Fingerprint
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Opening", "Transfer"]

Opening = Callable[[], Result[Source, Refusal]]
"""Opens a source, when and if it is needed."""
_SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this long ago could change again within one tick of its clock, unseen (git's racy index)."""


class Transfer:
    """The one way in which bytes come to a target that is a file on this host."""

    def __init__(self, verified: VerifiedFiles, *, verify: bool = True, inspect: bool = True) -> None:
        """`verify`: compare digests with the catalog's. `inspect`: compare formats, which needs lading[inspect]."""
        self._verified = verified
        self._verify = verify
        self._inspect = inspect

    def land(self, work: Work, method: str, open_source: Opening) -> Result[Landing, Refusal]:
        """Bring a source's bytes to `work.target`: whole and audited, or not at all.

        The source is closed here. `method` is what the association says, unless the bytes could be cloned.
        """

        def fill(source: Source) -> Result[Landing, Refusal]:
            with closing(source):
                return self._audit(work, source).bind(
                    lambda audit: answering(work.target, "written", lambda: self._carry(work, source, method, audit))
                )

        def unless_there(present: Landing | None) -> Result[Landing, Refusal]:
            return open_source().bind(fill) if present is None else Success(present)

        return standing(work).bind(unless_there)

    def foresee(self, work: Work, open_source: Opening, words: Callable[[int | None], str]) -> Result[str, Refusal]:
        """What `land` would come to, as far as can be seen; `words` tells it, given the bytes to move, if known."""

        def look(source: Source) -> Result[str, Refusal]:
            with closing(source):
                return self._audit(work, source).map(lambda _: words(source.size))

        def unless_there(present: Landing | None) -> Result[str, Refusal]:
            return open_source().bind(look) if present is None else Success("is there already")

        return standing(work).bind(unless_there)

    def remove(self, work: Work) -> Result[None, Refusal]:
        """Remove the file at the target; that there is none is a success."""
        return relocation.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """Move the file at the target to `destination`, to another file system too; nothing there is overwritten."""
        return relocation.move(work, destination)

    def _audit(self, work: Work, source: Source) -> Result[Audit, Refusal]:
        promised = work.image.size if work.image else None
        if promised is not None and source.size not in {None, promised}:
            return Failure(Mismatched(f"it has {source.size} bytes, the catalog promises {promised}"))
        return Audit.of(work.image, verify=self._verify, inspect=self._inspect)

    def _carry(self, work: Work, source: Source, method: str, audit: Audit) -> Result[Landing, Refusal]:
        with NewFile(work.target) as new:
            filling = Filling(source, new.descriptor, audit, work.observer)
            if isinstance(source, FileSource) and clone(source.descriptor, new.descriptor):
                method, size = "reflink", self._check_clone(source, filling)
            elif isinstance(source, FileSource) and not audit.is_hashing:
                size = filling.copy(source)
                filling.inspect()
            else:
                size = filling.stream()

            def publish(audited: Audited) -> Landing:
                published = new.publish(replace=work.force)
                return Landing(method, audited.size, audited.digest, audited.verified, published)

            return audit.verdict(size).map(publish)

    def _check_clone(self, source: FileSource, filling: Filling) -> int:
        """Hash the clone, unless the file that it was made from was hashed before; its bytes."""
        audit, promised = filling.audit, filling.audit.promised
        if promised is not None:
            known = self._verified.digest(source.fingerprint, promised.algorithm).value_or(None)
            if known is None or not source.is_unchanged:
                size = filling.read_back()
                if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
                    self._verified.remember(source.fingerprint, digest)
                return size
            audit.trust(known)
        filling.inspect()
        filling.progress(source.size)
        return os.fstat(filling.descriptor).st_size


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
