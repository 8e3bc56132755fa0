"""One fetch to a file: the source's bytes become the disk that is wanted, and appear at the target whole."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

from lading.adapters.destinations.file.file_writer import FileWriter, in_background
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import drop_made, drop_part, is_strong, kept_bytes, noted_part
from lading.adapters.destinations.file.shaping import Shaping, require_unchanged
from lading.adapters.destinations.file.target_state import use_of
from lading.adapters.destinations.file.unpacking import Content, Unpacking
from lading.adapters.destinations.file.work_files import Disk, WorkFiles
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.source_audit import verdict
from lading.adapters.destinations.versions import remember_version
from lading.adapters.formats.audit import Audit, Audited, is_kept_packed
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.host.boot import boot_id
from lading.adapters.stream import pipeline
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.errors import Refused, unavailable, value_or_refuse
from lading.adapters.stream.pipeline import Chunks, SourceBroken
from lading.adapters.stream.sources import FileSource, Source, version_of
from lading.adapters.stream.sparse import clone
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, TargetFailed, Unavailable, Unsupported
from lading.ports.association import Fingerprint, Shipped
from lading.ports.observer import NullObserver, report_step
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Transfer"]

_SETTLED_NS: Final = 2_000_000_000
"""A file that was changed more recently could change again within one tick of its clock, unseen (git's racy index)."""
_FEW_BUFFERS: Final = 8
"""For what is unpacked: a decompressor is slower than what follows it, and has memory of its own."""


class Transfer:
    """Brings a source's bytes to the target: unpacked, converted and grown as the request wants it."""

    def __init__(
        self, work: Work, source: Source, rules: Rules, verified: VerifiedFiles, notes: Notes, part: str
    ) -> None:
        """`part`: the path of the temporary file, when the fetch does not resume."""
        self._work, self._source, self._rules, self._verified, self._notes = work, source, rules, verified, notes
        known = work.intent.notes if work.intent else {}
        self._files = WorkFiles(work, rules, notes, noted_part(work.target, known) if source.start else part)
        self._shaping = Shaping(work, source, rules, notes, self._files)
        self._content: tuple[Unpacked, Audit, NewFile] | None = None
        """What is unpacked, and into which file."""
        self._unpacks_late = False
        """True for an archive whose list of members is at its end: it is unpacked when all of it is there."""
        self._is_over = False
        """True when what is hashed meanwhile is of no use any more."""

    def run(self, audit: Audit, method: str) -> Landing:
        """Brings the disk to the target, and closes the source. `audit`: of the bytes as shipped. Raises Refused."""
        known = self._work.intent.notes if self._work.intent else {}
        # Before another file is noted. A fetch that resumes keeps its partial data only.
        (drop_made if self._source.start else drop_part)(self._work.target, known)
        with self._files:
            disk = self._with_content_verified(self._disk(audit, method))
            try:
                disk = self._shaping.in_form(disk)
            except Refused as refused:
                if disk.audited.verified and isinstance(refused.refusal, Mismatched | Unsupported | Unavailable):
                    # No other location has other bytes of it.
                    reason = f"{self._work.target} cannot be made of the image: {refused}"
                    raise Refused(TargetFailed(reason)) from refused
                raise
            return self._publish(disk)

    def copy(self, made: Landing) -> Landing:
        """Copies another target that was given this form. `made` is its landing. Raises Refused."""
        assert isinstance(self._source, FileSource)  # noqa: S101 - a target
        self._rules.check_size(self._source.size)
        self._rules.check_disk(made.virtual_size or 0)
        audit = Audit(None, made.digest, None)
        known = self._work.intent.notes if self._work.intent else {}
        drop_part(self._work.target, known)
        with self._files:
            disk = self._copy_file(self._source, audit, "copy")
            self._shaping.allocate(disk)
            # The images are the same, so that what is known of their digest by now holds for both.
            signer = (self._work.image and self._work.image.proof.signed_by) or made.signed_by
            facts = (made.verified, made.inspected_by, made.format, made.virtual_size, signer)
            audited = Audited(disk.audited.size, disk.audited.digest, *facts)
            return self._publish(replace(disk, audited=audited, shipped=made.shipped, converted_by=made.converted_by))

    # From the bytes as shipped to the image's disk.

    def _disk(self, audit: Audit, method: str) -> Disk:
        source = self._source
        if not isinstance(source, FileSource):
            return self._stream(source, audit, method)
        packed_as = self._packing(packing(source.first_bytes(HEAD)))
        if packed_as is not None:
            return self._unpack_file(source, packed_as, audit, method)
        if (content := self._content_audit()) is not None:
            content.signature = audit.signature
            audit = content
        if self._shaping.form.format is not None or self._shaping.form.preallocation is not None:
            return self._examine_file(source, audit, method)
        return self._copy_file(source, audit, method)

    def _with_content_verified(self, disk: Disk) -> Disk:
        """Compares a downloaded image that turned out not to be packed with the digest of its content."""
        if disk.shipped is not None or disk.audited.verified or (audit := self._content_audit()) is None:
            return disk
        report_step(self._work.observer, "verifying")
        with closing(FileSource(os.dup(disk.descriptor))) as received:
            size = pipeline.run(received, (audit.take,), self._files.reached(received.size))
        return replace(disk, audited=value_or_refuse(audit.verdict(size)).proven_by(disk.audited))

    def _content_audit(self) -> Audit | None:
        """The audit of an image that is not packed by the digest of its content; None: the catalog has another one."""
        image, rules = self._work.image, self._rules
        if image is None or not rules.verify or image.expected_digest is not None or image.content_digest is None:
            return None
        audit = value_or_refuse(Audit.of_content(image, verify=True, inspect=rules.inspect))
        audit.most = rules.max_disk
        return audit

    def _packing(self, found: str | None) -> str | None:
        """The packing to undo; None: the bytes are the image."""
        if found is None or not self._rules.unpack or is_kept_packed(self._work.image, found):
            return None
        return found

    def _stream(self, source: Source, audit: Audit, method: str) -> Disk:
        """Downloads the image to the temporary file, from which a fetch can resume, and unpacks it meanwhile."""
        self._files.require_space(source.required_space, allocated=self._shaping.is_allocated)
        work = self._work
        named = self._notes.are_kept
        is_identified = is_strong(source.validator) and boot_id() is not None
        is_resumable = named and (audit.expected_digest is not None or is_identified)
        announce = partial(self._notes.announce, part=self._files.part, resumable=named, validator=source.validator)
        new = self._files.enter_context(
            NewFile(
                work.target, part=self._files.part, mode=self._rules.mode, named=named, start=source.start,
                notes=work.intent.notes if work.intent else {}, announce=announce if named else None,
                resumable=is_resumable,
            )
        )  # fmt: skip
        audit.check_format = self._shaping.check
        unpacking = Unpacking(self._files, partial(self._begin_unpacking, audit))
        writer = FileWriter(source, new.descriptor, audit, work.observer, most=self._rules.max_size)
        try:
            size = writer.stream(unpacking, wanted=self._shaping.form.format)
        except SourceBroken as broken:
            kept = kept_bytes(new.descriptor) if is_resumable else 0
            if kept:
                new.keep()
            raise Refused(unavailable(broken, kept=kept)) from broken
        audited = value_or_refuse(audit.verdict(size))
        if self._unpacks_late:
            report_step(work.observer, "unpacking")
            with closing(FileSource(os.dup(new.descriptor))) as received:
                self._unpacker(audit)(received)
        if audit.is_hashing and not source.start:
            remember_version(self._verified, version_of(source), audited)
        return self._unpacked(audited, method) or Disk(new, new.descriptor, audited, method)

    def _begin_unpacking(self, audit: Audit, found: str) -> Callable[[Chunks], None] | None:
        packed_as = self._packing(found)
        if packed_as is None:
            return None
        audit.ignore_format()
        self._unpacks_late = packed_as == "zip"
        return None if self._unpacks_late else self._unpacker(audit)

    def _unpack_file(self, source: FileSource, packed_as: str, audit: Audit, method: str) -> Disk:
        """Unpacks a file of this host. It is hashed meanwhile, unless it was hashed before."""
        unpack = self._unpacker(audit)
        is_known = self._trust_known(source, audit)
        if packed_as == "zip":
            unpack(source)
            if not is_known:
                pipeline.run(source, (audit.take,), self._progress)
            require_unchanged(source)
        else:
            with Branch.running(unpack) as branch:
                stages = (*([] if is_known else [audit.take]), branch.take)
                pipeline.run(source, stages, self._progress, give_up=branch.abandon)
                branch.finish()
            if is_known:
                require_unchanged(source)
        self._remember(source, audit)
        disk = self._unpacked(verdict(audit, source, source.size), method)
        assert disk is not None  # noqa: S101 - `unpack` has set it
        return disk

    def _unpacker(self, audit: Audit) -> Callable[[Chunks], None]:
        """Opens the file for the disk in a packed image. Returns what fills it from the packed bytes."""
        audit.ignore_format()
        rules = self._rules
        # A disk that grows becomes another.
        algorithm = None if self._shaping.grows else content_algorithm()
        content = value_or_refuse(
            Audit.of_content(self._work.image, verify=rules.verify, inspect=rules.inspect, algorithm=algorithm)
        )
        content.most, content.check_format = rules.max_disk, self._shaping.check
        self._files.require_space(self._work.image.content_size if self._work.image else None)
        return partial(self._unpack, content, self._files.new_file("disk"))

    def _unpack(self, content: Audit, new: NewFile, packed: Chunks) -> None:
        check = packed.check if isinstance(packed, Branch) else None
        unpacked = Unpacked(packed, Limits(self._rules.max_disk), self._shaping.form.member, check=check)
        self._content = unpacked, content, new
        writer = FileWriter(Content(unpacked), new.descriptor, content, NullObserver())
        writer.stream(wanted=self._shaping.form.format, buffers=_FEW_BUFFERS)

    def _unpacked(self, audited: Audited, method: str) -> Disk | None:
        """The disk of a packed image, whose bytes as shipped are `audited`; None: it was not packed."""
        if self._content is None:
            return None
        unpacked, content, new = self._content
        disk = value_or_refuse(content.verdict(os.fstat(new.descriptor).st_size))
        shipped = Shipped(", ".join((*unpacked.layers, disk.format or "unknown")), audited.size, audited.digest)
        return Disk(new, new.descriptor, disk.proven_by(audited), method, shipped)

    def _examine_file(self, source: FileSource, audit: Audit, method: str) -> Disk:
        """Inspects a file of this host that may have to be converted: it is read where it is, and hashed meanwhile."""
        audit.inspect(source)
        if (refusal := audit.format_refusal()) is not None:
            raise Refused(refusal)
        examined = Disk(None, source.descriptor, self._facts_of(source, audit), method)
        if not self._shaping.must_convert(examined):
            return self._copy_file(source, audit, method)
        if self._trust_known(source, audit):
            return replace(examined, audited=verdict(audit, source, source.size))
        with in_background(partial(pipeline.run, source, (audit.take,), self._until_over)):
            try:
                converted = self._shaping.convert(examined)
            except BaseException:
                self._is_over = True
                raise
        require_unchanged(source)
        self._remember(source, audit)
        audited = verdict(audit, source, source.size)
        shipped = Shipped(audited.format or "unknown", audited.size, audited.digest)
        made = converted.audited._replace(inspected_by=audited.inspected_by).proven_by(audited)
        return replace(converted, audited=made, shipped=shipped)

    def _facts_of(self, source: FileSource, audit: Audit) -> Audited:
        """What an inspection told of a file, before its digest is known."""
        disk_format, disk_size = audit.disk(source.size)
        return Audited(source.size, None, verified=False, inspected_by=None, format=disk_format, virtual_size=disk_size)

    def _copy_file(self, source: FileSource, audit: Audit, method: str) -> Disk:
        """Clones a file of this host, or else copies it."""
        announce = partial(self._notes.announce, part=self._files.part) if self._notes.are_kept else None
        new = self._files.enter_context(
            NewFile(self._work.target, part=self._files.part, mode=self._rules.mode, announce=announce)
        )
        writer = FileWriter(source, new.descriptor, audit, self._work.observer, most=self._rules.max_size)
        # Shared blocks take further space when a guest writes to them.
        if not self._shaping.is_allocated and clone(source.descriptor, new.descriptor):
            method = "reflink"
            if self._trust_known(source, audit):
                writer.inspect()
                writer.progress(source.size)
            else:
                writer.read_back()
                self._remember(source, audit)
        else:
            self._files.require_space(source.required_space, allocated=self._shaping.is_allocated)
            if audit.is_hashing:
                writer.stream()
            else:
                writer.copy(source)
                writer.inspect()
        return Disk(new, new.descriptor, verdict(audit, source, source.size), method)

    # To the target.

    def _publish(self, disk: Disk) -> Landing:
        new, audited, source, work = disk.file, disk.audited, self._source, self._work
        assert new is not None  # noqa: S101 - see `_in_form`
        digest = audited.digest
        if digest is None and disk.shipped is not None:
            digest = self._shaping.digest_of(new.descriptor)
        report_step(work.observer, "flushing")
        file = new.finish()
        # A guest may have been started from the earlier file in the meantime.
        if work.force and (in_use := use_of(work)) is not None:
            raise Refused(in_use)
        landing = Landing(
            disk.method, file.size, digest, audited.verified, resumed=source.start, inspected_by=audited.inspected_by,
            copied_from=source.copied_from if isinstance(source, FileSource) else None, format=audited.format,
            virtual_size=audited.virtual_size, shipped=disk.shipped, converted_by=disk.converted_by,
            form=self._shaping.form, signed_by=audited.signed_by,
        )  # fmt: skip
        self._notes.landed(landing, file)
        return replace(landing, fingerprint=new.publish(replace=work.force), folder=new.folder)

    # What several of these steps need.

    def _trust_known(self, source: FileSource, audit: Audit) -> bool:
        """Lets the audit trust the digest of this very file, if it was hashed before. Returns True when it was."""
        expected = audit.expected_digest
        if expected is None or audit.signature is not None:
            return False
        known = self._verified.digest(source.fingerprint, expected.algorithm).value_or(None)
        if known is None or self._work.reverify or not source.is_unchanged:
            return False
        audit.trust(known)
        return True

    def _remember(self, source: FileSource, audit: Audit) -> None:
        if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
            self._verified.remember(source.fingerprint, digest)

    def _progress(self, done: int) -> None:
        self._work.observer.progress(done, self._source.size)

    def _until_over(self, done: int) -> None:
        """Ends the hashing when another step has failed, which has reported its own progress so far."""
        if self._is_over:
            raise SourceBroken("its reading was ended")


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
