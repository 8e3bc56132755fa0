"""Locks in etcd within one process: forks, threads, interrupts, and a clock that jumps."""

import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from tests.etcd_record import etcd_locks
from tests.forked import forked, in_a_child
from tests.integration.etcd.hosts import GUARD, lock_keys, revoke_leases, wait_until
from tests.integration.services.etcd import Etcd
from tests.torture import TORTURE

from lading import LockLost
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.locks import Locks

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
NAME: Final = "target /vms/1"


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def is_free(locks: Locks, name: str = NAME) -> bool:
    with locks.hold(name, wait=False) as held:
        return held


def test_a_child_holds_no_lock_of_its_parent(etcd: Etcd, namespace: str) -> None:
    locks = etcd_locks(etcd, namespace, seconds=5)
    with locks.hold(NAME):
        assert not in_a_child(lambda: is_free(locks))
        assert in_a_child(lambda: is_free(locks, "target /vms/2"))
        assert [each["key"] for each in lock_keys(etcd, namespace)] != []
    assert in_a_child(lambda: is_free(locks))
    assert is_free(locks)


def test_a_child_that_waits_gets_the_lock_of_its_parent(etcd: Etcd, namespace: str) -> None:
    locks = etcd_locks(etcd, namespace, seconds=5)

    def wait() -> bool:
        with locks.hold(NAME) as held:
            return held

    with locks.hold(NAME):
        child = forked(wait)
        wait_until(lambda: len(lock_keys(etcd, namespace)) == 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock_keys(etcd, namespace) == []


def test_a_killed_child_frees_the_lock_within_its_lease(etcd: Etcd, namespace: str) -> None:
    locks = etcd_locks(etcd, namespace, seconds=5)
    with locks.hold("target /vms/2"):

        def stay() -> bool:
            with locks.hold(NAME):
                time.sleep(GUARD)
            return True

        child = forked(stay)
        wait_until(lambda: len(lock_keys(etcd, namespace)) == 2)
        os.kill(child, 9)
        os.waitpid(child, 0)
        with locks.hold(NAME) as held:
            assert held
        locks.require("target /vms/2")


def test_a_child_is_not_blocked_by_a_lock_in_its_parents_memory() -> None:
    locks = MemoryLocks()
    with locks.hold("a"):
        assert in_a_child(lambda: is_free(locks, "a"))
        assert not ThreadPoolExecutor(1).submit(is_free, locks, "a").result(GUARD)


def test_each_of_many_threads_holds_its_locks(etcd: Etcd, namespace: str) -> None:
    locks, counted = etcd_locks(etcd, namespace, seconds=5), [0, 0]

    def count(number: int) -> None:
        for turn in range(5):
            which = (number + turn) % 2
            with locks.hold(f"target {which}"):
                before = counted[which]
                time.sleep(0.001)
                counted[which] = before + 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8), timeout=GUARD))
    assert sum(counted) == 40
    assert lock_keys(etcd, namespace) == []


def test_a_lost_lease_is_told_to_every_holder_and_replaced(etcd: Etcd, namespace: str) -> None:
    locks = etcd_locks(etcd, namespace, seconds=5)
    with locks.hold(NAME), locks.hold("target /vms/2"):
        revoke_leases(etcd, namespace)
        for name in (NAME, "target /vms/2"):
            with pytest.raises(LockLost):
                locks.require(name)
    with locks.hold(NAME):
        locks.require(NAME)


@pytest.mark.parametrize("jump", [365 * 86400, -365 * 86400])
def test_a_clock_that_jumps_takes_no_lock(
    etcd: Etcd, namespace: str, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """Only CLOCK_BOOTTIME and etcd count: the lease is renewed as before."""
    real, real_ns = time.time, time.time_ns
    locks, other = (etcd_locks(etcd, namespace, host, scope="shared", seconds=5) for host in ("host1", "host2"))
    with locks.hold(NAME):
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * 10**9)
        locks.require(NAME)
        assert not is_free(other)
        time.sleep(6)  # longer than a lease
        locks.require(NAME)
        assert not is_free(other)
    assert is_free(other)


PROGRAM: Final = """
import faulthandler, random, signal, sys, threading, time
from tests.etcd_record import etcd_locks
from tests.forked import forked, in_a_child
from tests.integration.services.etcd import Etcd, Member

class Interrupted(BaseException):
    '''As KeyboardInterrupt is.'''

def interrupt(number, frame):
    raise Interrupted

def repeat(unraisable):
    assert unraisable.exc_type is Interrupted, unraisable
    signal.setitimer(signal.ITIMER_REAL, 0.001)

seed, tries, namespace, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
locks = etcd_locks(Etcd([Member(None, url, None)]), namespace, seconds=5)
chance = random.Random(seed)
signal.signal(signal.SIGALRM, interrupt)
sys.unraisablehook = repeat
with locks.hold("a"):
    pass  # all is loaded
began = time.perf_counter()
for _ in range(10):
    with locks.hold("a"), locks.hold("b"):
        pass
usual = (time.perf_counter() - began) / 10
inside = 0
for _ in range(tries):
    faulthandler.dump_traceback_later(60, exit=True)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 2 * usual))
            with locks.hold("a"), locks.hold("b"):
                inside += 1
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, usual))
                for _ in range(20):
                    locks.require("a")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # the interrupt may not have come yet
    except Interrupted:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
assert inside, tries
# The locks that an interrupt left are free within the lease, and those of the threads at once.
done = []
def take():
    for name in "ab":
        with locks.hold(name) as held:
            done.append(held)
thread = threading.Thread(target=take)
thread.start()
thread.join(60)
assert done == [True, True], done
"""


def test_an_interrupt_at_any_moment_leaves_no_lock_behind(etcd: Etcd, namespace: str) -> None:
    tries = TORTURE * 5 or 300
    command = [sys.executable, "-c", PROGRAM, str(SEED), str(tries), namespace, etcd.endpoints[0]]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"LADING_SEED={SEED}: {done.stderr}"
    wait_until(lambda: lock_keys(etcd, namespace) == [])


def test_a_lease_ends_with_its_last_holder(etcd: Etcd, namespace: str) -> None:
    locks = etcd_locks(etcd, namespace, seconds=5)
    with locks.hold(NAME), locks.hold("target /vms/2"):
        assert any(each.name == "lading-etcd-lease" for each in threading.enumerate())
    wait_until(lambda: not any(each.name == "lading-etcd-lease" for each in threading.enumerate()))
    assert isinstance(locks, EtcdLocks)
