"""Locks that are interrupted at any moment, while they are acquired and released: afterwards they are free.

LADING_TORTURE tries every place also in etcd's client; LADING_SEED makes a run again.
"""

import os
import random
import threading
from pathlib import Path
from typing import Final

import pytest
from tests.etcd_record import etcd_locks
from tests.integration.services.etcd import Etcd
from tests.interrupts import elsewhere, interrupt_each
from tests.torture import TORTURE

from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.locks import Locks

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture(params=["memory", "file", "etcd"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    match request.param:
        case "memory":
            return MemoryLocks()
        case "file":
            return FileLocks(tmp_path / "locks")
        case _:
            etcd: Etcd = request.getfixturevalue("etcd")
            return etcd_locks(etcd, request.node.name, seconds=5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_leaves_no_lock_behind(locks: Locks) -> None:
    def hold_both() -> None:
        with locks.hold("a"), locks.hold("b"), locks.hold("a"):
            pass

    def are_free() -> bool:
        with locks.hold("a") as a, locks.hold("b") as b:
            return a and b

    most = 100 if isinstance(locks, EtcdLocks) and not TORTURE else 0
    for place in interrupt_each(hold_both, SEED, most=most):
        assert elsewhere(are_free), place


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_attempt_takes_no_lock_from_its_holder(locks: Locks) -> None:
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.hold("a"):
            held.set()
            over.wait()

    def is_free() -> bool:
        with locks.hold("a", wait=False) as is_held:
            return is_held

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait()
    for place in interrupt_each(is_free, SEED):
        assert not is_free(), place
    over.set()
    holder.join()
    assert is_free()
