"""How an image lands: filled in under no name, audited, flushed, and published in one step."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from lading.adapters.destinations.file import recovery, relocation
from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.destinations.file.free_space import check_free_space
from lading.adapters.destinations.file.local_copies import LocalCopies
from lading.adapters.destinations.file.lock_waits import told_while_waiting
from lading.adapters.destinations.file.new_file import PRIVATE, NewFile
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import drop_part, is_strong, kept_bytes, part_blocks, start_from
from lading.adapters.destinations.file.target_state import check_target, use_of
from lading.adapters.destinations.file.verification import verify
from lading.adapters.formats.audit import Audit, Audited
from lading.adapters.host.boot import boot_id
from lading.adapters.stream.errors import answering
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source
from lading.adapters.stream.sparse import can_clone, clone
from lading.domain.handler import Landing, PartialData, Work
from lading.domain.refusals import Mismatched, Refusal, Unavailable, Unsupported
from lading.domain.waiting import holder_text
from lading.ports.association import Fingerprint
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks, NullLocks
from lading.ports.observer import SupportsWaiting
from lading.ports.verified_files import VerifiedFiles

__all__ = ["OpenSource", "Rules", "Transfer"]

OpenSource = Callable[[ResumePoint], Result[Source, Refusal]]
"""Opens a source, when and if it is needed; from its beginning, if it can't from there."""
_SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this long ago could change again within one tick of its clock, unseen (git's racy index)."""


class Rules(NamedTuple):
    """What must be so of everything that lands."""

    verify: bool = True
    """Digests are compared with the catalog's."""
    inspect: bool = True
    """Formats are compared with the catalog's, and what is unsafe is refused, which needs lading[inspect]."""
    allow_unverified: bool = True
    """What the catalog has no digest of may land."""
    mode: int = PRIVATE
    """Of the files that are made."""
    require_space: bool = True
    """What does not fit on the target's disk, by its size or by what is known of its holes, is refused beforehand."""
    max_size: int | None = None
    """Bytes of the largest image that may land; None: any."""

    def size_refusal(self, size: int | None) -> Mismatched | None:
        """Why an image of so many bytes may not land. What is not known is no reason."""
        if size is None or self.max_size is None or size <= self.max_size:
            return None
        return Mismatched(f"it has {size} bytes; [landing] max_size lets {self.max_size} land")


ALL: Final = Rules()


class Transfer:
    """The one way in which bytes come to a target that is a file on this host."""

    def __init__(
        self,
        verified: VerifiedFiles,
        rules: Rules = ALL,
        *,
        journal: Journal | None = None,
        locks: Locks | None = None,
        associations: AssociationStore | None = None,
    ) -> None:
        """`journal`, `locks` and `associations` are those of the Dispatcher, or none where it has none."""
        self._verified = verified
        self._rules = rules
        self._journal = journal or NullJournal()
        self._locks = locks or NullLocks()
        self._siblings = LocalCopies(associations, self._journal) if associations is not None else None

    @property
    def rules(self) -> Rules:
        return self._rules

    def land(
        self, work: Work, method: str, open_source: OpenSource, *, single_flight: bool = False
    ) -> Result[Landing, Refusal]:
        """Bring a source's bytes to `work.target`: whole and audited, or not at all.

        The source is closed here. `method` is what the association says, unless the bytes could be cloned.
        `single_flight`: the bytes are remote, so that only one process of this host downloads an image at a time. The
        others wait and copy from its target.
        """

        def bring() -> Result[Landing, Refusal]:
            start = start_from(work, verify=self._rules.verify)
            landed = self._bring(work, method, open_source, start, single_flight=single_flight)
            if start.offset and isinstance(landed, Failure) and isinstance(landed.failure(), Mismatched):
                # It may be what was kept that is wrong.
                landed = self._bring(work, method, open_source, FROM_START, single_flight=single_flight)
            return landed

        def unless_there(present: Landing | None) -> Result[Landing, Refusal]:
            return self._check_promise(work).bind(lambda _: bring()) if present is None else Success(present)

        return _checked(work).bind(unless_there)

    def preview(
        self, work: Work, open_source: OpenSource, words: Callable[[int | None], str], *, single_flight: bool = False
    ) -> Result[str, Refusal]:
        """What `land` would come to, as far as can be seen; `words` tells it, given the bytes to move, if known.

        `single_flight` as for `land`. Moves no byte, and leaves nothing behind.
        """
        present = _checked(work)
        if isinstance(present, Failure):
            return Failure(present.failure())
        if present.unwrap() is not None:
            return Success("is there already")
        promise = self._check_promise(work)
        if isinstance(promise, Failure):
            return promise
        copy = self._siblings.open(work) if single_flight and self._siblings else None
        if copy is not None:
            return self._foreseen(work, copy, f"copies {copy.size} bytes from {copy.copied_from}, which is this image")
        opened = open_source(FROM_START)
        return opened.bind(lambda source: self._foreseen(work, source, words(source.size)))

    def remove(self, work: Work) -> Result[None, Refusal]:
        """Remove the file at the target; that there is none is a success."""
        return relocation.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        """Move the file at the target to `destination`, to another file system too; nothing there is overwritten."""
        return relocation.move(work, destination, Notes(self._journal, work))

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        """Find out how far `work.intent` came; see `SupportsRecovery`."""
        return recovery.recover(work, keep=keep, verify=self._rules.verify)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Read all of the file at the target, and compare it with what is recorded; see `SupportsVerification`."""
        return verify(work, inspect=self._rules.inspect)

    def _bring(
        self, work: Work, method: str, open_source: OpenSource, start: ResumePoint, *, single_flight: bool
    ) -> Result[Landing, Refusal]:
        """From this host, if it has the image already and it is to come once; else from where the source opens."""
        turn = ExitStack()

        def from_afar() -> Result[Landing, Refusal]:
            opened = open_source(start)
            if isinstance(opened.value_or(None), FileSource):
                turn.close()  # nobody need wait for what is here
            return opened.bind(lambda source: self._fill(work, source, method))

        promised = work.image.expected_digest if work.image else None
        if work.image is None or promised is None or not single_flight:
            return from_afar()
        name = f"image {work.image.id} {promised}"
        try:
            with turn:
                self._take_turn(turn, name, work)
                sibling = self._siblings.open(work) if self._siblings else None
                if sibling is None:
                    return from_afar()
            copied = self._fill(work, sibling, "copy")
            if not isinstance(copied, Failure) or not isinstance(copied.failure(), Mismatched | Unavailable):
                return copied
            # A guest wrote to it meanwhile.
            with turn:
                self._take_turn(turn, name, work)
                return from_afar()
        except StoreUnavailable as failure:
            return Failure(Unavailable(str(failure)))

    def _take_turn(self, turn: ExitStack, name: str, work: Work) -> None:
        """Holds the image's lock until the stack ends. An observer that wants to know is told of the wait."""
        observer = work.observer
        if isinstance(observer, SupportsWaiting):
            if turn.enter_context(self._locks.hold(name, wait=False)):
                return
            with told_while_waiting(observer, lambda: self._wait_reason(name, work)):
                turn.enter_context(self._locks.hold(name))
        else:
            turn.enter_context(self._locks.hold(name))

    def _wait_reason(self, name: str, work: Work) -> str:
        come = self._siblings.come(work) if self._siblings else None
        size = work.image.size if work.image else None
        so_far = "" if come is None or size is None else f" ({come >> 20}/{size >> 20} MiB)"
        return holder_text(self._locks, name, "fetches the same image") + so_far

    def _fill(self, work: Work, source: Source, method: str) -> Result[Landing, Refusal]:
        with closing(source):
            return self._audit(work, source).bind(
                lambda audit: answering(work.target, "written", lambda: self._carry(work, source, method, audit))
            )

    def _check_promise(self, work: Work) -> Result[Audit, Refusal]:
        """Refuse a digest that no bytes can have, before a source is opened."""
        return Audit.of(work.image, verify=self._rules.verify, inspect=False)

    def _foreseen(self, work: Work, source: Source, told: str) -> Result[str, Refusal]:
        """The words, if the source has what the catalog promises, as far as can be seen, and there is room for it."""
        with closing(source):
            audit = self._audit(work, source)
            if isinstance(audit, Failure):
                return Failure(audit.failure())
            room = answering(work.target, "looked at", lambda: self._foreseen_room(work, source))
        return room.map(lambda _: told)

    def _foreseen_room(self, work: Work, source: Source) -> Result[None, Refusal]:
        if isinstance(source, FileSource) and can_clone(source.descriptor, os.path.dirname(work.target)):
            return Success(None)
        # What is kept there is resumed from, or goes first.
        return self._room(work, source, freed=part_blocks(work.target))

    def _room(self, work: Work, source: Source, *, freed: int = 0) -> Result[None, Refusal]:
        """Whether what the source gives fits where it is to go, if that is required. Raises OSError."""
        return (
            check_free_space(source.required_space, work.target, freed=freed)
            if self._rules.require_space
            else Success(None)
        )

    def _audit(self, work: Work, source: Source) -> Result[Audit, Refusal]:
        promised = work.image.size if work.image else None
        if promised is not None and source.size not in {None, promised}:
            return Failure(Mismatched(f"it has {source.size} bytes, the catalog promises {promised}"))
        if (too_large := self._rules.size_refusal(promised or source.size)) is not None:
            return Failure(too_large)
        audit = Audit.of(work.image, verify=self._rules.verify, inspect=self._rules.inspect)
        if isinstance(audit, Success) and not self._rules.allow_unverified and audit.unwrap().expected_digest is None:
            return Failure(Unsupported("the catalog has no digest of it, and landing.allow_unverified is false"))
        return audit

    def _carry(self, work: Work, source: Source, method: str, audit: Audit) -> Result[Landing, Refusal]:
        notes = Notes(self._journal, work)
        is_local = isinstance(source, FileSource)
        known = work.intent.notes if work.intent else {}
        if not source.start:
            # What is kept of an earlier fetch is of no use to this one. It goes before another file is noted.
            drop_part(work.target, known)
        if not is_local and isinstance(ready := self._room(work, source), Failure):
            return ready
        named = notes.are_kept and not is_local
        is_told_apart = is_strong(source.validator) and boot_id() is not None
        is_resumable = named and (audit.expected_digest is not None or is_told_apart)
        announce = partial(notes.announce, resumable=named, validator=source.validator)
        with NewFile(
            work.target, mode=self._rules.mode, named=named, start=source.start, notes=known,
            announce=announce if notes.are_kept else None, resumable=is_resumable,
        ) as new:  # fmt: skip
            filling = FileWriter(source, new.descriptor, audit, work.observer, most=self._rules.max_size)
            filled: Result[int, Refusal]
            if isinstance(source, FileSource) and clone(source.descriptor, new.descriptor):
                method, filled = "reflink", Success(self._check_clone(source, filling))
            elif isinstance(source, FileSource):
                filled = self._room(work, source).map(lambda _: _copy(source, filling))
            else:
                filled = _stream(new, filling, keepable=is_resumable)

            def publish(audited: Audited) -> Result[Landing, Refusal]:
                file = new.finish()
                # A guest may have been started from what is there meanwhile.
                if work.force and (in_use := use_of(work)) is not None:
                    return Failure(in_use)
                landing = Landing(
                    method, audited.size, audited.digest, audited.verified, resumed=source.start,
                    inspected_by=audited.inspected_by,
                    copied_from=source.copied_from if isinstance(source, FileSource) else None,
                )  # fmt: skip
                return notes.landed(landing, file).map(
                    lambda _: replace(landing, fingerprint=new.publish(replace=work.force), folder=new.folder)
                )

            audited = filled.bind(audit.verdict)
            if isinstance(source, FileSource) and (change := source.change) and not _is_verified(audited):
                return Failure(Unavailable(f"the file was changed while it was copied: {change}"))
            return audited.bind(publish)

    def _check_clone(self, source: FileSource, filling: FileWriter) -> int:
        """Hash the clone, unless the file that it was made from was hashed before; its bytes."""
        audit, expected = filling.audit, filling.audit.expected_digest
        if expected is not None:
            known = self._verified.digest(source.fingerprint, expected.algorithm).value_or(None)
            if known is None or not source.is_unchanged:
                size = filling.read_back()
                if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
                    self._verified.remember(source.fingerprint, digest)
                return size
            audit.trust(known)
        filling.inspect()
        filling.progress(source.size)
        return os.fstat(filling.descriptor).st_size


def _checked(work: Work) -> Result[Landing | None, Refusal]:
    """The target's state, and whether a file can be what the work wants; see `check_target`."""
    if work.size is not None:
        told = "a file gets no other size than its image's; targets that are clones can: rbd:POOL/IMAGE, cinder:NAME"
        return Failure(Unsupported(told))
    return check_target(work)


def _copy(source: FileSource, filling: FileWriter) -> int:
    if filling.audit.is_hashing:
        return filling.stream()
    size = filling.copy(source)
    filling.inspect()
    return size


def _stream(new: NewFile, filling: FileWriter, *, keepable: bool) -> Result[int, Refusal]:
    """Fill it from afar; what has come by the time it is cut off is kept, if it can be gone on with."""
    try:
        return Success(filling.stream())
    except SourceBroken as broken:
        kept = kept_bytes(new.descriptor) if keepable else 0
        if kept:
            new.keep()
        return Failure(Unavailable(str(broken), kept))


def _is_verified(audited: Result[Audited, Refusal]) -> bool:
    """Whether these are the catalog's very bytes, whatever became of their source meanwhile."""
    return isinstance(audited, Success) and audited.unwrap().verified


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
