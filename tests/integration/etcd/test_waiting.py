"""Waiting for a lock in etcd: by a watch, through lost members, and ended by an interrupt or a kill."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
from tests.etcd_record import etcd_locks
from tests.integration.etcd.conftest import mend
from tests.integration.services.etcd import Etcd, Member
from tests.integration.services.fixtures import StartEtcd

from lading.adapters.etcd import gateway
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.operations import get, prefix_end

GUARD: Final = 180.0
"""Seconds after which something hangs."""
NAME: Final = "target /vms/1.img"
LEASE: Final = 2
"""Seconds: the shortest that etcd grants."""

WAITER: Final = textwrap.dedent(
    f"""
    import sys
    from lading.adapters.etcd.cluster import Cluster
    from lading.adapters.etcd.keys import Keys
    from lading.adapters.etcd.locks import EtcdLocks
    from lading.adapters.etcd.settings import EtcdSettings

    namespace, host, *endpoints = sys.argv[1:]
    cluster = Cluster(EtcdSettings(endpoints=tuple(endpoints)))
    locks = EtcdLocks(cluster, Keys(namespace), host=host, scope="s", seconds={LEASE})
    with locks.hold({NAME!r}):
        print("held", flush=True)
    """
)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@contextmanager
def waiter(etcd: Etcd, namespace: str, host: str) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for the lock, holds it, and ends."""
    command = [sys.executable, "-c", WAITER, namespace, host, *etcd.endpoints]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def locks_of(etcd: Etcd, namespace: str, host: str) -> EtcdLocks:
    """The locks of one host of several which share all targets."""
    return etcd_locks(etcd, namespace, host, scope="s", timeout=6)


@pytest.fixture
def locks_through(monkeypatch: pytest.MonkeyPatch) -> Callable[[Member, Etcd, str], EtcdLocks]:
    """Locks which ask this member first, and look for themselves after a second without an event."""
    monkeypatch.setattr(gateway, "_WAIT_SECONDS", 1.0)

    def made(member: Member, etcd: Etcd, namespace: str) -> EtcdLocks:
        with monkeypatch.context() as patched:
            patched.setattr("random.randrange", lambda _: etcd.members.index(member))
            return locks_of(etcd, namespace, "waiter")

    return made


def queue(etcd: Etcd, namespace: str) -> int:
    """How many keys the lock has: of its holder, and of those which wait."""
    prefix = Keys(namespace).lock("s", NAME) + b"/"
    (found,) = Cluster(etcd.settings()).transaction([get(prefix, prefix_end(prefix))]).found
    return len(found)


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + GUARD
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def wait(locks: EtcdLocks) -> bool:
    with locks.hold(NAME) as held:
        return held


def test_a_waiter_asks_nothing_while_it_waits(
    start_etcd: StartEtcd, namespace: str, elsewhere: ThreadPoolExecutor
) -> None:
    etcd = start_etcd()
    (member,) = etcd.members
    with locks_of(etcd, namespace, "host1").hold(NAME):
        waiting = elsewhere.submit(wait, locks_of(etcd, namespace, "host2"))
        until(lambda: member.requests("Watch") == 1)
        before = [member.requests(each) for each in ("Txn", "Range", "Lock", "Watch")]
        time.sleep(2)
        assert [member.requests(each) for each in ("Txn", "Range", "Lock", "Watch")] == before
        assert not waiting.done()
    assert waiting.result(GUARD)


def test_a_waiter_gets_the_lock_though_its_member_is_lost(
    etcd_of_hosts: Etcd,
    namespace: str,
    elsewhere: ThreadPoolExecutor,
    fault: Callable[[Member], None],
    locks_through: Callable[[Member, Etcd, str], EtcdLocks],
) -> None:
    """That member leads: the others elect another one meanwhile."""
    lost = etcd_of_hosts.leader()
    try:
        with locks_of(etcd_of_hosts, namespace, "host1").hold(NAME):
            waiting = elsewhere.submit(wait, locks_through(lost, etcd_of_hosts, namespace))
            until(lambda: queue(etcd_of_hosts, namespace) == 2)
            fault(lost)
        assert waiting.result(GUARD)
    finally:
        mend(lost)


def test_a_member_that_is_lost_after_a_long_wait_is_no_refusal(
    etcd_of_hosts: Etcd, namespace: str, elsewhere: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a call is over long before."""
    leader = etcd_of_hosts.leader()
    lost = next(each for each in etcd_of_hosts.members if each is not leader)
    with monkeypatch.context() as patched:
        patched.setattr("random.randrange", lambda _: etcd_of_hosts.members.index(lost))
        locks = etcd_locks(etcd_of_hosts, namespace, "host2", scope="s", timeout=1)
    try:
        with locks_of(etcd_of_hosts, namespace, "host1").hold(NAME):
            waiting = elsewhere.submit(wait, locks)
            until(lambda: queue(etcd_of_hosts, namespace) == 2)
            time.sleep(1.5)
            lost.process.kill()
        assert waiting.result(GUARD)
    finally:
        mend(lost)


def test_a_thawed_member_takes_no_lock_away(
    etcd_of_hosts: Etcd,
    namespace: str,
    elsewhere: ThreadPoolExecutor,
    locks_through: Callable[[Member, Etcd, str], EtcdLocks],
) -> None:
    """The lock service of etcd deletes the key of a waiter whose connection ended: a frozen member, when it thaws."""
    leader = etcd_of_hosts.leader()
    frozen = next(each for each in etcd_of_hosts.members if each is not leader)
    locks = locks_through(frozen, etcd_of_hosts, namespace)

    def hold_while_it_thaws() -> bool:
        with locks.hold(NAME):
            frozen.process.thaw()
            frozen.process.wait_ready(frozen.is_ready)
            time.sleep(0.5)
            locks.require(NAME)
            with locks_of(etcd_of_hosts, namespace, "host3").hold(NAME, wait=False) as other:
                return other

    try:
        with locks_of(etcd_of_hosts, namespace, "host1").hold(NAME):
            waiting = elsewhere.submit(hold_while_it_thaws)
            until(lambda: queue(etcd_of_hosts, namespace) == 2)
            time.sleep(0.2)  # it waits at the member
            frozen.process.freeze()
            time.sleep(2)  # it waits no more there
        assert not waiting.result(GUARD)
    finally:
        mend(frozen)


def test_an_interrupted_waiter_ends_at_once_and_leaves_its_place(etcd: Etcd, namespace: str) -> None:
    with locks_of(etcd, namespace, "host1").hold(NAME), waiter(etcd, namespace, "host2") as process:
        until(lambda: queue(etcd, namespace) == 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=GUARD)
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert queue(etcd, namespace) == 1


def test_a_killed_waiter_loses_its_place_with_its_lease(etcd: Etcd, namespace: str) -> None:
    with ExitStack() as held:
        held.enter_context(locks_of(etcd, namespace, "host1").hold(NAME))
        with waiter(etcd, namespace, "host2") as killed:
            until(lambda: queue(etcd, namespace) == 2)
            with waiter(etcd, namespace, "host3") as next_one:
                until(lambda: queue(etcd, namespace) == 3)
                killed.kill()
                held.close()
                told, errors = next_one.communicate(timeout=GUARD)
    assert (told, errors) == ("held\n", "")
