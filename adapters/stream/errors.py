"""Refusals as exceptions within a module, the system's errors as refusals, and their texts."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.stream.pipeline import SourceBroken
from lading.domain.refusals import (
    Forbidden,
    Refusal,
    TargetFailed,
    TargetFull,
    TargetNotWritable,
    TargetOccupied,
    TargetTooSmall,
    Unavailable,
)

__all__ = [
    "Refused",
    "device_too_small",
    "error_text",
    "occupied",
    "returning_refusals",
    "system_errors",
    "taken",
    "target_failure",
    "unavailable",
    "value_or_refuse",
]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")


class Refused(Exception):
    """A refusal on its way to the module's edge: see `returning_refusals`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def returning_refusals(act: Callable[_Arguments, _Value]) -> Callable[_Arguments, Result[_Value, Refusal]]:
    """Turns a function that raises Refused into one that returns a Result, for the module's edge."""

    @wraps(act)
    def edge(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Result[_Value, Refusal]:
        try:
            return Success(act(*args, **kwargs))
        except Refused as refused:
            return Failure(refused.refusal)

    return edge


def value_or_refuse(outcome: Result[_Value, Refusal]) -> _Value:
    """The outcome's value. Raises Refused."""
    if isinstance(outcome, Failure):
        raise Refused(outcome.failure())
    return outcome.unwrap()


def error_text(error: BaseException) -> str:
    """The system's text for the error without the file's name, else the error's own text, else its type.

    >>> error_text(FileNotFoundError(2, "No such file or directory", "/vms/1.img")), error_text(TimeoutError())
    ('No such file or directory', 'TimeoutError')
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def occupied(reason: str) -> TargetOccupied:
    """The refusal of a target at which something is that only a forced fetch replaces."""
    return TargetOccupied(reason, advice="to replace it: --force")


def taken(target: str) -> TargetOccupied:
    """The refusal of a target that nothing replaces."""
    return TargetOccupied(f"{target} exists", advice="choose another target, or remove that one first")


def device_too_small(device: str, expected: int | None, found: int) -> TargetTooSmall:
    """The refusal of a device of `found` bytes. `expected` None: the disk has more, and nothing tells how much."""
    return TargetTooSmall(
        f"{device} is too small for the image",
        expected=f"{expected} bytes" if expected else "more",
        found=f"{found} bytes",
    )


def unavailable(broken: SourceBroken, *, kept: int = 0) -> Unavailable:
    """The refusal of a location whose source failed. `kept`: bytes of partial data."""
    kind = Forbidden if broken.is_forbidden else Unavailable
    return kind(str(broken), kept=kept)


def target_failure(reason: str, error: OSError) -> TargetFailed:
    """The refusal of a target at which the system reports the error; its text follows the reason."""
    kind = TargetFailed
    if error.errno in _FULL:
        kind = TargetFull
    elif error.errno in _NOT_WRITABLE:
        kind = TargetNotWritable
    return kind(f"{reason}: {error_text(error)}")


@contextmanager
def system_errors(target: str, verb: str) -> Iterator[None]:
    """Raises Refused for the block's OSError or SourceBroken. `verb` is a participle for the message: `written`."""
    try:
        yield
    except SourceBroken as broken:
        raise Refused(unavailable(broken)) from broken
    except FileExistsError as error:
        raise Refused(taken(target)) from error
    except OSError as error:
        raise Refused(target_failure(f"{target} cannot be {verb}", error)) from error
