"""Which start of the host this is."""

from functools import cache
from pathlib import Path

__all__ = ["boot_id"]


@cache
def boot_id() -> str | None:
    """Which start of the host this is (random(4)); None where that isn't told, which is equal to no start."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
