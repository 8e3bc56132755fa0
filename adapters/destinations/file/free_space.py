"""Free space on a target's disk, before anything is written to it."""

import os

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import TargetFailed

__all__ = ["has_space", "require_space"]


def has_space(size: int, target: str) -> bool:
    """Tells whether `size` bytes fit on the target's disk. Raises OSError. Quotas are not considered."""
    free = _free_space(target)
    return free is None or size <= free


def require_space(size: int | None, target: str, *, freed: int = 0) -> None:
    """Raises Refused when `size` bytes do not fit on the target's disk, and OSError. Quotas are not considered.

    `size` None: it is not known. `freed`: bytes that will be freed before the first byte is written.
    """
    free = _free_space(target)
    if size is not None and free is not None and size > free + freed:
        disk = f"the disk of {os.path.dirname(target)} has {free + freed} free"
        advice = "if most of it are zeros, which take no space: [landing] require_space = false"
        raise Refused(TargetFailed(f"{target} needs {size} bytes, and {disk}; {advice}"))


def _free_space(target: str) -> int | None:
    """Free bytes on the target's disk; None: its file system has no size, as a tmpfs may have none."""
    disk = os.statvfs(os.path.dirname(target))
    # Root may use the reserved blocks.
    free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize
    return free if disk.f_blocks else None
