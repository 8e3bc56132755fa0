"""What volumes are called: in locations, and as targets; and how those are marked that are lading's."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from returns.result import Failure, Result, Success

from lading.adapters.destinations.clone.target_state import part_of
from lading.adapters.host.boot import boot_id
from lading.domain.refusals import Refusal, Unsupported
from lading.ports.location import Location

__all__ = [
    "DEVICE",
    "HOST",
    "PREFIX",
    "READER",
    "READS",
    "START",
    "TARGET",
    "boot",
    "holder",
    "is_left_over",
    "reader",
    "this_host",
    "volume_of",
    "volume_target",
]

PREFIX: Final = "cinder:"
"""What targets begin with that are volumes."""
_LONGEST: Final = 255 - len(part_of(""))
"""Characters of a name that Cinder takes, also while the volume is not whole."""

# Keys of a volume's metadata.
TARGET: Final = "lading"
"""The target that the volume is."""
HOST: Final = "lading_host"
"""The host that made it, and has it attached."""
READS: Final = "lading_reads"
"""The volume that it is a clone of, made to be read and deleted."""
READER: Final = "lading_reader"
"""Which process reads that clone."""
START: Final = "lading_start"
"""Which start of the host it was that connected it."""
DEVICE: Final = "lading_device"
"""What it was connected as."""


def volume_target(target: str) -> Result[str, Refusal]:
    """The name of the volume that a target such as `cinder:NAME` is.

    >>> volume_target("cinder:vm 1 root")
    <Success: vm 1 root>
    >>> volume_target("cinder://e9b1").failure().reason
    'cinder://e9b1 names no volume to make; expected cinder:NAME'
    """
    name = target.removeprefix(PREFIX)
    if target.startswith(PREFIX) and name.strip() == name != "" and not name.startswith("/") and len(name) <= _LONGEST:
        return Success(name)
    return Failure(Unsupported(f"{target[: 2 * _LONGEST]} names no volume to make; expected cinder:NAME"))


def volume_of(location: Location) -> Result[str, Refusal]:
    """The id of the volume that a location names, as Glance's cinder store writes it, with or without the store's id.

    >>> volume_of(Location("cinder://gold/0B2E7A4C-2f58-4c7a-9d0f-5c0a6a2f8d11"))
    <Success: 0b2e7a4c-2f58-4c7a-9d0f-5c0a6a2f8d11>
    >>> volume_of(Location("cinder://gold/noble")).failure().reason
    'the location names no volume; expected cinder://VOLUME or cinder://STORE/VOLUME, with its id'
    """
    parts = location.url.strip().partition("://")[2].split("/")
    with suppress(ValueError):
        if len(parts) in {1, 2} and all(parts) and len(parts[-1]) == len(str(UUID(int=0))):
            return Success(str(UUID(parts[-1])))
    return Failure(
        Unsupported("the location names no volume; expected cinder://VOLUME or cinder://STORE/VOLUME, with its id")
    )


def this_host(configured: str | None) -> str:
    """What this host is called in attachments."""
    return configured or socket.gethostname()


def holder(host: str) -> str:
    """How an attachment is marked that stays: where Cinder has the name that the device shall have."""
    return f"lading {host}"


def reader(host: str) -> str:
    """How an attachment, or a clone, is marked that is this process's, for as long as it reads."""
    return f"lading {host} {os.getpid()} {_began(os.getpid())}"


def is_left_over(mark: str, host: str) -> bool:
    """Whether that is the mark of a process of this host which is there no longer. False where that cannot be known."""
    if not boot():
        return False  # without /proc no process can be told from another
    prefix, _, rest = mark.partition(f"lading {host} ")
    match rest.split(" "):
        case [pid, began] if not prefix and pid.isdecimal():
            return _began(int(pid)) != began
    return False


def boot() -> str:
    """Which start of the host this is (random(4)); empty where that is not told, and then it is no start at all."""
    return boot_id() or ""


def _began(pid: int) -> str:
    """When the process began, in ticks since the host's start, and which start that was; empty when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # proc(5): the second field, the command in parentheses, may hold anything; the 22nd is the start time.
    return f"{status.rpartition(')')[2].split()[19]}@{boot()}"
