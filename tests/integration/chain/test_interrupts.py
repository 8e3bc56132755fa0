"""A fetch that is interrupted while it unpacks, converts or grows: it ends, and leaves only what it can resume."""

import bz2
import io
import os
import signal
import tarfile
from typing import Final

import pytest
from tests.images import MIB
from tests.integration.chain.host import ChainHost

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
