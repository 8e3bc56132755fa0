"""A fetch that is interrupted while it unpacks, converts or grows: it ends, and leaves only what it can resume."""

import bz2
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

import pytest
from tests.images import MIB
from tests.integration.chain.host import ChainHost
from tests.torture import TORTURE

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
HANGING_SECONDS: Final = 60
BOMB: Final = bz2.compress(bytes(40 * MIB)) * 9000
"""Less than 1 MiB, and 350 GiB of zeros when it is unpacked: hours."""


def skipped_bomb() -> bytes:
    """The same as another file than the disk, in an archive, which is read past it."""
    file = io.BytesIO()
    entry = tarfile.TarInfo("vm.ovf")
    entry.size = 9000 * 40 * MIB
    file.write(entry.tobuf(tarfile.GNU_FORMAT))
    return bz2.compress(file.getvalue()) + BOMB


@pytest.mark.parametrize("order", ["file", "http"])
@pytest.mark.parametrize("bomb", [BOMB, skipped_bomb()], ids=["disk", "skipped member"])
def test_an_interrupt_ends_the_unpacking_of_a_bomb(chain_host: ChainHost, bomb: bytes, order: str) -> None:
    chain_host.add("noble", bomb)
    done = chain_host.run("fetch", "noble", str(chain_host.target), order=order, seconds=1, signals=(signal.SIGINT,))
    assert done.returncode == 130, done.stderr
    assert os.listdir(chain_host.vms) == []
    chain_host.assert_nothing()


PROGRAM: Final = """
import faulthandler, gzip, hashlib, io, lzma, os, random, signal, sys, threading
from pathlib import Path
from returns.result import Success
from lading import Digest, Dispatcher, FetchRequest, Form, Image, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import FileSource, StreamSource

class Interrupted(BaseException):
    '''As KeyboardInterrupt is.'''

def interrupt(number, frame):
    raise Interrupted

def repeat(unraisable):
    # Python drops what is raised within a weak reference's callback.
    assert unraisable.exc_type is Interrupted, unraisable
    signal.setitimer(signal.ITIMER_REAL, 0.001)

class Mine(SourceHandler):
    name, schemes, is_local = "mine", frozenset({"mine"}), True
    def opener(self, work):
        data = shipped[work.image.id]
        if work.image.id == "file":
            return SourceOpener(lambda _: Success(FileSource(os.open(top / "packed", os.O_RDONLY))))
        return SourceOpener(lambda _: Success(StreamSource(io.BytesIO(data), len(data))), "download")

seed, interrupts, hanging = map(int, sys.argv[1:4])
top, named = Path(sys.argv[4]), sys.argv[5]
if named:
    del os.O_TMPFILE
chance = random.Random(seed)
disk = random.Random(0).randbytes(1 << 20) + bytes(9 << 20) + b"end"
shipped = {"stream": lzma.compress(disk, preset=0), "file": gzip.compress(disk, 1)}
(top / "packed").write_bytes(shipped["file"])
(top / "vms").mkdir()
vm = top / "vms" / "vm"
images = [
    Image(name, digest=Digest("sha256", hashlib.sha256(data).hexdigest()), locations=[Location("mine:x")])
    for name, data in shipped.items()
]
journal, associations = MemoryJournal(), MemoryAssociations()
files = FileDestination(MemoryVerifiedFiles(), journal=journal, associations=associations)
dispatcher = Dispatcher([Mine(files)], MemoryCatalog(images), associations, journal=journal)
signal.signal(signal.SIGALRM, interrupt)
sys.unraisablehook = repeat
opened, ends = len(os.listdir("/proc/self/fd")), 0
while ends < interrupts:
    faulthandler.dump_traceback_later(hanging, exit=True)
    name = chance.choice(["stream", "file"])
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0005, 0.12))
        dispatcher.fetch(FetchRequest(name, str(vm), form=Form(size=chance.choice([None, 16 << 20])))).unwrap()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        ends += 1
    others = [each for each in threading.enumerate() if each.is_alive() and each is not threading.main_thread()]
    for each in others:
        each.join(hanging / 2)
    assert not any(each.is_alive() for each in others), others
    for found in dispatcher.recover(keep=False):
        assert found.outcome != "unresolved", found
    recorded = list(associations.list())
    # The check that nothing is overwritten makes an empty file of its own where O_TMPFILE is missing.
    left = [each for each in os.listdir(top / "vms") if not each.startswith(".lading-probe-")]
    assert left == ["vm"] * len(recorded), (left, recorded)
    if recorded:
        assert vm.read_bytes()[: len(disk)] == disk
        dispatcher.remove(str(vm)).unwrap()
# An interrupt between the opening of a file and the next step, or at the closing of files, leaves one or two open:
# 6,900 left 31.
leaked = len(os.listdir("/proc/self/fd")) - opened
assert leaked <= 2 + ends / 10, leaked
"""


@pytest.mark.parametrize("named", ["", "named"], ids=["unnamed", "named"])
def test_an_interrupt_at_any_moment_of_an_unpacking_ends_it(quick_folder: Path, named: str) -> None:
    arguments = [SEED, TORTURE or 30, HANGING_SECONDS, quick_folder, named]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"LADING_SEED={SEED}"
