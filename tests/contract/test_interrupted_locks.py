"""Locks that are interrupted at any moment, while they are acquired and released: afterwards they are free.

LADING_TORTURE tries every place also in etcd's client; LADING_SEED makes a run again.
"""

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from tests.etcd_record import etcd_locks
from tests.integration.services.etcd import Etcd
from tests.interrupts import Calls, Interrupted
from tests.torture import TORTURE

from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.locks import Locks

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
GUARD: Final = 60.0
"""Seconds after which something hangs."""


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def hold_both(locks: Locks) -> None:
    with locks.hold("a"), locks.hold("b"), locks.hold("a"):
        pass


def hold_none(locks: Locks) -> None:
    """For locks that another thread holds."""
    with locks.hold("a", wait=False) as held:
        assert not held


def are_free(locks: Locks) -> bool:
    with locks.hold("a") as a, locks.hold("b") as b:
        return a and b


def interrupt_each(locks: Locks, act: Callable[[Locks], None], *, most: int = 0) -> Iterator[int]:
    """Interrupts the act at each place, or at so many of them. Yields the place after each."""
    for _ in range(2):  # the first one has more calls: it loads modules, and makes connections
        whole = Calls()
        whole.run(lambda: act(locks))
    places = range(1, whole.seen + 1)
    for place in random.Random(SEED).sample(places, min(most or len(places), len(places))):
        with suppress(Interrupted):  # Python drops what is raised while it deletes a generator
            Calls(place).run(lambda: act(locks))
        yield place


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestInterrupts:
    @pytest.fixture(params=["memory", "file", "etcd"])
    def locks(self, request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
        match request.param:
            case "memory":
                return MemoryLocks()
            case "file":
                return FileLocks(tmp_path / "locks")
            case _:
                etcd: Etcd = request.getfixturevalue("etcd")
                return etcd_locks(etcd, request.node.name, seconds=5)

    @pytest.fixture
    def most(self, locks: Locks) -> int:
        return 0 if TORTURE or not hasattr(locks, "fence") else 100

    def test_an_interrupt_leaves_no_lock_behind(self, locks: Locks, most: int, elsewhere: ThreadPoolExecutor) -> None:
        for place in interrupt_each(locks, hold_both, most=most):
            assert elsewhere.submit(are_free, locks).result(GUARD), f"{place}, LADING_SEED={SEED}"

    def test_an_interrupted_attempt_takes_no_lock_from_its_holder(
        self, locks: Locks, most: int, elsewhere: ThreadPoolExecutor
    ) -> None:
        held = locks.hold("a")
        assert elsewhere.submit(held.__enter__).result(GUARD)
        for _ in interrupt_each(locks, hold_none, most=most):
            hold_none(locks)
        elsewhere.submit(held.__exit__, None, None, None).result(GUARD)
        assert are_free(locks)
