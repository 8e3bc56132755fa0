"""What the system says, as refusals: the one table of this folder."""

import os
from collections.abc import Callable
from typing import TypeVar

from returns.result import Failure, Result

from lading.adapters.stream.pipeline import SourceBroken
from lading.domain.refusals import Refusal, TargetFailed, TargetOccupied, Unavailable

__all__ = ["Refused", "answering", "flush_folder"]

_Done = TypeVar("_Done")


class Refused(Exception):
    """A refusal on its way to `answering`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def answering(target: str, verb: str, act: Callable[[], Result[_Done, Refusal]]) -> Result[_Done, Refusal]:
    """What `act` answers, or the refusal that its OSError means; `verb` is what was done to the target: `written`."""
    try:
        return act()
    except Refused as refused:
        return Failure(refused.refusal)
    except SourceBroken as broken:
        return Failure(Unavailable(str(broken)))
    except FileExistsError:
        return Failure(TargetOccupied(f"{target} exists; nothing is overwritten unasked"))
    except OSError as error:
        return Failure(TargetFailed(f"{target} can't be {verb}: {error.strerror or error}"))


def flush_folder(path: str) -> None:
    """Have the name of the file at `path` reach the disk."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
