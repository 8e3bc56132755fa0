"""Removal and moves of the file that was fetched, and of no other that has its name. All functions raise Refused."""

import contextlib
import errno
import logging
import os
from contextlib import closing
from functools import partial

from returns.result import Result

from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.destinations.file.new_file import NewFile, NoLateName
from lading.adapters.destinations.file.no_replace import rename_no_replace, require_no_replace
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.target_state import (
    conflict,
    is_intact,
    missing_folder,
    not_absolute,
    reserved,
    status_of,
    use_of,
)
from lading.adapters.formats.audit import Audit
from lading.adapters.stream.errors import Refused, system_errors, value_or_refuse
from lading.adapters.stream.names import flush_folder, remove_name
from lading.adapters.stream.safe_open import fingerprint, folder_identity, open_regular
from lading.adapters.stream.sources import FileSource
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed
from lading.ports.association import Fingerprint

__all__ = ["changed", "landing_at", "move", "remove"]

_log = logging.getLogger(__name__)


def remove(work: Work) -> None:
    """Removes the file at the target. A missing file is a success."""
    with system_errors(work.target, "removed"):
        if (refusal := conflict(work) or use_of(work)) is not None:
            raise Refused(refusal)
        try:
            os.unlink(work.target)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            flush_folder(work.target)
        except OSError as error:
            reason = f"{work.target} is removed, but its folder cannot be flushed: {error.strerror}"
            advice = "it stays recorded, for a power failure may bring it back: remove it again"
            raise Refused(TargetFailed(reason, advice=advice)) from error


def move(work: Work, destination: str, notes: Notes, part: str) -> Landing:
    """Moves the file at the target to `destination`, also to another file system. Nothing there is overwritten.

    `part`: the path of the temporary file of a copy.
    """
    with system_errors(destination, "written"):
        _check_move(work, destination)
        file = fingerprint(work.target)
        was_intact = work.association is None or is_intact(work.association, file)
        notes.moving(file, destination, intact=was_intact)
        moved = _relocate(work, destination, notes, part)
        return landing_at(destination, moved if was_intact else changed(moved))


def landing_at(destination: str, file: Fingerprint) -> Landing:
    """The landing of a file that was moved."""
    return Landing(fingerprint=file, folder=folder_identity(os.path.dirname(destination)))


def changed(file: Fingerprint) -> Fingerprint:
    """The fingerprint, changed to match no file: a file that was changed before a move is not intact after it."""
    return file._replace(ctime_ns=0)


def _check_move(work: Work, destination: str) -> None:
    refusal: Refusal | None = conflict(work)
    if refusal is None and not os.path.isabs(destination):
        refusal = not_absolute(destination)
    if (refusal := refusal or reserved(destination)) is not None:
        raise Refused(refusal)
    if status_of(work.target) is None:
        raise Refused(TargetFailed(f"{work.target} is gone"))
    if status_of(os.path.dirname(destination)) is None:
        raise Refused(missing_folder(os.path.dirname(destination)))


def _relocate(work: Work, destination: str, notes: Notes, part: str) -> Fingerprint:
    try:
        rename_no_replace(work.target, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        try:
            return _copy_away(work, destination, notes, part)
        except NoLateName:
            return _copy_away(work, destination, notes, part)  # the copy has a temporary name from the start now
    try:
        flush_folder(destination)
        flush_folder(work.target)
    except BaseException:
        _rename_back(destination, work.target)
        raise
    # Read last: a rename changes the ctime.
    return fingerprint(destination)


def _rename_back(destination: str, target: str) -> None:
    """Undoes the rename. A failure is a warning: what happened before is the reason to report."""
    try:
        rename_no_replace(destination, target)
    except OSError as error:
        _log.warning("%s stays at %s: it cannot be moved back: %s", target, destination, error.strerror)


def _copy_away(work: Work, destination: str, notes: Notes, part: str) -> Fingerprint:
    """Copies to the other file system, with mode and owner, and removes the source when the copy is safe there."""
    _require_unused(work)
    opened: Result[int, Refusal] = open_regular(work.target).alt(TargetFailed)
    descriptor = value_or_refuse(opened)
    with closing(FileSource(descriptor)) as source:
        require_no_replace(os.path.dirname(destination))
        mode = os.fstat(descriptor).st_mode & 0o7777
        announce = partial(notes.announce, part=part) if notes.are_kept else None
        with NewFile(destination, part=part, mode=mode, announce=announce) as new:
            FileWriter(source, new.descriptor, Audit.none(), work.observer).copy(source)
            status = os.fstat(descriptor)
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.fchown(new.descriptor, status.st_uid, status.st_gid)
            if not source.is_unchanged:
                raise Refused(TargetFailed(f"{work.target} was written to while it was copied"))
            _require_unused(work)  # a guest may have been started in the meantime
            notes.copied(new.finish())
            published = new.publish(replace=False)
        _remove_source(work.target, destination)
        return published


def _require_unused(work: Work) -> None:
    if (in_use := use_of(work)) is not None:
        raise Refused(in_use)


def _remove_source(source: str, destination: str) -> None:
    try:
        remove_name(source)
    except OSError as error:
        os.unlink(destination)
        flush_folder(destination)
        raise Refused(TargetFailed(f"{source} cannot be removed from its folder: {error.strerror}")) from error
    try:
        flush_folder(source)
    except OSError as error:
        # The copy is safe. A power failure could bring the source back.
        _log.warning("%s is moved, but its old folder cannot be flushed: %s", source, error.strerror)
