"""Recovery of interrupted fetches and moves: finished, undone, or partial data that can be resumed."""

import contextlib
import errno
import os
import stat
from dataclasses import replace

from lading.adapters.destinations.file.in_use import is_in_use
from lading.adapters.destinations.file.notes import noted_file, noted_folder, noted_landing
from lading.adapters.destinations.file.partial import drop_made, drop_part, start_from
from lading.adapters.destinations.file.relocation import changed, landing_at
from lading.adapters.destinations.file.target_state import folder_conflict, status_of
from lading.adapters.stream.errors import Refused, system_errors
from lading.adapters.stream.names import flush_folder, remove_name
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.domain.handler import Landing, PartialData, Work
from lading.domain.refusals import TargetFailed, Unsupported
from lading.ports.association import Fingerprint
from lading.ports.journal import Intent, Verb

__all__ = ["recover"]


def recover(work: Work, *, keep: bool, verify: bool) -> Landing | PartialData:
    """Reports how far `work.intent` got: the landing of a finished fetch or move, or partial data. Raises Refused.

    Nothing else of it is left behind; see `SupportsRecovery`.
    """
    intent = work.intent
    if intent is None or intent.verb is Verb.REMOVE:
        raise Refused(Unsupported("no interrupted fetch or move is noted"))
    if not intent.notes:
        # Nothing is changed before something is noted. The target may not even be a possible path.
        return PartialData()
    with system_errors(intent.target, "examined"):
        if (elsewhere := _elsewhere(intent)) is not None:
            raise Refused(elsewhere)
        if intent.verb is Verb.MOVE:
            return _recover_move(intent)
        return _recover_fetch(work, intent, keep=keep, verify=verify)


def _elsewhere(intent: Intent) -> TargetFailed | None:
    """The reason why an operation cannot be recovered: its folder is missing, or is another one. Raises OSError."""
    notes = intent.notes
    conflict = folder_conflict(intent.target, noted_folder(notes, "folder"))
    if conflict is None and intent.destination is not None:
        conflict = folder_conflict(intent.destination, noted_folder(notes, "destination_folder"))
    return conflict


def _recover_fetch(work: Work, intent: Intent, *, keep: bool, verify: bool) -> Landing | PartialData:
    noted = noted_landing(intent.notes)
    if noted is not None and (file := _noted_at(intent.target, noted[1])) is not None:
        # The file was published, so it is whole. Its name may not have reached the disk.
        _drop(intent.target, intent)
        flush_folder(intent.target)
        return replace(noted[0], fingerprint=file, folder=folder_identity(os.path.dirname(intent.target)))
    if keep and (kept := start_from(work, verify=verify).offset):
        drop_made(intent.target, intent.notes)
        return PartialData(kept)
    _drop(intent.target, intent)
    return PartialData()


def _recover_move(intent: Intent) -> Landing | PartialData:
    source, destination = intent.target, intent.destination or ""
    moving, copied = noted_file(intent.notes, "moving"), noted_file(intent.notes, "copied")
    arrived = copied or moving
    file = _noted_at(destination, arrived) if arrived is not None else None
    _drop(destination, intent)
    if moving is None or file is None:
        return PartialData()
    flush_folder(destination)
    if _noted_at(source, moving) is not None:
        if copied and is_in_use(source):
            raise OSError(errno.EBUSY, "its copy is there, but another program has it locked")
        remove_name(source)
    with contextlib.suppress(FileNotFoundError):
        flush_folder(source)
    # Read again: a rename changes the ctime.
    now = fingerprint(destination)
    is_intact = intent.notes.get("intact") and file.ctime_ns != 0
    return landing_at(destination, now if is_intact else changed(now))


def _noted_at(path: str, noted: Fingerprint) -> Fingerprint | None:
    """The fingerprint of the file at the path now, if it is the noted file; `changed` where it was written to since.

    Without a birth a file is identified by its inode, size and mtime: a rename changes its ctime only.
    """
    status = status_of(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    found = fingerprint(path)
    is_untouched = noted[2:4] == found[2:4]
    is_known = noted.birth_ns is not None and found.birth_ns is not None
    if not noted.is_same_file(found) or not (is_known or is_untouched):
        return None
    return found if is_untouched else changed(found)


def _drop(target: str, intent: Intent) -> None:
    if drop_part(target, intent.notes):
        flush_folder(target)
