"""Files of this host as targets: a reader of the target sees the whole verified image, or nothing."""

import logging
import os
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Final

from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.device.destination import DeviceDestination
from lading.adapters.destinations.file.free_space import has_space, require_space
from lading.adapters.destinations.file.local_copies import LocalCopy
from lading.adapters.destinations.file.new_file import NoLateName
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import (
    part_blocks,
    part_path,
    start_from,
)
from lading.adapters.destinations.file.recovery import recover
from lading.adapters.destinations.file.relocation import move, remove
from lading.adapters.destinations.file.shaping import ALLOCATED
from lading.adapters.destinations.file.steps import RAW_LIKE, Steps, steps
from lading.adapters.destinations.file.target_state import check_target
from lading.adapters.destinations.file.transfer import Transfer
from lading.adapters.destinations.file.verification import report, verify
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.single_flight import SingleFlight
from lading.adapters.destinations.source_audit import audit_of, proven, signature_step
from lading.adapters.formats.audit import Audit
from lading.adapters.formats.conversion import qemu
from lading.adapters.stream.errors import Refused, occupied, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source
from lading.adapters.stream.sparse import can_clone
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.ledger import lock_name
from lading.domain.refusals import Mismatched, Unavailable, Unsupported
from lading.ports.association_store import AssociationStore
from lading.ports.form import AS_SHIPPED
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks, NullLocks, SupportsSharing
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
        self._flights = SingleFlight(self._locks, associations, self._journal)
        self.devices: Final = DeviceDestination(rules, verified, self._journal, self._flights)
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
            plan = f"copies {size_text(source.size)} from {copy.source.copied_from}, which is this image; no network"
            is_made = copy.landing.shipped is not None
        else:
            source = value_or_refuse(opener.probe() if opener.probe is not None else opener.open(FROM_START))
            plan, is_made = opener.plan_text(source.size), False
        with closing(source), system_errors(work.target, "examined"):
            further = None
            if not is_made:
                audit_of(work, source, self.rules, self.verified)
                further = steps(work, source, self.rules)
                plan += signature_step(work, self.rules) + further.text
            if self.rules.require_space:
                self._require_space(work, source, further)
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
        with self._flights.lock(work) as lock:
            copy = self._local_copy(work)
            if copy is None:
                return self._download(work, opener, resume, lock)
        try:
            return self._copy(work, copy)
        except Refused as refused:
            if not isinstance(refused.refusal, Mismatched | Unavailable):
                raise
        # A guest wrote to the copy in the meantime.
        with self._flights.lock(work) as lock:
            return self._download(work, opener, resume, lock)

    def _download(self, work: Work, opener: SourceOpener, resume: ResumePoint, lock: ExitStack) -> Landing:
        source = value_or_refuse(opener.open(resume))
        if isinstance(source, FileSource):
            lock.close()  # no other process needs to wait for bytes that are on this host
        return self._write(work, source, opener.method)

    def _local_copy(self, work: Work) -> LocalCopy | None:
        return proven(self._flights.local_copy(work, self.rules.form_of(work)), work, self.rules)

    def _present(self, work: Work) -> Landing | None:
        """The landing that is at the target already; None when the target is free. Raises Refused."""
        if work.form.fill:
            raise Refused(Unsupported("a file has no size to fill: --size fill is for block devices"))
        if replace(self.rules.form_of(work), member=None) != AS_SHIPPED and not self.rules.inspect:
            reason = "its format is not inspected: [landing] inspect is false, and --format and --size need it"
            raise Refused(Unsupported(reason))
        landing = check_target(work)
        if landing is not None and not landing.is_in(self.rules.form_of(work)):
            size = size_text(landing.virtual_size)
            raise Refused(occupied(f"{work.target} holds the image in another form, as {landing.format}, {size}"))
        return landing

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

    def _require_space(self, work: Work, source: Source, further: Steps | None) -> None:
        """Raises Refused where the fetch would, for lack of space, as far as that is known before the first byte.

        `further`: the steps that follow; None for a copy of another target.
        """
        form, target = self.rules.form_of(work), work.target
        freed = part_blocks(self._part(target))  # the fetch resumes from the partial data, or removes it first
        require = partial(require_space, target=target, freed=freed)
        file = source if isinstance(source, FileSource) else None
        is_allocated = form.preallocation in ALLOCATED
        unpacks, converts = bool(further and further.found.layers), bool(further and further.converts)
        # What is made of a file of this host is made where that file is.
        is_copied = file is None or not (unpacks or converts)
        is_cloned = file is not None and not is_allocated and can_clone(file.descriptor, os.path.dirname(target))
        if is_copied and not is_cloned:
            require(source.required_space, allocated=is_allocated)
        if unpacks:
            require(work.image.content_size if work.image else None)
        if further is None or not converts:
            return
        disk_size = further.found.disk_size
        if is_allocated:
            require(max(disk_size or 0, form.size or 0), allocated=True)
        elif file is not None and not unpacks and not has_space(disk_size, target, freed=freed):
            found = further.found.format
            assert found is not None  # noqa: S101 - else nothing tells that it is converted
            require(qemu.required_space(qemu.open_disk(file.descriptor, "raw" if found in RAW_LIKE else found)))

    def _write(self, work: Work, source: Source, method: str) -> Landing:
        """Makes the target of the source's bytes. Closes the source."""
        with (
            closing(source),
            system_errors(work.target, "written"),
            closing(audit_of(work, source, self.rules, self.verified)) as audit,
        ):
            return self._transfer(work, source).run(audit, method)
