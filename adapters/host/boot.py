"""The boot id of this host."""

from functools import cache
from pathlib import Path

__all__ = ["boot_id"]


@cache
def boot_id() -> str | None:
    """The id of the host's current boot (random(4)); None where the kernel does not provide it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
