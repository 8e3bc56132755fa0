"""Files of this host as targets: a reader of the target sees the whole verified image, or nothing."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.device.destination import DeviceDestination
from lading.adapters.destinations.file.free_space import require_space
from lading.adapters.destinations.file.local_copies import LocalCopies, LocalCopy
from lading.adapters.destinations.file.lock_waits import reported_wait
from lading.adapters.destinations.file.new_file import NoLateName
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import (
    part_blocks,
    part_path,
    start_from,
)
from lading.adapters.destinations.file.recovery import recover
from lading.adapters.destinations.file.relocation import move, remove
from lading.adapters.destinations.file.steps import steps
from lading.adapters.destinations.file.target_state import check_target
from lading.adapters.destinations.file.transfer import Transfer
from lading.adapters.destinations.file.verification import report, verify
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.single_flight import SingleFlight
from lading.adapters.destinations.versions import known_digest
from lading.adapters.formats.audit import Audit
from lading.adapters.stream.errors import Refused, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source, version_of
from lading.adapters.stream.sparse import can_clone
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.ledger import lock_name
from lading.domain.refusals import Mismatched, TargetOccupied, Unavailable, Unsupported
from lading.domain.waiting import holder_text
from lading.ports.association_store import AssociationStore
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.form import AS_SHIPPED
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks, NullLocks, SupportsSharing
from lading.ports.observer import SupportsWaiting
from lading.ports.verified_files import VerifiedFiles

__all__ = ["FileDestination", "Rules"]

_log = logging.getLogger(__name__)
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
        self.verified = verified
        self._journal = journal or NullJournal()
        self._locks = locks or NullLocks()
        self._copies = LocalCopies(associations, self._journal) if associations is not None else None
        flights = SingleFlight(self._locks, associations, self._journal)
        self.devices: Final = DeviceDestination(rules, verified, self._journal, flights)
        """The destination of targets that are block devices of this host."""

    @returning_refusals
    def fetch(self, work: Work, opener: SourceOpener) -> Landing:
        if (present := self._present(work)) is not None:
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
        if self._present(work) is not None:
            return "is there already"
        value_or_refuse(Audit.of(work.image, verify=self.rules.verify, inspect=False))
        if opener.single_flight and (copy := self._local_copy(work)) is not None:
            source: Source = copy.source
            plan = f"copies {source.size} bytes from {copy.source.copied_from}, which is this image"
            is_made = copy.landing.shipped is not None
        else:
            source = value_or_refuse(opener.probe() if opener.probe is not None else opener.open(FROM_START))
            plan, is_made = opener.plan(source.size), False
        with closing(source), system_errors(work.target, "examined"):
            if not is_made:
                self._audit(work, source)
                plan += steps(work, source, self.rules)
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
            return self._copy(work, copy)
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

    def _local_copy(self, work: Work) -> LocalCopy | None:
        return self._copies.open(work, self.rules.form_of(work)) if self._copies is not None else None

    def _present(self, work: Work) -> Landing | None:
        """The landing that is at the target already; None when the target is free. Raises Refused."""
        if work.form.fill:
            raise Refused(Unsupported("a file has no size to fill: --size fill is for block devices"))
        if replace(self.rules.form_of(work), member=None) != AS_SHIPPED and not self.rules.inspect:
            reason = "its format is not inspected: [landing] inspect is false, and --format and --size need it"
            raise Refused(Unsupported(reason))
        landing = check_target(work)
        if landing is not None and not landing.is_in(self.rules.form_of(work)):
            reason = f"{work.target} holds the image in another form, as {landing.format}, {landing.virtual_size} bytes"
            raise Refused(TargetOccupied(f"{reason}; remove it first, or force"))
        return landing

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

    def _copy(self, work: Work, copy: LocalCopy) -> Landing:
        """Makes the target of another one's bytes. Closes that."""
        if copy.landing.shipped is None:
            return self._write(work, copy.source, "copy")
        with closing(copy.source), system_errors(work.target, "written"):
            return self._transfer(work, copy.source).copy(copy.landing)

    def _transfer(self, work: Work, source: Source) -> Transfer:
        notes, part = Notes(self._journal, work), self._part(work.target)
        return Transfer(work, source, self.rules, self.verified, notes, part)

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
        audit.most = self.rules.max_disk
        is_promised = audit.expected_digest is not None or (work.image is not None and work.image.content_digest)
        if not self.rules.allow_unverified and not is_promised:
            raise Refused(Unsupported("the catalog has no digest of it, and landing.allow_unverified is false"))
        # Partial data is hashed too: after a power failure it may not be what was written.
        if audit.is_hashing and not source.start:
            known = known_digest(self.verified, version_of(source), work)
            if known is not None:
                audit.trust(known)
        return audit

    def _require_space(self, work: Work, source: Source, *, freed: int = 0) -> None:
        if self.rules.require_space:
            require_space(source.required_space, work.target, freed=freed)

    def _write(self, work: Work, source: Source, method: str) -> Landing:
        """Makes the target of the source's bytes. Closes the source."""
        with closing(source), system_errors(work.target, "written"):
            return self._transfer(work, source).run(self._audit(work, source), method)
