"""Files of this host as targets: a reader of the target sees the whole verified image, or nothing."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.device.destination import DeviceDestination
from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.destinations.file.free_space import require_space
from lading.adapters.destinations.file.local_copies import LocalCopies
from lading.adapters.destinations.file.lock_waits import reported_wait
from lading.adapters.destinations.file.new_file import NewFile, NoLateName
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import (
    drop_part,
    is_strong,
    kept_bytes,
    noted_part,
    part_blocks,
    part_path,
    start_from,
)
from lading.adapters.destinations.file.recovery import recover
from lading.adapters.destinations.file.relocation import move, remove
from lading.adapters.destinations.file.target_state import check_target, use_of
from lading.adapters.destinations.file.verification import report, verify
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.single_flight import SingleFlight
from lading.adapters.formats.audit import Audit, Audited
from lading.adapters.host.boot import boot_id
from lading.adapters.stream.errors import Refused, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source
from lading.adapters.stream.sparse import can_clone, clone
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.ledger import lock_name
from lading.domain.refusals import Mismatched, Unavailable, Unsupported
from lading.domain.waiting import holder_text
from lading.ports.association import Fingerprint
from lading.ports.association_store import AssociationStore
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.form import AS_SHIPPED
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks, NullLocks, SupportsSharing
from lading.ports.observer import SupportsWaiting
from lading.ports.verified_files import VerifiedFiles

__all__ = ["FileDestination", "Rules"]

_log = logging.getLogger(__name__)
_SETTLED_NS: Final = 2_000_000_000
"""A file that was changed more recently could change again within one tick of its clock, unseen (git's racy index)."""
ALL: Final = Rules()
"""The default rules."""


class FileDestination:
    """The destination of every target that is a file of this host; see `Destination`."""

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
        self.rules = rules
        self._verified = verified
        self._journal = journal or NullJournal()
        self._locks = locks or NullLocks()
        self._copies = LocalCopies(associations, self._journal) if associations is not None else None
        flights = SingleFlight(self._locks, associations, self._journal)
        self.devices: Final = DeviceDestination(rules, self._journal, flights)
        """The destination of targets that are block devices of this host."""

    @returning_refusals
    def fetch(self, work: Work, opener: SourceOpener) -> Landing:
        if (present := _present(work)) is not None:
            return present
        # A digest that no bytes can have is refused before a source is opened.
        value_or_refuse(Audit.of(work.image, verify=self.rules.verify, inspect=False))
        resume = start_from(work, verify=self.rules.verify)
        try:
            return self._bring(work, opener, resume)
        except NoLateName:
            _log.info("%s: its file system names no file later; it is written under a temporary name", work.target)
        except Refused as refused:
            # The partial data may be wrong.
            if not resume.offset or not isinstance(refused.refusal, Mismatched):
                raise
        return self._bring(work, opener, FROM_START)

    @returning_refusals
    def preview(self, work: Work, opener: SourceOpener) -> str:
        if _present(work) is not None:
            return "is there already"
        value_or_refuse(Audit.of(work.image, verify=self.rules.verify, inspect=False))
        source: Source | None = self._local_copy(work) if opener.single_flight else None
        if isinstance(source, FileSource):
            plan = f"copies {source.size} bytes from {source.copied_from}, which is this image"
        else:
            source = value_or_refuse(opener.probe() if opener.probe is not None else opener.open(FROM_START))
            plan = opener.plan(source.size)
        with closing(source), system_errors(work.target, "examined"):
            self._audit(work, source)
            if not (isinstance(source, FileSource) and can_clone(source.descriptor, os.path.dirname(work.target))):
                # The fetch resumes from the partial data, or removes it first.
                self._require_space(work, source, freed=part_blocks(self._part(work.target)))
        return plan

    @returning_refusals
    def remove(self, work: Work) -> None:
        remove(work)

    @returning_refusals
    def move(self, work: Work, destination: str) -> Landing:
        return move(work, destination, Notes(self._journal, work), self._part(destination))

    @returning_refusals
    def recover(self, work: Work, *, keep: bool) -> Landing | PartialData:
        return recover(work, keep=keep, verify=self.rules.verify)

    @returning_refusals
    def verify(self, work: Work) -> Landing:
        return verify(work, inspect=self.rules.inspect)

    @returning_refusals
    def report(self, work: Work) -> Report:
        return report(work)

    def _bring(self, work: Work, opener: SourceOpener, resume: ResumePoint) -> Landing:
        """Writes the image to the target: from another target of this host that holds it, or from the opener's source.

        Only one process of this host downloads an image at a time. The others wait, and copy from its target.
        """
        if not opener.single_flight or work.image is None or work.image.expected_digest is None:
            return self._write(work, value_or_refuse(opener.open(resume)), opener.method)
        with self._image_lock(work) as lock:
            copy = self._local_copy(work)
            if copy is None:
                return self._download(work, opener, resume, lock)
        try:
            return self._write(work, copy, "copy")
        except Refused as refused:
            if not isinstance(refused.refusal, Mismatched | Unavailable):
                raise
        # A guest wrote to the copy in the meantime.
        with self._image_lock(work) as lock:
            return self._download(work, opener, resume, lock)

    def _download(self, work: Work, opener: SourceOpener, resume: ResumePoint, lock: ExitStack) -> Landing:
        source = value_or_refuse(opener.open(resume))
        if isinstance(source, FileSource):
            lock.close()  # no other process needs to wait for bytes that are on this host
        return self._write(work, source, opener.method)

    def _local_copy(self, work: Work) -> FileSource | None:
        return self._copies.open(work) if self._copies is not None else None

    @contextmanager
    def _image_lock(self, work: Work) -> Iterator[ExitStack]:
        """Holds the image's lock until the block ends, or the stack is closed. Reports a wait to the observer."""
        name = f"image {work.image.id} {work.image.expected_digest}" if work.image else ""
        try:
            with ExitStack() as lock:
                observer = work.observer
                if not isinstance(observer, SupportsWaiting):
                    lock.enter_context(self._locks.hold(name))
                elif not lock.enter_context(self._locks.hold(name, wait=False)):
                    with reported_wait(observer, partial(self._wait_reason, name, work)):
                        lock.enter_context(self._locks.hold(name))
                yield lock
        except LockLost:
            raise
        except StoreUnavailable as failure:
            raise Refused(Unavailable(str(failure))) from failure

    def _wait_reason(self, name: str, work: Work) -> str:
        received = self._copies.received_bytes(work) if self._copies is not None else None
        size = work.image.size if work.image else None
        so_far = "" if received is None or size is None else f" ({received >> 20}/{size >> 20} MiB)"
        return holder_text(self._locks, name, "fetches the same image") + so_far

    def _part(self, target: str) -> str:
        """The path of this host's temporary file for the target."""
        host = self._locks.sharer(lock_name(target)) if isinstance(self._locks, SupportsSharing) else None
        return part_path(target, host)

    def _audit(self, work: Work, source: Source) -> Audit:
        """The audit of the source's bytes. Raises Refused where its size or its digest rules the image out already."""
        promised = work.image.size if work.image else None
        if promised is not None and source.size not in {None, promised}:
            raise Refused(Mismatched(f"it has {source.size} bytes, the catalog promises {promised}"))
        self.rules.check_size(promised or source.size)
        audit = value_or_refuse(Audit.of(work.image, verify=self.rules.verify, inspect=self.rules.inspect))
        if not self.rules.allow_unverified and audit.expected_digest is None:
            raise Refused(Unsupported("the catalog has no digest of it, and landing.allow_unverified is false"))
        return audit

    def _require_space(self, work: Work, source: Source, *, freed: int = 0) -> None:
        if self.rules.require_space:
            require_space(source.required_space, work.target, freed=freed)

    def _write(self, work: Work, source: Source, method: str) -> Landing:
        """Writes the source's bytes to a new file, and publishes that at the target. Closes the source."""
        with closing(source), system_errors(work.target, "written"):
            audit = self._audit(work, source)
            notes, known = Notes(self._journal, work), work.intent.notes if work.intent else {}
            if not source.start:
                # This fetch does not resume: the partial data is removed before another file is noted.
                drop_part(work.target, known)
            is_remote = not isinstance(source, FileSource)
            if is_remote:
                self._require_space(work, source)
            named = notes.are_kept and is_remote
            is_identified = is_strong(source.validator) and boot_id() is not None
            is_resumable = named and (audit.expected_digest is not None or is_identified)
            part = noted_part(work.target, known) if source.start else self._part(work.target)
            announce = partial(notes.announce, part=part, resumable=named, validator=source.validator)
            with NewFile(
                work.target, part=part, mode=self.rules.mode, named=named, start=source.start, notes=known,
                announce=announce if notes.are_kept else None, resumable=is_resumable,
            ) as new:  # fmt: skip
                writer = FileWriter(source, new.descriptor, audit, work.observer, most=self.rules.max_size)
                if not isinstance(source, FileSource):
                    size = _stream(new, writer, resumable=is_resumable)
                elif clone(source.descriptor, new.descriptor):
                    method, size = "reflink", self._check_clone(source, writer)
                else:
                    self._require_space(work, source)
                    size = _copy(source, writer)
                audited = _verdict(audit, source, size)
                return _publish(work, source, new, notes, method, audited)

    def _check_clone(self, source: FileSource, writer: FileWriter) -> int:
        """Hashes the clone, unless the file that it was made from was hashed before. Returns its size in bytes."""
        audit = writer.audit
        if (expected := audit.expected_digest) is not None:
            known = self._verified.digest(source.fingerprint, expected.algorithm).value_or(None)
            if known is None or not source.is_unchanged:
                size = writer.read_back()
                if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
                    self._verified.remember(source.fingerprint, digest)
                return size
            audit.trust(known)
        writer.inspect()
        writer.progress(source.size)
        return os.fstat(writer.descriptor).st_size


def _present(work: Work) -> Landing | None:
    """The landing that is at the target already; None when the target is free. Raises Refused."""
    if work.form != AS_SHIPPED:
        raise Refused(Unsupported("a file gets no other form than its image's"))
    return check_target(work)


def _copy(source: FileSource, writer: FileWriter) -> int:
    if writer.audit.is_hashing:
        return writer.stream()
    size = writer.copy(source)
    writer.inspect()
    return size


def _stream(new: NewFile, writer: FileWriter, *, resumable: bool) -> int:
    """Writes the stream and returns its size. When it breaks off, the partial data is kept if a fetch can resume it."""
    try:
        return writer.stream()
    except SourceBroken as broken:
        kept = kept_bytes(new.descriptor) if resumable else 0
        if kept:
            new.keep()
        raise Refused(Unavailable(str(broken), kept)) from broken


def _verdict(audit: Audit, source: Source, size: int) -> Audited:
    audited = audit.verdict(size)
    # Verified bytes are the catalog's, even if their source has changed since.
    is_verified = audited.map(lambda each: each.verified).value_or(False)  # noqa: FBT003
    if not is_verified and isinstance(source, FileSource) and (change := source.change):
        raise Refused(Unavailable(f"the file was changed while it was copied: {change}"))
    return value_or_refuse(audited)


def _publish(work: Work, source: Source, new: NewFile, notes: Notes, method: str, audited: Audited) -> Landing:
    file = new.finish()
    # A guest may have been started from the earlier file in the meantime.
    if work.force and (in_use := use_of(work)) is not None:
        raise Refused(in_use)
    landing = Landing(
        method, audited.size, audited.digest, audited.verified, resumed=source.start,
        inspected_by=audited.inspected_by, copied_from=source.copied_from if isinstance(source, FileSource) else None,
    )  # fmt: skip
    notes.landed(landing, file)
    return replace(landing, fingerprint=new.publish(replace=work.force), folder=new.folder)


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
