"""The form of a disk: converted, grown, allocated, as the request wants it."""

import os
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.steps import RAW_LIKE, check_form, format_of, must_convert, whole_sectors
from lading.adapters.destinations.file.work_files import Disk, WorkFiles
from lading.adapters.destinations.rules import Rules
from lading.adapters.formats.conversion import gpt, qemu
from lading.adapters.formats.scan import content_digest
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sources import FileSource, Source
from lading.adapters.stream.write_back import WriteBack
from lading.domain.handler import Work
from lading.domain.refusals import Mismatched, Unavailable, Unsupported
from lading.ports.association import Shipped
from lading.ports.form import AS_SHIPPED
from lading.ports.image import Digest
from lading.ports.observer import report_step

__all__ = ["ALLOCATED", "Shaping", "require_unchanged"]

ALLOCATED: Final = frozenset({"falloc", "full"})
"""The kinds of preallocation that take all of the disk's space."""


class Shaping:
    """Gives a disk the form that is wanted. All methods raise Refused and OSError."""

    def __init__(self, work: Work, source: Source, rules: Rules, notes: Notes, files: WorkFiles) -> None:
        self.form = rules.form_of(work)
        self._work, self._source, self._rules, self._notes, self._files = work, source, rules, notes, files

    def check(self, found: str, disk_size: int | None) -> None:
        """Raises Refused where the disk cannot get its form, as soon as the first bytes tell its format."""
        self._rules.check_disk(max(self.form.size or 0, disk_size or 0))
        check_form(self.form, found, disk_size)

    def in_form(self, disk: Disk) -> Disk:
        """The disk in the form that is wanted, in a file of its own."""
        if replace(self.form, member=None) == AS_SHIPPED:
            return disk
        if disk.file is None or (disk.converted_by is None and self.must_convert(disk)):
            disk = self.convert(disk)
        if self.grows:
            disk = self._grow(disk)
        self.allocate(disk)  # QEMU gives the space of a qcow2's zeros back
        return disk

    @property
    def grows(self) -> bool:
        """The disk may change within its file."""
        return self.form.size is not None or self.form.fix_gpt

    @property
    def is_allocated(self) -> bool:
        """All of the disk takes space."""
        return self.form.preallocation in ALLOCATED

    def must_convert(self, disk: Disk) -> bool:
        """Tells whether the disk needs another file. Raises Refused where its form cannot be had."""
        found, has = disk.audited.format, disk.audited.virtual_size
        assert found is not None  # noqa: S101 - without inspection only the image's own form can be had
        self._rules.check_disk(max(self.form.size or 0, has or 0))
        return must_convert(self.form, found, has)

    def convert(self, disk: Disk) -> Disk:
        """Converts the disk into a file of its own."""
        found = disk.audited.format or "raw"
        wanted = format_of(self.form, found)
        descriptor = disk.descriptor if disk.file is None else self._files.for_tools(disk.file)
        image = qemu.open_disk(descriptor, "raw" if found in RAW_LIKE else found)
        self._rules.check_disk(image.size)
        new = self._files.new_file("made")
        if self.is_allocated:
            self._files.require_space(max(image.size, self.form.size or 0), allocated=True)
        elif not self._files.has_space(image.size):
            self._files.require_space(qemu.required_space(image))
        write_back = WriteBack(new.descriptor)
        report_step(self._work.observer, f"converting to {wanted}")
        made = qemu.convert(
            image, self._files.for_tools(new), wanted, partial(self._converted, write_back, image.size),
            preallocation=self.form.preallocation or "off",
        )  # fmt: skip
        if isinstance(self._source, FileSource) and disk.file is None:
            require_unchanged(self._source)
        audited = disk.audited
        shipped = disk.shipped or Shipped(found, audited.size, audited.digest)
        # The kernel writes the rest meanwhile.
        write_back.wrote(os.fstat(new.descriptor).st_size)
        digest = None if self.grows else self.digest_of(new.descriptor)
        made_of = audited._replace(digest=digest, format=wanted, virtual_size=made.size)
        return Disk(new, new.descriptor, made_of, disk.method, shipped, qemu.converted_by())

    def _converted(self, write_back: WriteBack, total: int, done: int) -> None:
        write_back.wrote(done)
        self._work.observer.progress(done, total)

    def _grow(self, disk: Disk) -> Disk:
        audited, form, new = disk.audited, self.form, disk.file
        assert new is not None  # noqa: S101 - see `in_form`
        found = "raw" if audited.format in RAW_LIKE else str(audited.format)
        image = qemu.Disk(self._files.for_tools(new), found, audited.virtual_size or 0)
        size = whole_sectors(image.size) if form.size is None else form.size
        if size < image.size:  # the format's own header tells less than QEMU does: a VHD's
            raise Refused(
                Unsupported(f"its disk has {exact_size(image.size)}, more than the {exact_size(size)} requested")
            )
        if size == image.size and not form.fix_gpt:
            return disk
        if new.resumable:  # it is no part of the image as shipped any more
            new.resumable = False
            self._notes.announce(fingerprint(new.descriptor), part=self._files.part)
        if form.preallocation is not None or image.format != "raw":
            image = qemu.grow(image, size, preallocation=form.preallocation or "off")
        else:
            os.ftruncate(new.descriptor, size)
            image = image._replace(size=size)
        if form.fix_gpt and not gpt.move_backup(image):
            raise Refused(Mismatched("its disk has no GPT, whose backup --fix-gpt could move"))
        shipped = disk.shipped or Shipped(str(audited.format), audited.size, audited.digest)
        return replace(disk, audited=audited._replace(digest=None, virtual_size=size), shipped=shipped)

    def allocate(self, disk: Disk) -> None:
        """Takes the space of the file's holes, where the form says so."""
        if self.is_allocated:
            report_step(self._work.observer, "allocating")
            os.posix_fallocate(disk.descriptor, 0, os.fstat(disk.descriptor).st_size)

    def digest_of(self, descriptor: int) -> Digest:
        """The digest of a file that was made of the image: no catalog has one."""
        report_step(self._work.observer, "hashing")
        with closing(FileSource(os.dup(descriptor))) as filled:
            return content_digest(filled, self._files.reached(filled.size))


def require_unchanged(source: FileSource) -> None:
    """Raises Refused where the file has changed: what was made of it may not be made of the bytes that were hashed."""
    if not source.is_unchanged:
        change = source.change or "its status is another"
        raise Refused(Unavailable(f"the file was changed while it was copied: {change}"))
