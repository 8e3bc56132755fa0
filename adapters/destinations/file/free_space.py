"""Free space on a target's disk, before anything is written to it."""

import os

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import TargetFailed

__all__ = ["require_space"]


def require_space(size: int | None, target: str, *, freed: int = 0) -> None:
    """Raises Refused when `size` bytes do not fit on the target's disk, and OSError. Quotas are not considered.

    `size` None: it is not known. `freed`: bytes that will be freed before the first byte is written.
    """
    folder = os.path.dirname(target)
    disk = os.statvfs(folder)
    # Root may use the reserved blocks. A file system without a size, as tmpfs may be, has no blocks at all.
    free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize + freed
    if size is not None and disk.f_blocks and size > free:
        advice = "if most of it are zeros, which take no space: [landing] require_space = false"
        raise Refused(TargetFailed(f"{target} needs {size} bytes, and the disk of {folder} has {free} free; {advice}"))
