"""What stands at a target already, and whether it may go."""

import os
import stat

from returns.result import Failure, Result, Success

from lading.adapters.transfer.opening import fingerprint
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed, TargetOccupied
from lading.ports.association import Association

__all__ = ["is_intact", "standing", "status_of"]


def status_of(target: str) -> os.stat_result | None:
    """The target's own status, a symlink's for a symlink; None when nothing is there. Raises OSError."""
    try:
        return os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_intact(association: Association, status: os.stat_result | None) -> bool:
    """Whether what is at a target is what was put there, unchanged since."""
    return status is not None and association.fingerprint == fingerprint(status)


def standing(work: Work) -> Result[Landing | None, Refusal]:
    """None when the target is free to be written; a Landing when the image is there already, intact; else a refusal.

    Nothing is overwritten without `force`, and even then only a file: no folder, no device.
    """
    if not work.target:
        return Failure(TargetFailed("no target is named"))
    try:
        status = status_of(work.target)
    except (OSError, ValueError) as error:
        return Failure(TargetFailed(f"{work.target} can't be looked at: {error}"))
    if status is None:
        return Success(None)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        return Failure(TargetOccupied(f"{work.target} is not a file"))
    return Success(None) if work.force else _as_recorded(work, status)


def _as_recorded(work: Work, status: os.stat_result) -> Result[Landing | None, Refusal]:
    recorded = work.association
    if recorded is None:
        return Failure(TargetOccupied(f"{work.target} exists and is not lading's; only force replaces it"))
    if not is_intact(recorded, status):
        return Failure(TargetOccupied(f"{work.target} was changed since it was fetched; only force replaces it"))
    if not _is_of(recorded, work):
        held = recorded.image.id if recorded.image else "another image"
        return Failure(TargetOccupied(f"{work.target} holds {held}; remove it first, or force"))
    return Success(
        Landing(recorded.method, recorded.size, recorded.digest, recorded.verified, recorded.fingerprint, present=True)
    )


def _is_of(recorded: Association, work: Work) -> bool:
    if work.image is None or recorded.image is None:
        return work.image is recorded.image
    return (recorded.image.id, recorded.image.promised) == (work.image.id, work.image.promised)
