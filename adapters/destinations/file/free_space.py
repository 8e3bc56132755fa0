"""Whether a disk has room, before anything is written to it."""

import os

from returns.result import Failure, Result, Success

from lading.domain.refusals import Refusal, TargetFailed

__all__ = ["check_free_space"]


def check_free_space(size: int | None, target: str, *, freed: int = 0) -> Result[None, Refusal]:
    """Whether so many bytes fit where the target is; as far as can be seen, for quotas are not. Raises OSError.

    `freed`: bytes that will be free by then.
    """
    folder = os.path.dirname(target)
    disk = os.statvfs(folder)
    # Root may use what is set aside; a file system without a size, as tmpfs may be, has no blocks at all.
    free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize + freed
    if size is None or disk.f_blocks == 0 or size <= free:
        return Success(None)
    advice = "if most of it are zeros, which take no space: [landing] require_space = false"
    return Failure(TargetFailed(f"{target} needs {size} bytes, and the disk of {folder} has {free} free; {advice}"))
