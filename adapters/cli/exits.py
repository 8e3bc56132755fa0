"""The exit codes, and which outcome means which."""

from enum import IntEnum

from lading.domain.failures import HandlerRefused, NoHandlerAvailable, NotAssociated
from lading.domain.refusals import Refusal, TargetInUse, TargetOccupied
from lading.ports.failures import AmbiguousImage, ImageNotFound, LadingError, SettingsError

__all__ = ["Exit", "exit_code"]


class Exit(IntEnum):
    """What `lading` exits with; the README lists them."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    """A command, option or setting is wrong."""
    IMAGE_NOT_FOUND = 3
    """No image, or more than one, goes by this name."""
    NO_HANDLER = 4
    TARGET_CONFLICT = 5
    """Something is at the target that must not be overwritten or taken away."""
    NOT_RECORDED = 6
    """Nothing is recorded for the target."""
    FAILED = 7
    """A catalog, a store or a handler could not do its part."""
    CHANGED = 8
    """`verify` found a target that is not what was put there any more."""
    PIPE_CLOSED = 141
    INTERRUPTED = 130
    TERMINATED = 143


def exit_code(failure: LadingError) -> Exit:
    """The exit code that a failure ends in."""
    match failure:
        case ImageNotFound() | AmbiguousImage():
            return Exit.IMAGE_NOT_FOUND
        case NoHandlerAvailable():
            return _of_refusal(failure.decisive, Exit.NO_HANDLER)
        case SettingsError():
            return Exit.USAGE
        case NotAssociated():
            return Exit.NOT_RECORDED
        case HandlerRefused():
            return Exit.CHANGED if failure.state else _of_refusal(failure.refusal, Exit.FAILED)
        case _:  # ImageNotActive too: the catalog could not do its part
            return Exit.FAILED


def _of_refusal(refusal: Refusal | None, otherwise: Exit) -> Exit:
    return Exit.TARGET_CONFLICT if isinstance(refusal, TargetOccupied | TargetInUse) else otherwise
