"""Finding out how far something came that was cut off, and leaving nothing of it lying about."""

import contextlib
import errno
import os
import stat
from dataclasses import replace

from returns.result import Failure, Result, Success

from lading.adapters.transfer.errors import answering, flush_folder
from lading.adapters.transfer.in_use import is_in_use
from lading.adapters.transfer.notes import noted_file, noted_landing
from lading.adapters.transfer.opening import fingerprint
from lading.adapters.transfer.partial import drop_part, start_from
from lading.adapters.transfer.relocation import changed
from lading.adapters.transfer.standing import status_of
from lading.domain.handler import Kept, Landing, Work
from lading.domain.refusals import Refusal, Unsupported
from lading.ports.association import Fingerprint
from lading.ports.journal import Intent, Verb

__all__ = ["recover"]


def recover(work: Work, *, keep: bool, verify: bool) -> Result[Landing | Kept, Refusal]:
    """What became of the fetch or move that `work.intent` is about; see `Recoverable`."""
    intent = work.intent
    if intent is None or intent.verb is Verb.REMOVE:
        return Failure(Unsupported("nothing says what was begun"))

    def find_out() -> Result[Landing | Kept, Refusal]:
        if intent.verb is Verb.MOVE:
            return Success(_of_move(intent))
        return Success(_of_fetch(work, intent, keep=keep, verify=verify))

    return answering(intent.target, "looked at", find_out)


def _of_fetch(work: Work, intent: Intent, *, keep: bool, verify: bool) -> Landing | Kept:
    noted = noted_landing(intent.notes)
    status = status_of(intent.target)
    if noted is not None and status is not None and _is(noted[1], status):
        # It had appeared at the target, and so was whole; that its name reached the disk, nobody knows.
        _drop(intent.target)
        flush_folder(intent.target)
        return _with(noted[0], fingerprint(os.lstat(intent.target)))
    if keep and (kept := start_from(work, verify=verify).offset):
        return Kept(kept)
    _drop(intent.target)
    return Kept()


def _with(landing: Landing, file: Fingerprint) -> Landing:
    return replace(landing, fingerprint=file)


def _of_move(intent: Intent) -> Landing | Kept:
    source, destination = intent.target, intent.destination or ""
    moving, copied = noted_file(intent.notes, "moving"), noted_file(intent.notes, "copied")
    there, here = status_of(destination), status_of(source)
    arrived = copied or moving
    if moving is None or arrived is None or there is None or not _is(arrived, there):
        _drop(destination)
        return Kept()
    _drop(destination)
    flush_folder(destination)
    if here is not None and _is(moving, here):
        if copied and is_in_use(source):
            raise OSError(errno.EBUSY, "its copy is there, but another program has it locked")
        os.unlink(source)
    with contextlib.suppress(FileNotFoundError):
        flush_folder(source)
    file = fingerprint(os.lstat(destination))
    return Landing(fingerprint=file if intent.notes.get("intact") else changed(file))


def _is(file: Fingerprint, status: os.stat_result) -> bool:
    """Whether it is that very file: a change of its name shows in its ctime only.

    The device is left out, for some file systems get another number with every mount; a time in nanoseconds tells it
    from another file that was given the same inode.
    """
    return stat.S_ISREG(status.st_mode) and file[1:4] == fingerprint(status)[1:4]


def _drop(target: str) -> None:
    if drop_part(target):
        flush_folder(target)
