"""The exit codes, and the exit code of each failure."""

from enum import IntEnum

from lading.domain.failures import AmbiguousDigest, HandlerRefused, NoHandlerAvailable, NotAssociated, NotHeld
from lading.domain.refusals import (
    Mismatched,
    Refusal,
    TargetFailed,
    TargetFull,
    TargetInUse,
    TargetNotWritable,
    TargetOccupied,
    TargetTooSmall,
    TooLarge,
)
from lading.ports.failures import AmbiguousImage, ImageNotFound, ImageUnproven, LadingError, SettingsError

__all__ = ["Exit", "exit_code"]


class Exit(IntEnum):
    """The exit codes of `lading`; docs/json.md lists them."""

    DONE = 0
    """Success."""
    INTERNAL = 1
    """A bug in lading, or in a third party's adapter."""
    USAGE = 2
    """A command, an option or a setting is wrong; also a setting in clouds.yaml."""
    IMAGE_NOT_FOUND = 3
    """No image, or more than one, has this name or digest."""
    NO_HANDLER = 4
    """No handler succeeded: each attempt was refused."""
    TARGET_CONFLICT = 5
    """Something is at the target that must not be overwritten or removed, or another program has it locked.

    Also: a copied record would replace another one.
    """
    NOT_RECORDED = 6
    """Nothing is recorded for the target, or no target holds the image."""
    FAILED = 7
    """A catalog, a store, a handler or the system failed.

    Also: an interrupted operation on the target is unresolved, or the output could not be written.
    """
    CHANGED = 8
    """`verify` found a target that has changed or is missing."""
    OUTDATED = 9
    """`outdated` found a target whose name means a newer image."""
    BAD_IMAGE = 10
    """The image's bytes have another digest, size or format than expected, they are damaged or unsafe, or unproven."""
    NOT_WRITABLE = 11
    """The target cannot be written: its disk is full or too small, its folder is missing or not writable."""
    INTERRUPTED = 130
    """Ctrl-C ended the command."""
    PIPE_CLOSED = 141
    """The program that read the output ended first."""
    TERMINATED = 143
    """SIGTERM ended the command."""


def exit_code(failure: LadingError) -> Exit:  # noqa: PLR0911 - one for each kind
    """Returns the exit code for a failure."""
    match failure:
        case ImageNotFound() | AmbiguousImage() | AmbiguousDigest():
            return Exit.IMAGE_NOT_FOUND
        case NoHandlerAvailable():
            is_about_target = isinstance(failure.decisive, TargetFailed)
            return _of_refusal(failure.decisive, Exit.NOT_WRITABLE if is_about_target else Exit.NO_HANDLER)
        case ImageUnproven():
            return Exit.BAD_IMAGE
        case SettingsError():
            return Exit.USAGE
        case NotAssociated() | NotHeld():
            return Exit.NOT_RECORDED
        case HandlerRefused():
            return Exit.CHANGED if failure.state else _of_refusal(failure.refusal, Exit.FAILED)
        case _:  # ImageNotActive too: the catalog could not do its part
            return Exit.FAILED


def _of_refusal(refusal: Refusal | None, otherwise: Exit) -> Exit:
    match refusal:
        case TargetOccupied() | TargetInUse():
            return Exit.TARGET_CONFLICT
        case TargetFull() | TargetTooSmall() | TargetNotWritable():
            return Exit.NOT_WRITABLE
        case Mismatched() if not isinstance(refusal, TooLarge):  # a limit of the operator's is no fault of the image
            return Exit.BAD_IMAGE
    return otherwise
