"""One fetch to a file: the source's bytes become the disk that is wanted, and appear at the target whole."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from lading.adapters.destinations.file.file_writer import FileWriter, in_background
from lading.adapters.destinations.file.free_space import require_space
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import drop_made, drop_part, is_strong, kept_bytes, made_path, noted_part
from lading.adapters.destinations.file.steps import RAW_LIKE, check_form, format_of, must_convert, whole_sectors
from lading.adapters.destinations.file.target_state import use_of
from lading.adapters.destinations.file.unpacking import Content, Unpacking
from lading.adapters.destinations.rules import Rules
from lading.adapters.destinations.source_audit import verdict
from lading.adapters.destinations.versions import remember_version
from lading.adapters.formats.audit import Audit, Audited, is_kept_packed
from lading.adapters.formats.conversion import gpt, qemu
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.formats.scan import content_digest
from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.host.boot import boot_id
from lading.adapters.stream import pipeline
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.errors import Refused, value_or_refuse
from lading.adapters.stream.pipeline import Chunks, SourceBroken
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sources import FileSource, Source, version_of
from lading.adapters.stream.sparse import clone
from lading.adapters.stream.write_back import WriteBack
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, TargetFailed, Unavailable, Unsupported
from lading.ports.association import Fingerprint, Shipped
from lading.ports.form import AS_SHIPPED
from lading.ports.image import Digest
from lading.ports.observer import NullObserver
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Transfer"]

_SETTLED_NS: Final = 2_000_000_000
"""A file that was changed more recently could change again within one tick of its clock, unseen (git's racy index)."""


_ALLOCATED: Final = frozenset({"falloc", "full"})
"""The kinds of preallocation that take all of the disk's space."""
_FEW_BUFFERS: Final = 8
"""For what is unpacked: a decompressor is slower than what follows it, and has memory of its own."""


@dataclass(frozen=True, slots=True)
class _Disk:
    """The image's disk in a file, on its way to the target."""

    file: NewFile | None
    """None: the source's own file, which is only read."""
    descriptor: int
    audited: Audited
    """Its format, and the digest where it is known."""
    method: str
    shipped: Shipped | None = None
    """The image as it was shipped, where the file has other bytes."""
    converted_by: str | None = None


class Transfer:
    """Brings a source's bytes to the target: unpacked, converted and grown as the request wants it."""

    def __init__(
        self, work: Work, source: Source, rules: Rules, verified: VerifiedFiles, notes: Notes, part: str
    ) -> None:
        """`part`: the path of the temporary file, when the fetch does not resume."""
        self._work, self._source, self._rules, self._verified, self._notes = work, source, rules, verified, notes
        self._form = rules.form_of(work)
        known = work.intent.notes if work.intent else {}
        self._part = noted_part(work.target, known) if source.start else part
        self._files = ExitStack()
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
                disk = self._in_form(disk)
            except Refused as refused:
                if disk.audited.verified and isinstance(refused.refusal, Mismatched | Unsupported | Unavailable):
                    # No other location has other bytes of it.
                    reason = f"{self._work.target} cannot be made of the image: {refused.refusal.reason}"
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
            self._allocate(disk)
            facts = (made.verified, made.inspected_by, made.format, made.virtual_size)
            audited = Audited(disk.audited.size, disk.audited.digest, *facts)
            return self._publish(replace(disk, audited=audited, shipped=made.shipped, converted_by=made.converted_by))

    # From the bytes as shipped to the image's disk.

    def _disk(self, audit: Audit, method: str) -> _Disk:
        source = self._source
        if not isinstance(source, FileSource):
            return self._stream(source, audit, method)
        packed_as = self._packing(packing(source.first_bytes(HEAD)))
        if packed_as is not None:
            return self._unpack_file(source, packed_as, audit, method)
        audit = self._content_audit() or audit
        if self._form.format is not None or self._form.preallocation is not None:
            return self._examine_file(source, audit, method)
        return self._copy_file(source, audit, method)

    def _with_content_verified(self, disk: _Disk) -> _Disk:
        """Compares a downloaded image that turned out not to be packed with the digest of its content."""
        if disk.shipped is not None or disk.audited.verified or (audit := self._content_audit()) is None:
            return disk
        with closing(FileSource(os.dup(disk.descriptor))) as received:
            size = pipeline.run(received, (audit.take,), self._reached(received.size))
        return replace(disk, audited=value_or_refuse(audit.verdict(size)))

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

    def _stream(self, source: Source, audit: Audit, method: str) -> _Disk:
        """Downloads the image to the temporary file, from which a fetch can resume, and unpacks it meanwhile."""
        self._require_space(source.required_space)
        work = self._work
        named = self._notes.are_kept
        is_identified = is_strong(source.validator) and boot_id() is not None
        is_resumable = named and (audit.expected_digest is not None or is_identified)
        announce = partial(self._notes.announce, part=self._part, resumable=named, validator=source.validator)
        new = self._files.enter_context(
            NewFile(
                work.target, part=self._part, mode=self._rules.mode, named=named, start=source.start,
                notes=work.intent.notes if work.intent else {}, announce=announce if named else None,
                resumable=is_resumable,
            )
        )  # fmt: skip
        audit.check_format = self._check_form
        unpacking = Unpacking(self._files, partial(self._begin_unpacking, audit))
        writer = FileWriter(source, new.descriptor, audit, work.observer, most=self._rules.max_size)
        try:
            size = writer.stream(unpacking, wanted=self._form.format)
        except SourceBroken as broken:
            kept = kept_bytes(new.descriptor) if is_resumable else 0
            if kept:
                new.keep()
            raise Refused(Unavailable(str(broken), kept)) from broken
        audited = value_or_refuse(audit.verdict(size))
        if self._unpacks_late:
            with closing(FileSource(os.dup(new.descriptor))) as received:
                self._unpacker(audit)(received)
        if audit.is_hashing and not source.start:
            remember_version(self._verified, version_of(source), audited)
        return self._unpacked(audited, method) or _Disk(new, new.descriptor, audited, method)

    def _begin_unpacking(self, audit: Audit, found: str) -> Callable[[Chunks], None] | None:
        packed_as = self._packing(found)
        if packed_as is None:
            return None
        audit.ignore_format()
        self._unpacks_late = packed_as == "zip"
        return None if self._unpacks_late else self._unpacker(audit)

    def _unpack_file(self, source: FileSource, packed_as: str, audit: Audit, method: str) -> _Disk:
        """Unpacks a file of this host. It is hashed meanwhile, unless it was hashed before."""
        unpack = self._unpacker(audit)
        is_known = self._trust_known(source, audit)
        if packed_as == "zip":
            unpack(source)
            if not is_known:
                pipeline.run(source, (audit.take,), self._progress)
            _require_unchanged(source)
        else:
            with Branch(unpack) as branch:
                stages = (*([] if is_known else [audit.take]), branch.take)
                pipeline.run(source, stages, self._progress, give_up=branch.abandon)
                branch.finish()
            if is_known:
                _require_unchanged(source)
        self._remember(source, audit)
        disk = self._unpacked(verdict(audit, source, source.size), method)
        assert disk is not None  # noqa: S101 - `unpack` has set it
        return disk

    def _unpacker(self, audit: Audit) -> Callable[[Chunks], None]:
        """Opens the file for the disk in a packed image. Returns what fills it from the packed bytes."""
        audit.ignore_format()
        rules = self._rules
        # A disk that grows becomes another.
        algorithm = None if self._grows else content_algorithm()
        content = value_or_refuse(
            Audit.of_content(self._work.image, verify=rules.verify, inspect=rules.inspect, algorithm=algorithm)
        )
        content.most, content.check_format = rules.max_disk, self._check_form
        self._require_space(self._work.image.content_size if self._work.image else None)
        return partial(self._unpack, content, self._new_file("disk"))

    def _unpack(self, content: Audit, new: NewFile, packed: Chunks) -> None:
        check = packed.check if isinstance(packed, Branch) else None
        unpacked = Unpacked(packed, Limits(self._rules.max_disk), self._form.member, check=check)
        self._content = unpacked, content, new
        writer = FileWriter(Content(unpacked), new.descriptor, content, NullObserver())
        writer.stream(wanted=self._form.format, buffers=_FEW_BUFFERS)

    def _unpacked(self, audited: Audited, method: str) -> _Disk | None:
        """The disk of a packed image, whose bytes as shipped are `audited`; None: it was not packed."""
        if self._content is None:
            return None
        unpacked, content, new = self._content
        disk = value_or_refuse(content.verdict(os.fstat(new.descriptor).st_size))
        is_verified = audited.verified or disk.verified
        shipped = Shipped(", ".join((*unpacked.layers, disk.format or "unknown")), audited.size, audited.digest)
        return _Disk(new, new.descriptor, disk._replace(verified=is_verified), method, shipped)

    def _examine_file(self, source: FileSource, audit: Audit, method: str) -> _Disk:
        """Inspects a file of this host that may have to be converted: it is read where it is, and hashed meanwhile."""
        audit.inspect(source)
        if (refusal := audit.format_refusal()) is not None:
            raise Refused(refusal)
        examined = _Disk(None, source.descriptor, self._facts_of(source, audit), method)
        if not self._must_convert(examined):
            return self._copy_file(source, audit, method)
        if self._trust_known(source, audit):
            return replace(examined, audited=verdict(audit, source, source.size))
        with in_background(partial(pipeline.run, source, (audit.take,), self._until_over)):
            try:
                converted = self._convert(examined)
            except BaseException:
                self._is_over = True
                raise
        _require_unchanged(source)
        self._remember(source, audit)
        audited = verdict(audit, source, source.size)
        shipped = Shipped(audited.format or "unknown", audited.size, audited.digest)
        made = converted.audited._replace(verified=audited.verified, inspected_by=audited.inspected_by)
        return replace(converted, audited=made, shipped=shipped)

    def _facts_of(self, source: FileSource, audit: Audit) -> Audited:
        """What an inspection told of a file, before its digest is known."""
        disk_format, disk_size = audit.disk(source.size)
        return Audited(source.size, None, verified=False, inspected_by=None, format=disk_format, virtual_size=disk_size)

    def _copy_file(self, source: FileSource, audit: Audit, method: str) -> _Disk:
        """Clones a file of this host, or else copies it."""
        announce = partial(self._notes.announce, part=self._part) if self._notes.are_kept else None
        new = self._files.enter_context(
            NewFile(self._work.target, part=self._part, mode=self._rules.mode, announce=announce)
        )
        writer = FileWriter(source, new.descriptor, audit, self._work.observer, most=self._rules.max_size)
        # Shared blocks take further space when a guest writes to them.
        if self._form.preallocation not in _ALLOCATED and clone(source.descriptor, new.descriptor):
            method = "reflink"
            if self._trust_known(source, audit):
                writer.inspect()
                writer.progress(source.size)
            else:
                writer.read_back()
                self._remember(source, audit)
        else:
            self._require_space(source.required_space)
            if audit.is_hashing:
                writer.stream()
            else:
                writer.copy(source)
                writer.inspect()
        return _Disk(new, new.descriptor, verdict(audit, source, source.size), method)

    # From the image's disk to the form that is wanted.

    def _check_form(self, found: str, disk_size: int | None) -> None:
        """Raises Refused where the disk cannot get its form, as soon as the first bytes tell its format."""
        self._rules.check_disk(max(self._form.size or 0, disk_size or 0))
        check_form(self._form, found, disk_size)

    def _in_form(self, disk: _Disk) -> _Disk:
        """The disk in the form that is wanted, in a file of its own."""
        if replace(self._form, member=None) == AS_SHIPPED:
            return disk
        if disk.file is None or (disk.converted_by is None and self._must_convert(disk)):
            disk = self._convert(disk)
        if self._grows:
            disk = self._grow(disk)
        self._allocate(disk)  # QEMU gives the space of a qcow2's zeros back
        return disk

    @property
    def _grows(self) -> bool:
        """The disk may change within its file."""
        return self._form.size is not None or self._form.fix_gpt

    def _must_convert(self, disk: _Disk) -> bool:
        """Tells whether the disk needs another file. Raises Refused where its form cannot be had."""
        found, has = disk.audited.format, disk.audited.virtual_size
        assert found is not None  # noqa: S101 - without inspection only the image's own form can be had
        self._rules.check_disk(max(self._form.size or 0, has or 0))
        return must_convert(self._form, found, has)

    def _convert(self, disk: _Disk) -> _Disk:
        found = disk.audited.format or "raw"
        wanted = format_of(self._form, found)
        descriptor = disk.descriptor if disk.file is None else self._for_tools(disk.file)
        image = qemu.open_disk(descriptor, "raw" if found in RAW_LIKE else found)
        self._rules.check_disk(image.size)
        new = self._new_file("made")
        is_allocated = self._form.preallocation in _ALLOCATED
        self._require_space(max(image.size, self._form.size or 0) if is_allocated else qemu.required_space(image))
        write_back = WriteBack(new.descriptor)
        made = qemu.convert(
            image, self._for_tools(new), wanted, partial(self._converted, write_back, image.size),
            preallocation=self._form.preallocation or "off",
        )  # fmt: skip
        if isinstance(self._source, FileSource) and disk.file is None:
            _require_unchanged(self._source)
        audited = disk.audited
        shipped = disk.shipped or Shipped(found, audited.size, audited.digest)
        # The kernel writes the rest meanwhile.
        write_back.wrote(os.fstat(new.descriptor).st_size)
        digest = None if self._grows else self._digest_of(new.descriptor)
        made_of = audited._replace(digest=digest, format=wanted, virtual_size=made.size)
        return _Disk(new, new.descriptor, made_of, disk.method, shipped, qemu.converted_by())

    def _converted(self, write_back: WriteBack, total: int, done: int) -> None:
        write_back.wrote(done)
        self._work.observer.progress(done, total)

    def _grow(self, disk: _Disk) -> _Disk:
        audited, form, new = disk.audited, self._form, disk.file
        assert new is not None  # noqa: S101 - see `_in_form`
        found = "raw" if audited.format in RAW_LIKE else str(audited.format)
        image = qemu.Disk(self._for_tools(new), found, audited.virtual_size or 0)
        size = whole_sectors(image.size) if form.size is None else form.size
        if size < image.size:  # the format's own header tells less than QEMU does: a VHD's
            raise Refused(Unsupported(f"its disk has {image.size} bytes, more than the {size} requested"))
        if size == image.size and not form.fix_gpt:
            return disk
        if new.resumable:  # it is no part of the image as shipped any more
            new.resumable = False
            self._notes.announce(fingerprint(new.descriptor), part=self._part)
        if form.preallocation is not None or image.format != "raw":
            image = qemu.grow(image, size, preallocation=form.preallocation or "off")
        else:
            os.ftruncate(new.descriptor, size)
            image = image._replace(size=size)
        if form.fix_gpt and not gpt.move_backup(image):
            raise Refused(Mismatched("its disk has no GPT, whose backup --fix-gpt could move"))
        shipped = disk.shipped or Shipped(str(audited.format), audited.size, audited.digest)
        return replace(disk, audited=audited._replace(digest=None, virtual_size=size), shipped=shipped)

    def _allocate(self, disk: _Disk) -> None:
        """Takes the space of the file's holes, where the form says so."""
        if self._form.preallocation in _ALLOCATED:
            os.posix_fallocate(disk.descriptor, 0, os.fstat(disk.descriptor).st_size)

    # To the target.

    def _publish(self, disk: _Disk) -> Landing:
        new, audited, source, work = disk.file, disk.audited, self._source, self._work
        assert new is not None  # noqa: S101 - see `_in_form`
        digest = audited.digest
        if digest is None and disk.shipped is not None:
            digest = self._digest_of(new.descriptor)
        file = new.finish()
        # A guest may have been started from the earlier file in the meantime.
        if work.force and (in_use := use_of(work)) is not None:
            raise Refused(in_use)
        landing = Landing(
            disk.method, file.size, digest, audited.verified, resumed=source.start, inspected_by=audited.inspected_by,
            copied_from=source.copied_from if isinstance(source, FileSource) else None, format=audited.format,
            virtual_size=audited.virtual_size, shipped=disk.shipped, converted_by=disk.converted_by, form=self._form,
        )  # fmt: skip
        self._notes.landed(landing, file)
        return replace(landing, fingerprint=new.publish(replace=work.force), folder=new.folder)

    def _digest_of(self, descriptor: int) -> Digest:
        """The digest of a file that was made of the image: no catalog has one."""
        with closing(FileSource(os.dup(descriptor))) as filled:
            return content_digest(filled, self._reached(filled.size))

    # What several of these steps need.

    def _new_file(self, kind: Literal["disk", "made"]) -> NewFile:
        """A file for what is made of the image."""
        part, notes = made_path(self._part, kind), self._notes
        announce = partial(notes.announce_made, part=part) if notes.are_kept else None
        new = self._files.enter_context(NewFile(self._work.target, part=part, mode=self._rules.mode, announce=announce))
        if announce is not None and self._work.force:
            announce(fingerprint(new.descriptor))  # it will have that name for a moment
        return new

    def _for_tools(self, file: NewFile) -> int:
        """A descriptor of the file for external tools.

        Its lock belongs to the other one: a tool that ends after this process was killed does not hold it meanwhile.
        """
        descriptor = os.open(f"/dev/fd/{file.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        self._files.callback(os.close, descriptor)
        return descriptor

    def _trust_known(self, source: FileSource, audit: Audit) -> bool:
        """Lets the audit trust the digest of this very file, if it was hashed before. Returns True when it was."""
        expected = audit.expected_digest
        if expected is None:
            return False
        known = self._verified.digest(source.fingerprint, expected.algorithm).value_or(None)
        if known is None or self._work.reverify or not source.is_unchanged:
            return False
        audit.trust(known)
        return True

    def _remember(self, source: FileSource, audit: Audit) -> None:
        if (digest := audit.digest) is not None and source.is_unchanged and _is_settled(source.fingerprint):
            self._verified.remember(source.fingerprint, digest)

    def _require_space(self, size: int | None) -> None:
        if self._rules.require_space:
            require_space(size, self._work.target)

    def _progress(self, done: int) -> None:
        self._work.observer.progress(done, self._source.size)

    def _until_over(self, done: int) -> None:
        """Ends the hashing when another step has failed, which has reported its own progress so far."""
        if self._is_over:
            raise SourceBroken("its reading was ended")

    def _reached(self, total: int) -> Callable[[int], None]:
        return lambda done: self._work.observer.progress(done, total)


def _require_unchanged(source: FileSource) -> None:
    """Raises Refused where the file has changed: what was made of it may not be made of the bytes that were hashed."""
    if (change := source.change) is not None:
        raise Refused(Unavailable(f"the file was changed while it was copied: {change}"))


def _is_settled(file: Fingerprint) -> bool:
    return time.time_ns() - max(file.mtime_ns, file.ctime_ns) > _SETTLED_NS
