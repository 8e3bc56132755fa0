"""Interrupts an operation at its calls, one after the other; see test_interrupted_calls.py.

Arguments: an empty folder, a key of SYSTEMS, a key of OPERATIONS, `file` or `stream`, a seed, how many calls to try (0:
each), and the target if it is a block device, whose content is overwritten.
"""

import errno
import faulthandler
import gc
import hashlib
import io
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final
from unittest import mock

from returns.result import Success
from tests.interrupts import Calls, Interrupted

from lading import Association, Digest, Dispatcher, FetchRequest, Form, Image, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file import no_replace, relocation
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.flock.locks import FileLocks
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.adapters.stream.sources import FileSource, StreamSource
from lading.domain.handler import Work

HANGING_SECONDS: Final = 60
CONTENTS: Final = {name: random.Random(name).randbytes(3 << 16) for name in ("old", "new")}
IMAGES: Final = [
    Image(name, digest=Digest("sha256", hashlib.sha256(data).hexdigest()), locations=[Location("shelf:x")])
    for name, data in CONTENTS.items()
]
HEAD: Final = 1 << 20
"""Bytes at a device's start that are zeros while it is incomplete."""
CODE: Final = os.path.realpath(no_replace.__file__).removesuffix("adapters/destinations/file/no_replace.py")


class Shelf(SourceHandler):
    """Reads the image's bytes from a file, or as a stream."""

    name, schemes, is_local = "shelf", frozenset({"shelf"}), True

    def __init__(self, destination: FileDestination, folder: Path, *, streams: bool) -> None:
        super().__init__(destination)
        self._folder, self._streams = folder, streams

    def opener(self, work: Work) -> SourceOpener:
        assert work.image is not None
        path, data = self._folder / work.image.id, CONTENTS[work.image.id]
        if self._streams:
            return SourceOpener(lambda _: Success(StreamSource(io.BytesIO(data), len(data))), "download")
        return SourceOpener(lambda _: Success(FileSource(os.open(path, os.O_RDONLY | os.O_CLOEXEC))))


@cache
def is_lading(path: str) -> bool:
    folders = tuple(f"{CODE}{room}/" for room in ("adapters", "domain", "ports"))
    return path == __file__ or os.path.realpath(path).startswith(folders)


class Host:
    """A host with one target at most: in one of two folders, or a block device."""

    def __init__(self, top: Path, *, streams: bool, device: str = "") -> None:
        self.folders = top / "vms", top / "elsewhere"
        for each in (*self.folders, top / "images"):
            each.mkdir(parents=True, exist_ok=True)
        for name, data in CONTENTS.items():
            (top / "images" / name).write_bytes(data)
        database = Database(top / "lading.db")
        self.associations, journal = FileAssociations(database), FileJournal(database)
        files = FileDestination(FileVerifiedFiles(database), journal=journal, associations=self.associations)
        handler, locks = Shelf(files, top / "images", streams=streams), FileLocks(top / "locks")
        catalog = MemoryCatalog(IMAGES)
        self.dispatcher = Dispatcher([handler], catalog, self.associations, journal=journal, locks=locks)
        self.device, self._journal = device, journal
        self.target, self.destination = (device or str(each / "vm") for each in self.folders)

    def fetch(self, name: str, *, force: bool = False, form: Form | None = None) -> None:
        self.dispatcher.fetch(FetchRequest(name, self.target, force=force, form=form or Form())).unwrap()

    @property
    def recorded(self) -> list[Association]:
        return list(self.associations.list())

    @property
    def disks(self) -> dict[str, bytes]:
        """What is there, but for the empty file of a check that was interrupted: see docs/guarantees.md."""
        paths = [path for folder in self.folders for path in folder.iterdir()]
        found = {str(each): each.read_bytes() for each in paths if not each.name.startswith(".lading-probe-")}
        if self.device and any((content := Path(self.device).read_bytes())[:HEAD]):
            found[self.device] = content
        return found

    @property
    def is_known_incomplete(self) -> bool:
        return bool(self.device) and any(True for _ in self._journal.list())


OPERATIONS: Final[dict[str, Callable[[Host], object]]] = {
    "fetch": lambda host: host.fetch("new"),
    "grow": lambda host: host.fetch("new", form=Form("raw", 1 << 20)),
    "replace": lambda host: host.fetch("new", force=True),
    "move": lambda host: host.dispatcher.move(host.target, host.destination).unwrap(),
    "remove": lambda host: host.dispatcher.remove(host.target).unwrap(),
    "wipe": lambda host: host.dispatcher.remove(host.target, wipe=True).unwrap(),
}


def like_nfs() -> None:
    """Hard links, but no RENAME_NOREPLACE, and no files without a name."""

    def lacking(source: str, destination: str, folder: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument", source)

    del os.O_TMPFILE
    mock.patch.object(no_replace, "_renameat2", lacking).start()


def like_vfat() -> None:
    """RENAME_NOREPLACE, but no hard links, and no files without a name."""
    rename = no_replace._renameat2  # noqa: SLF001 - the system's

    def link(source: str, destination: str, **given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source)

    def profiled(source: str, destination: str, folder: int) -> None:
        rename(source, destination, folder)
        os.getpid()  # the return of a function of ctypes is not reported

    del os.O_TMPFILE
    mock.patch.object(os, "link", link).start()
    mock.patch.object(no_replace, "_renameat2", profiled).start()


def to_another_file_system() -> None:
    """What is moved must be copied."""

    def refuse(source: str, destination: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    mock.patch.object(relocation, "rename_no_replace", refuse).start()


SYSTEMS: Final[dict[str, Callable[[], None]]] = {
    "ext4": lambda: None, "NFS": like_nfs, "vfat": like_vfat, "to another file system": to_another_file_system,
}  # fmt: skip


def prepared(top: Path, operation: str, *, streams: bool, device: str) -> Host:
    if device:
        with open(device, "r+b") as blank:
            blank.write(bytes(HEAD))
    host = Host(top, streams=streams, device=device)
    if operation not in {"fetch", "grow"}:
        host.fetch("old")
    return host


def fault(host: Host, operation: str) -> str:
    """What is wrong after the recovery; empty: nothing."""
    unresolved = [found for found in host.dispatcher.recover(keep=False) if found.outcome == "unresolved"]
    if unresolved:
        return f"{unresolved}"
    recorded, disks = host.recorded, host.disks
    missing, unknown = {each.target for each in recorded} - {*disks}, {*disks} - {each.target for each in recorded}
    if missing or (unknown and not (host.device and operation in {"remove", "wipe"})):  # its bytes stay on a device
        return f"recorded {recorded}, there {list(disks)}"
    if not disks and operation in {"replace", "move"} and not host.is_known_incomplete:
        return "the disk is lost"
    wrong = [
        each.target
        for each in recorded
        if each.image is None or not disks[each.target].startswith(CONTENTS[each.image.id])
    ]
    return f"{wrong} have other bytes than recorded" if wrong else ""


def interrupted(host: Host, act: Callable[[Host], object], point: int) -> str:
    """How the operation ended otherwise than by the interrupt; empty: by it."""
    dropped, calls = list[object](), Calls(point, is_lading)
    sys.unraisablehook = lambda unraisable: dropped.append(unraisable.exc_type)
    ended = "nothing"
    try:
        calls.run(lambda: act(host))
    except Interrupted:
        ended = ""
    except Exception as error:  # noqa: BLE001 - it hid the interrupt
        ended = repr(error)
    # Python drops what is raised while it deletes a generator. Threads take turns of their own: calls may be fewer.
    if dropped == [Interrupted] or calls.seen < point or not (ended := ended or "".join(map(str, dropped))):
        return ""
    return f"the interrupt ended as {ended}"


def goes_on(host: Host, operation: str) -> str:
    """What is wrong for a program that caught the interrupt, and goes on; empty: nothing."""
    if found := fault(host, operation):
        return f"in the same process: {found}"
    gc.collect()
    give_up = time.monotonic() + HANGING_SECONDS / 3
    while len(os.listdir("/proc/self/task")) > 2:  # this one, and faulthandler's
        if time.monotonic() > give_up:
            return f"threads are left: {threading.enumerate()}"
        time.sleep(0.001)
    return ""


def in_child(act: Callable[[], str]) -> str:
    """The result of a child process, which ends then, as a command does after an interrupt."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        faulthandler.dump_traceback_later(HANGING_SECONDS, exit=True)
        os.write(writing, act().encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read().decode()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else f"status {status}"


def main(folder: str, system: str, operation: str, source: str, seed: str, tries: str, device: str = "") -> None:
    SYSTEMS[system]()
    act, streams = OPERATIONS[operation], source == "stream"
    for name in ("first", "whole"):  # the first has more calls: later ones find caches
        host, whole = prepared(Path(folder, name), operation, streams=streams, device=device), Calls(counts=is_lading)
        whole.run(lambda: act(host))  # noqa: B023 - called at once
    every = range(1, whole.seen + 1)
    for point in every if tries == "0" else random.Random(int(seed)).sample(every, min(int(tries), whole.seen)):
        top = Path(folder, str(point))
        host = prepared(top, operation, streams=streams, device=device)
        found = in_child(lambda: interrupted(host, act, point) or goes_on(host, operation))  # noqa: B023 - likewise
        host = Host(top, streams=streams, device=device)
        if found := found or fault(host, operation):
            sys.stdout.write(f"call {point} of {whole.seen}: {found}\n")
        shutil.rmtree(top)


main(*sys.argv[1:])
