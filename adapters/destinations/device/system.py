"""The host's own account of its block devices: identity, and use."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from lading.adapters.host.boot import boot_id

__all__ = ["identity_of", "use_of"]

_SYSTEM: Final = Path("/sys/dev/block")
_NAMES: Final = (
    ("dm", "dm/uuid"),
    ("dm-name", "dm/name"),
    ("md", "md/uuid"),
    ("wwid", "wwid"),
    ("wwid", "device/wwid"),
    ("serial", "serial"),
    ("serial", "device/serial"),
    ("cid", "device/cid"),
)
"""Where sysfs has a name that a device keeps after a restart, the best first."""
_UNKNOWN_BOOT: Final = f"unknown to process {uuid4()}"
"""Instead of the id of a boot that is not known: another process may have run before a restart."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def identity_of(number: int) -> str:
    """The device's identity: its own name where it has one, or else one that it has until the next restart.

    A device's number, and its name in `/dev`, may be another one's after a restart. Where the host does not tell its
    boots apart, a device without a name of its own has this identity until the end of the process.
    """
    return _identity(_folder(number))


def use_of(number: int) -> str | None:
    """The use of the device, or of a partition of it, as the predicate of a message; None: none is known."""
    return _use(_folder(number), _mounts(), _swaps())


def _folder(number: int) -> Path:
    """The folder of the device in sysfs, which need not exist."""
    return Path(os.path.realpath(_SYSTEM / f"{os.major(number)}:{os.minor(number)}"))


def _identity(folder: Path) -> str:
    if partition := _text(folder / "partition"):
        return f"{_identity(folder.parent)}, partition {partition} at sector {_text(folder / 'start')}"
    for kind, name in _NAMES:
        if value := _text(folder / name):
            return f"{kind}:{value}"
    if file := _text(folder / "loop/backing_file"):
        return f"loop:{file}, from byte {_text(folder / 'loop/offset')}"
    boot = boot_id() or _UNKNOWN_BOOT
    # diskseq grows with every disk that appears, until the next restart.
    return f"{folder.name}, disk {_text(folder / 'diskseq')} since boot {boot}"


def _use(folder: Path, mounts: Mapping[str, str], swaps: frozenset[str]) -> str | None:
    number = _text(folder / "dev") or ""
    if number in mounts:
        return f"is mounted at {mounts[number]}"
    if number in swaps:
        return "is swap space"
    for holder in _names(folder / "holders"):
        held = Path(os.path.realpath(folder / "holders" / holder))
        further = _use(held, mounts, swaps)
        name = _text(held / "dm/name") or holder
        return f"is held by {name}" + (f", which {further}" if further else "")
    for name in _names(folder):
        if (folder / name / "partition").exists() and (further := _use(folder / name, mounts, swaps)):
            return f"has the partition {name}, which {further}"
    return None


def _mounts() -> Mapping[str, str]:
    """The first mount point of each mounted device, by its number: `254:1`."""
    found: dict[str, str] = {}
    for line in _lines(Path("/proc/self/mountinfo")):
        fields, _, end = line.partition(" - ")
        words, (_, source, *_) = fields.split(), [*end.split(), "", ""]
        # btrfs has a number of its own, and only the source tells the device.
        number = words[2] if not words[2].startswith("0:") else _number_at(_unescaped(source))
        if number is not None:
            found.setdefault(number, _unescaped(words[4]))
    return found


def _swaps() -> frozenset[str]:
    """The numbers of the devices that are swap space."""
    found = (_number_at(_unescaped(line.split()[0])) for line in _lines(Path("/proc/swaps"))[1:])
    return frozenset(each for each in found if each is not None)


def _number_at(path: str) -> str | None:
    """The number of the device at the path; None where there is none."""
    with suppress(OSError, ValueError):
        if path.startswith("/") and (number := Path(path).stat().st_rdev):
            return f"{os.major(number)}:{os.minor(number)}"
    return None


def _unescaped(word: str) -> str:
    r"""A word of /proc, in which spaces are `\040`.

    >>> _unescaped(r"/mnt/my\040disk")
    '/mnt/my disk'
    """
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), word)


def _lines(path: Path) -> list[str]:
    return (_text(path) or "").splitlines()


def _names(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        yield from sorted(each.name for each in folder.iterdir())


def _text(path: Path) -> str | None:
    """The file's text; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip() or None
    except OSError:
        return None
