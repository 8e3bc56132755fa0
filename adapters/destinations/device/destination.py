"""Block devices of this host as targets."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

from lading.adapters.codec.sizes import exact_size, size_text
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.device.block_device import HEAD, BlockDevice
from lading.adapters.destinations.device.device_writer import DeviceWriter, check_sectors
from lading.adapters.destinations.device.form import is_device
from lading.adapters.destinations.device.notes import Notes
from lading.adapters.destinations.device.recovery import recover
from lading.adapters.destinations.device.staging import Peeked, Staged, is_plain, require_staging_space, stage
from lading.adapters.destinations.device.target_state import (
    DeviceBytes,
    another_device,
    check_target,
    compare,
    is_incomplete,
)
from lading.adapters.destinations.file.partial import is_resumable, is_strong, resume_point
from lading.adapters.destinations.file.steps import check_gpt, steps
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.single_flight import SingleFlight
from lading.adapters.destinations.source_audit import audit_of, proven, signature_step, verdict
from lading.adapters.destinations.versions import remember_version
from lading.adapters.formats.audit import Audit
from lading.adapters.host.boot import boot_id
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused, device_too_small, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.pipeline import CHUNK
from lading.adapters.stream.sources import FROM_START, FileSource, ResumePoint, Source, version_of
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Mismatched, TargetFailed, TargetOccupied, Unavailable, Unsupported
from lading.ports.association import Shipped, State
from lading.ports.form import AS_SHIPPED, Form
from lading.ports.image import Digest
from lading.ports.journal import Journal, Verb
from lading.ports.observer import report_step
from lading.ports.verified_files import StoredVersion, VerifiedFiles

__all__ = ["DeviceDestination"]


class DeviceDestination:
    """The destination of every target that is a block device of this host; see `Destination`.

    A device cannot be published in one step. It is incomplete from the first byte that is written until all of it is
    read back: its head, where boot code and partition tables are, is zeros until all else is flushed and verified.
    """

    def __init__(self, rules: Rules, verified: VerifiedFiles, journal: Journal, flights: SingleFlight) -> None:
        """`journal` is that of the Dispatcher."""
        self._rules = rules
        self._verified = verified
        self._journal = journal
        self._flights = flights

    def takes(self, target: str) -> bool:
        """Returns True when the target's form is that of a device; see `is_device`."""
        return is_device(target)

    @returning_refusals
    def fetch(self, work: Work, opener: SourceOpener) -> Landing:
        form = _form(work)
        # A digest that no bytes can have is refused before a device is opened.
        value_or_refuse(Audit.of(work.image, verify=self._rules.verify, inspect=False))
        notes = Notes(self._journal, work)
        with system_errors(work.target, "written"), BlockDevice(work.target, write=True) as device:
            if (present := check_target(work, form, device, notes.now, read=True)) is not None:
                return present
            resume = self._resume_point(work, device, notes)
            if (copy := self._local_copy(work, opener)) is not None:
                try:
                    return self._write(work, device, notes, copy, "copy")
                except Refused as refused:
                    if not isinstance(refused.refusal, Mismatched | Unavailable):
                        raise  # else a guest wrote to the copy in the meantime
            head = b""
            if resume.offset:
                head, validator = _head(opener)
                if (not self._rules.verify or not _digest_of(work)) and validator != resume.validator:
                    resume = FROM_START
            source = value_or_refuse(opener.open(resume))
            try:
                return self._write(work, device, notes, source, opener.method, head)
            except Refused as refused:
                # What is resumed may be wrong.
                if not source.start or not isinstance(refused.refusal, Mismatched):
                    raise
            return self._write(work, device, notes, value_or_refuse(opener.open(FROM_START)), opener.method)

    @returning_refusals
    def preview(self, work: Work, opener: SourceOpener) -> str:
        form = _form(work)
        value_or_refuse(Audit.of(work.image, verify=self._rules.verify, inspect=False))
        with system_errors(work.target, "examined"), BlockDevice(work.target, write=False) as device:
            if check_target(work, form, device, Notes(self._journal, work).now, read=False) is not None:
                return "is there already"
            source: Source | None = self._copy_as_shipped(work) if opener.single_flight else None
            if isinstance(source, FileSource):
                plan = f"copies {size_text(source.size)} from {source.copied_from}, which is this image; no network"
            else:
                source = value_or_refuse(opener.probe() if opener.probe is not None else opener.open(FROM_START))
                plan = opener.plan_text(source.size)
            with closing(source), closing(Peeked(source)) as peeked:
                audit_of(work, source, self._rules, self._verified)
                plan += signature_step(work, self._rules)
                if is_plain(work, peeked.head, self._rules):
                    size = (work.image.size if work.image else None) or source.size or 0
                    end = _end(size, form, device, self._rules)
                    check_sectors(peeked.head, device)
                    check_gpt(form, peeked.head)
                    return plan + (f", grows to {exact_size(end)}" if end > size else "")
                end = _end(0, form, device, self._rules)
                raw = replace(work, form=Form(form.format, end or None, member=form.member))
                seen = source if isinstance(source, FileSource) else peeked
                further = steps(raw, seen, self._rules, room=device.size)
                require_staging_space(source, further.found, self._rules)
                return plan + further.text

    @returning_refusals
    def remove(self, work: Work) -> None:
        """Wipes the signatures of what was fetched, where that is asked for. All other bytes stay."""
        notes = Notes(self._journal, work)
        is_undone = work.intent is not None and work.intent.verb is Verb.FETCH  # it could not be recorded
        is_wiped = work.wipe or is_undone or bool(notes.now.get("wipe"))
        if not os.path.exists(work.target):
            return
        with (
            system_errors(work.target, "wiped"),
            BlockDevice(work.target, write=is_wiped, shared=not is_wiped) as device,
        ):
            recorded = work.association
            if recorded is not None and recorded.identity not in {None, device.identity} and not work.force:
                raise Refused(TargetOccupied(another_device(recorded, device)))
            if not is_wiped:
                return
            if not is_undone:
                notes.wiping(device)
            device.zero_ends()
            device.flush()
            device.rescan_partitions()

    @returning_refusals
    def move(self, work: Work, destination: str) -> Landing:
        raise Refused(
            Unsupported(
                "nothing is moved from a device, or to one",
                advice=f"fetch the image to {destination}, then remove {work.target}",
            )
        )

    @returning_refusals
    def recover(self, work: Work, *, keep: bool) -> Landing | PartialData:
        return recover(work, self._journal, keep=keep, verify=self._rules.verify)

    @returning_refusals
    def verify(self, work: Work) -> Landing:
        recorded = work.association
        if recorded is None:
            raise Refused(Unsupported("nothing is recorded of the target"))
        if not os.path.exists(work.target):
            raise Refused(Mismatched(f"{work.target} is gone"))
        with system_errors(work.target, "read"), BlockDevice(work.target, write=False, shared=True) as device:
            if device.identity != recorded.identity:
                raise Refused(Mismatched(another_device(recorded, device)))
            return compare(recorded, device, work.observer, inspect=self._rules.inspect)

    @returning_refusals
    def report(self, work: Work) -> Report:
        """INCOMPLETE after an interrupted fetch, MISSING, or CHANGED for another device; else UNKNOWN."""
        if not os.path.exists(work.target):
            return Report(State.MISSING)
        with system_errors(work.target, "examined"), BlockDevice(work.target, write=False, shared=True) as device:
            details = {"device": device.identity, "device size": exact_size(device.size)}
            intent = work.intent
            if intent is not None and intent.verb is Verb.FETCH and is_incomplete(device, intent.notes):
                image = intent.image.id if intent.image else "an image"
                why = f"a fetch of {image} was interrupted; its start is zeros, so that nothing boots from it"
                return Report(State.INCOMPLETE, {"why": why, **details})
            if work.association is not None and work.association.identity != device.identity:
                return Report(State.CHANGED, {"why": another_device(work.association, device), **details})
            return Report(State.UNKNOWN, {"why": "only reading it tells: lading verify", **details})

    def _local_copy(self, work: Work, opener: SourceOpener) -> FileSource | None:
        """Another target with the image. Waits for a process that downloads the image to a file.

        A device is no source of copies, so no other process waits for a download to one.
        """
        if not opener.single_flight or not _digest_of(work):
            return None
        with self._flights.lock(work):
            return self._copy_as_shipped(work)

    def _copy_as_shipped(self, work: Work) -> FileSource | None:
        copy = proven(self._flights.local_copy(work, AS_SHIPPED), work, self._rules)
        if copy is None or copy.landing.shipped is None:
            return copy and copy.source
        copy.source.close()
        return None

    def _resume_point(self, work: Work, device: BlockDevice, notes: Notes) -> ResumePoint:
        noted = notes.now
        flushed, known = noted.get("flushed"), noted.get("part")
        if not isinstance(flushed, int) or flushed <= HEAD or not is_incomplete(device, noted):
            return FROM_START
        if not is_resumable(work, known, verify=self._rules.verify):
            return FROM_START
        point = resume_point(work, known, flushed)
        return point if point.offset > HEAD else FROM_START

    def _write(
        self, work: Work, device: BlockDevice, notes: Notes, source: Source, method: str, head: bytes = b""
    ) -> Landing:
        """Makes the device of the source's bytes. Closes the source. `head`: the first bytes, when it is resumed."""
        with closing(source), ExitStack() as resources:
            audit = resources.enter_context(closing(audit_of(work, source, self._rules, self._verified)))
            if source.start:
                return self._write_disk(work, device, notes, source, audit, method, head=head)
            seen = source if isinstance(source, FileSource) else resources.enter_context(closing(Peeked(source)))
            first = seen.first_bytes(CHUNK) if isinstance(seen, FileSource) else seen.head
            if is_plain(work, first, self._rules):
                audit = self._of_content(work, audit)
                return self._write_disk(work, device, notes, seen, audit, method, version=version_of(source))
            staged = stage(
                work, source if isinstance(source, FileSource) else seen, first, audit, self._rules, resources
            )
            digest = staged.audited.digest if staged.converted_by is None else None
            audit = Audit(None, digest, None)
            return self._write_disk(work, device, notes, staged.source, audit, method, staged=staged)

    def _of_content(self, work: Work, audit: Audit) -> Audit:
        """The audit of an image that is not packed: by the digest of its content, where the catalog has no other."""
        if audit.expected_digest is not None or work.image is None or work.image.content_digest is None:
            return audit
        rules = self._rules
        of_content = value_or_refuse(Audit.of_content(work.image, verify=rules.verify, inspect=rules.inspect))
        of_content.most, of_content.signature = rules.max_disk, audit.signature
        return of_content

    def _write_disk(  # noqa: PLR0913 - the parts of one writing
        self, work: Work, device: BlockDevice, notes: Notes, source: Source, audit: Audit, method: str, *,
        head: bytes = b"", version: StoredVersion | None = None, staged: Staged | None = None,
    ) -> Landing:  # fmt: skip
        """Writes a raw disk to the device, and reads it back. `version`: of what is stored, to be remembered."""
        promised = work.image.size if work.image and staged is None else None
        form = _form(work)
        end = _end(promised or source.size or 0, form, device, self._rules)
        is_identified = is_strong(source.validator) and boot_id() is not None
        is_resumable = not isinstance(source, FileSource) and (audit.expected_digest is not None or is_identified)
        writer = DeviceWriter(
            source, device, audit, work.observer, most=self._rules.max_size, head=head,
            end=end, form=form, begin=lambda: notes.begin(device),
            note=(lambda offset: notes.flushed(device, offset, source.validator)) if is_resumable else None,
        )  # fmt: skip
        with _incomplete_unless_read_back(writer, device, notes):
            if staged is not None:
                report_step(work.observer, "writing")
            size = writer.stream()
            audited = staged.audited if staged is not None else verdict(audit, source, size)
            writer.check_format()
            if 0 < end < size:
                raise Refused(Unsupported(f"the image has {exact_size(size)}, which is more than {exact_size(end)}"))
            report_step(work.observer, "flushing")
            writer.finish()
            notes.sealing(device, writer.head)
            writer.seal()
            digest = _read_back(work, device, end or size, writer.digest)
            if audit.is_hashing:
                remember_version(self._verified, version, audited)
            shipped = staged.shipped if staged is not None else None
            if shipped is None and end:
                shipped = Shipped(audited.format or "raw", size, audited.digest)
            if shipped is None and audited.digest is not None:
                digest = audited.digest  # by the catalog's algorithm, of a version that was hashed before
            landing = Landing(
                method, end or size, digest, audited.verified, identity=device.identity, resumed=source.start,
                inspected_by=audited.inspected_by,
                copied_from=source.copied_from if isinstance(source, FileSource) else None,
                format=audited.format, virtual_size=end or device.size, form=form,
                shipped=shipped, converted_by=staged.converted_by if staged is not None else None,
                signed_by=audited.signed_by,
            )  # fmt: skip
            notes.landed(landing)
        device.rescan_partitions()
        return landing


@contextmanager
def _incomplete_unless_read_back(writer: DeviceWriter, device: BlockDevice, notes: Notes) -> Iterator[None]:
    """Leaves the device without a head when the block fails after it has begun to write, and says so."""
    try:
        with system_errors(device.path, "written"):
            yield
    except Refused as refused:
        if not writer.has_begun:
            raise
        left = f"{device.path} is incomplete now"
        # While the head is there, its note must stay: without it recovery would take the head for another program's.
        with suppress(OSError, Refused):
            if writer.is_sealed:
                device.zero(0, min(HEAD, device.size))
                device.flush()
            left += ", and its first MiB is zeros"
            if isinstance(refused.refusal, Unavailable):
                writer.keep()
            else:
                notes.begin(device)  # what was written is not resumed
        raise Refused(replace(refused.refusal, reason=f"{refused.refusal.reason}; {left}")) from refused
    except BaseException as error:
        # Recovery removes a head that was written, by its note.
        if not isinstance(error, Exception) and not writer.is_sealed:
            with suppress(OSError, Refused):
                writer.keep()
        raise


def _read_back(work: Work, device: BlockDevice, size: int, expected: Digest | None) -> Digest | None:
    """Reads the image's bytes from the device. Returns their digest. Raises Refused where another is expected."""
    report_step(work.observer, "reading back")
    audit = Audit(None, expected, None)
    pipeline.run(DeviceBytes(device, size), (audit.take,), lambda done: work.observer.progress(done, size))
    if audit.digest != expected:
        reason = f"{device.path} does not hold what was written to it"
        raise Refused(TargetFailed(reason, expected=str(expected), found=str(audit.digest)))
    return audit.digest


def _head(opener: SourceOpener) -> tuple[bytes, str | None]:
    """The image's first bytes, and the origin's validator of the whole. Raises Refused and SourceBroken."""
    source = value_or_refuse(opener.open(FROM_START))
    head = bytearray()
    with closing(source):
        chunks = source.chunks(lambda: bytearray(CHUNK))
        try:
            while len(head) < HEAD and (chunk := next(chunks, None)) is not None:
                head += chunk.view if chunk.buffer is not None else bytes(min(chunk.length, HEAD))
        finally:
            if isinstance(chunks, Generator):
                chunks.close()
        return bytes(head[:HEAD]), source.validator


def _digest_of(work: Work) -> Digest | None:
    return work.image.expected_digest if work.image else None


def _end(size: int, form: Form, device: BlockDevice, rules: Rules) -> int:
    """The offset up to which the device gets zeros after a disk of that size; 0: none. `size` 0: it is not known.

    Raises Refused for impossible sizes.
    """
    if size > device.size:
        raise Refused(device_too_small(device.path, size, device.size))
    is_whole = form.fill or (form.fix_gpt and form.size is None)
    wanted = device.size if is_whole else form.size
    if wanted is None:
        return 0
    if wanted > device.size:
        raise Refused(device_too_small(device.path, wanted, device.size))
    rules.check_disk(wanted)
    if wanted < size:
        raise Refused(
            Unsupported(
                "the requested size is too small", expected=f"at least {exact_size(size)}", found=exact_size(wanted)
            )
        )
    if wanted % device.sector:
        expected = f"a multiple of the sector size of {device.path}, {device.sector} bytes"
        raise Refused(Unsupported("the requested size is not possible", expected=expected, found=exact_size(wanted)))
    return wanted


def _form(work: Work) -> Form:
    """The form that the device is to have: always raw. The settings' format is for files. Raises Refused for others."""
    form = work.form
    if form.format not in {None, "raw"}:
        raise Refused(Unsupported(f"a device gets raw images only, not {form.format}"))
    if form.preallocation is not None:
        raise Refused(Unsupported("a device has all its space: nothing is preallocated"))
    return replace(form, format="raw")
