"""Free space on a target's disk, before anything is written to it."""

import os
from typing import Final

from lading.adapters.codec.sizes import size_text
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import TargetFull

__all__ = ["free_space", "has_space", "require_space"]

_ADVICE: Final = "for an image that is mostly zeros, which take no space: [landing] require_space = false"


def free_space(folder: str) -> int | None:
    """Free bytes on the folder's disk, without those of quotas; None where its file system has no size, as tmpfs may.

    Raises OSError.
    """
    disk = os.statvfs(folder)
    # Root may use the reserved blocks.
    return (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize if disk.f_blocks else None


def require_space(size: int | None, target: str, *, freed: int = 0, allocated: bool = False) -> None:
    """Raises Refused when `size` bytes do not fit on the target's disk, and OSError. Quotas are not considered.

    `size` None: it is not known. `freed`: bytes that will be freed before the first byte is written. `allocated`: zeros
    take space too.
    """
    folder = os.path.dirname(target)
    free = _too_little(size, folder, freed)
    if size is None or free is None:
        return
    raise Refused(
        TargetFull(
            f"too little free space for {target}",
            expected=f"{size_text(size)} free on the disk of {folder}",
            found=size_text(free),
            advice="" if allocated else _ADVICE,
        )
    )


def has_space(size: int | None, target: str, *, freed: int = 0) -> bool:
    """Tells whether `require_space` would not refuse so many bytes. Raises OSError."""
    return _too_little(size, os.path.dirname(target), freed) is None


def _too_little(size: int | None, folder: str, freed: int) -> int | None:
    """The free bytes where `size` bytes do not fit; None: they do, or it is not known."""
    free = free_space(folder)
    return None if size is None or free is None or size <= free + freed else free + freed
