"""One fetch to a file: the source's bytes become the disk that is wanted, and appear at the target whole."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from lading.adapters.destinations.file.file_writer import FileWriter, in_background
from lading.adapters.destinations.file.free_space import require_space
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import drop_made, drop_part, is_strong, kept_bytes, made_path, noted_part
from lading.adapters.destinations.file.target_state import use_of
from lading.adapters.destinations.file.unpacking import Content, Unpacking
from lading.adapters.destinations.rules import Rules
from lading.adapters.formats.audit import Audit, Audited, is_kept_packed
from lading.adapters.formats.conversion import gpt, qemu
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.host.boot import boot_id
from lading.adapters.stream import pipeline
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.errors import Refused, value_or_refuse
from lading.adapters.stream.pipeline import Chunks, SourceBroken
from lading.adapters.stream.sources import FileSource, Source
from lading.adapters.stream.sparse import clone
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, Unavailable, Unsupported
from lading.ports.association import Fingerprint, Shipped
from lading.ports.form import AS_SHIPPED
from lading.ports.image import Digest
from lading.ports.observer import NullObserver
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Transfer"]

_SETTLED_NS: Final = 2_000_000_000
"""A file that was changed more recently could change again within one tick of its clock, unseen (git's racy index)."""
_RAW: Final = frozenset({"raw", "iso", "luks"})
"""The formats whose bytes are the disk's."""


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

    def run(self, audit: Audit, method: str) -> Landing:
        """Brings the disk to the target, and closes the source. `audit`: of the bytes as shipped. Raises Refused."""
        known = self._work.intent.notes if self._work.intent else {}
        # Before another file is noted. A fetch that resumes keeps its partial data only.
        (drop_made if self._source.start else drop_part)(self._work.target, known)
        with self._files:
            return self._publish(self._in_form(self._disk(audit, method)))

    # From the bytes as shipped to the image's disk.

    def _disk(self, audit: Audit, method: str) -> _Disk:
        source = self._source
        if not isinstance(source, FileSource):
            return self._stream(source, audit, method)
        packed_as = self._packing(packing(source.first_bytes(HEAD)))
        if packed_as is not None:
            return self._unpack_file(source, packed_as, audit, method)
        if self._form.format is not None or self._form.preallocation is not None:
            return self._examine_file(source, audit, method)
        return self._copy_file(source, audit, method)

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
        late: list[str] = []
        unpacking = Unpacking(self._files, partial(self._begin_unpacking, audit, late))
        writer = FileWriter(source, new.descriptor, audit, work.observer, most=self._rules.max_size)
        try:
            size = writer.stream(unpacking)
        except SourceBroken as broken:
            kept = kept_bytes(new.descriptor) if is_resumable else 0
            if kept:
                new.keep()
            raise Refused(Unavailable(str(broken), kept)) from broken
        if late:
            value_or_refuse(audit.verdict(size))
            with closing(FileSource(os.dup(new.descriptor))) as received:
                self._unpacker(audit)(received)
        audited = value_or_refuse(audit.verdict(size))
        return self._unpacked(audited, method) or _Disk(new, new.descriptor, audited, method)

    def _begin_unpacking(self, audit: Audit, late: list[str], found: str) -> Callable[[Chunks], None] | None:
        packed_as = self._packing(found)
        if packed_as is None:
            return None
        if packed_as == "zip":  # its list of members is at its end
            audit.ignore_format()
            late.append(packed_as)
            return None
        return self._unpacker(audit)

    def _unpack_file(self, source: FileSource, packed_as: str, audit: Audit, method: str) -> _Disk:
        """Unpacks a file of this host. It is hashed meanwhile, unless it was hashed before."""
        unpack = self._unpacker(audit)
        is_known = self._trust_known(source, audit)
        if packed_as == "zip":
            unpack(source)
            if not is_known:
                pipeline.run(source, (audit.take,), self._progress)
        else:
            with Branch(unpack) as branch:
                pipeline.run(source, (*([] if is_known else [audit.take]), branch.take), self._progress)
                branch.finish()
        self._remember(source, audit)
        disk = self._unpacked(self._verdict(source, audit), method)
        assert disk is not None  # noqa: S101 - `unpack` has set it
        return disk

    def _unpacker(self, audit: Audit) -> Callable[[Chunks], None]:
        """Opens the file for the disk in a packed image. Returns what fills it from the packed bytes."""
        audit.ignore_format()
        rules = self._rules
        content = value_or_refuse(Audit.of_content(self._work.image, verify=rules.verify, inspect=rules.inspect))
        content.most = rules.max_disk
        return partial(self._unpack, content, self._new_file("disk"))

    def _unpack(self, content: Audit, new: NewFile, packed: Chunks) -> None:
        unpacked = Unpacked(packed, Limits(self._rules.max_disk), self._form.member)
        self._content = unpacked, content, new
        FileWriter(Content(unpacked), new.descriptor, content, NullObserver()).stream()

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
            return replace(examined, audited=self._verdict(source, audit))
        with in_background(lambda: pipeline.run(source, (audit.take,), _ignored)):
            converted = self._convert(examined)
        self._remember(source, audit)
        audited = self._verdict(source, audit)
        shipped = Shipped(audited.format or "unknown", audited.size, audited.digest)
        return replace(converted, audited=converted.audited._replace(verified=audited.verified), shipped=shipped)
