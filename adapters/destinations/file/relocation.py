"""Removing and moving what was landed: the very file, and nothing that came in its place."""

import contextlib
import errno
import logging
import os
from contextlib import closing

from returns.result import Failure, Result, Success

from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.no_replace import rename_no_replace, require_no_replace
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.target_state import (
    conflict,
    is_intact,
    not_absolute,
    reserved,
    status_of,
    use_of,
)
from lading.adapters.formats.audit import Audit
from lading.adapters.stream.errors import answering, flush_folder
from lading.adapters.stream.safe_open import fingerprint, folder_identity, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed
from lading.ports.association import Fingerprint

__all__ = ["changed", "landing_at", "move", "remove"]

_log = logging.getLogger(__name__)


def remove(work: Work) -> Result[None, Refusal]:
    """Remove the file at the target; that there is none is a success."""

    def unlink() -> Result[None, Refusal]:
        if (why_not := conflict(work) or use_of(work)) is not None:
            return Failure(why_not)
        try:
            os.unlink(work.target)
        except (FileNotFoundError, NotADirectoryError):
            return Success(None)
        try:
            flush_folder(work.target)
        except OSError as error:
            told = f"{work.target} is removed, but its folder can't be flushed: {error.strerror}"
            return Failure(
                TargetFailed(f"{told}. It stays recorded, for a power failure may bring it back: remove it again")
            )
        return Success(None)

    return answering(work.target, "removed", unlink)


def move(work: Work, destination: str, notes: Notes) -> Result[Landing, Refusal]:
    """Move the file at the target to `destination`, to another file system too; nothing there is overwritten."""

    def relocate() -> Result[Landing, Refusal]:
        if (why_not := conflict(work)) is not None:
            return Failure(why_not)
        if not os.path.isabs(destination):
            return Failure(not_absolute(destination))
        if (why_not := reserved(destination)) is not None:
            return Failure(why_not)
        if status_of(work.target) is None:
            return Failure(TargetFailed(f"{work.target} is gone"))
        if status_of(os.path.dirname(destination)) is None:
            return Failure(TargetFailed(f"the folder {os.path.dirname(destination)} does not exist"))
        file = fingerprint(work.target)
        was_intact = work.association is None or is_intact(work.association, file)
        return (
            notes.moving(file, destination, intact=was_intact)
            .bind(lambda _: _relocate(work, destination, notes))
            .map(lambda moved: landing_at(destination, moved if was_intact else changed(moved)))
        )

    return answering(destination, "written", relocate)


def landing_at(destination: str, file: Fingerprint) -> Landing:
    """What is known of a file that was moved."""
    return Landing(fingerprint=file, folder=folder_identity(os.path.dirname(destination)))


def changed(file: Fingerprint) -> Fingerprint:
    """The file's, as one that will never match: what had changed before it was moved is not intact after it."""
    return file._replace(ctime_ns=0)


def _relocate(work: Work, destination: str, notes: Notes) -> Result[Fingerprint, Refusal]:
    try:
        rename_no_replace(work.target, destination)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return _copy_away(work, destination, notes)
        raise
    try:
        flush_folder(destination)
        flush_folder(work.target)
    except BaseException:
        rename_no_replace(destination, work.target)
        raise
    # Taken last: a change of name shows in the ctime.
    return Success(fingerprint(destination))


def _copy_away(work: Work, destination: str, notes: Notes) -> Result[Fingerprint, Refusal]:
    """Copy to the other file system, mode and owner too, and let go of the source when the copy is safe there."""

    def copy(descriptor: int) -> Result[Fingerprint, Refusal]:
        require_no_replace(os.path.dirname(destination))
        mode = os.fstat(descriptor).st_mode & 0o7777
        with (
            closing(FileSource(descriptor)) as source,
            NewFile(destination, mode=mode, announce=notes.announce if notes.are_kept else None) as new,
        ):
            FileWriter(source, new.descriptor, Audit.none(), work.observer).copy(source)
            status = os.fstat(descriptor)
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.fchown(new.descriptor, status.st_uid, status.st_gid)
            if not source.is_unchanged:
                return Failure(TargetFailed(f"{work.target} was written to while it was copied"))
            # A guest may have been started meanwhile.
            if (in_use := use_of(work)) is not None:
                return Failure(in_use)
            noted = notes.copied(new.finish())
            if isinstance(noted, Failure):
                return noted
            published = new.publish(replace=False)
        return _let_go(work.target, destination).map(lambda _: published)

    if (in_use := use_of(work)) is not None:
        return Failure(in_use)
    opened: Result[int, Refusal] = open_regular(work.target).alt(TargetFailed)
    return opened.bind(copy)


def _let_go(source: str, destination: str) -> Result[None, Refusal]:
    try:
        os.unlink(source)
    except OSError as error:
        os.unlink(destination)
        flush_folder(destination)
        return Failure(TargetFailed(f"{source} can't be removed from its folder: {error.strerror}"))
    try:
        flush_folder(source)
    except OSError as error:
        # The copy is safe; a power failure could bring the source back, beside it.
        _log.warning("%s is moved, but its old folder can't be flushed: %s", source, error.strerror)
    return Success(None)
