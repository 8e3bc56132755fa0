"""Names of volumes in locations and targets, and the marks of lading's volumes and attachments."""

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
    "is_left_over",
    "permanent_mark",
    "process_mark",
    "this_host",
    "volume_of",
    "volume_target",
]

PREFIX: Final = "cinder:"
"""The prefix of targets that are volumes."""
_LONGEST: Final = 255 - len(part_of(""))
"""Characters of the longest name that Cinder accepts, with the suffix of an unfinished clone."""

# Keys of a volume's metadata.
TARGET: Final = "lading"
"""The volume's target."""
HOST: Final = "lading_host"
"""The host that made the volume, and has it attached."""
READS: Final = "lading_reads"
"""For a temporary clone: the volume that it was cloned from."""
READER: Final = "lading_reader"
"""For a temporary clone: the process that reads it."""
START: Final = "lading_start"
"""The boot of the host in which the volume was connected."""
DEVICE: Final = "lading_device"
"""The device of the connected volume."""


def volume_target(target: str) -> Result[str, Refusal]:
    """The name of the volume for a target such as `cinder:NAME`.

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
    """The id of the volume in a location, as Glance's cinder store writes it, with or without the store's id.

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
    """The name of this host in attachments."""
    return configured or socket.gethostname()


def permanent_mark(host: str) -> str:
    """The mark of a permanent attachment. It is stored in Cinder's field for the device name."""
    return f"lading {host}"


def process_mark(host: str) -> str:
    """The mark of an attachment or a clone that this process reads."""
    return f"lading {host} {os.getpid()} {_start_time(os.getpid())}"


def is_left_over(mark: str, host: str) -> bool:
    """Returns True for the mark of a process of this host that has ended; False also where that is not known."""
    if not boot():
        return False  # without /proc, processes cannot be distinguished
    prefix, _, rest = mark.partition(f"lading {host} ")
    match rest.split(" "):
        case [pid, start_time] if not prefix and pid.isdecimal():
            return _start_time(int(pid)) != start_time
    return False


def boot() -> str:
    """The id of this boot of the host (random(4)); empty where it is not known."""
    return boot_id() or ""


def _start_time(pid: int) -> str:
    """The start of a process, in ticks since the boot, with the boot's id; empty when there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # proc(5): the second field, the command in parentheses, may hold anything; the 22nd is the start time.
    return f"{status.rpartition(')')[2].split()[19]}@{boot()}"
