"""Members that are lost in the middle of changes and of locks, and an etcd that is away altogether."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Final

import pytest
from returns.result import Failure, Success
from tests.etcd_record import etcd_associations, etcd_locks
from tests.integration.conftest import Lading, messages
from tests.integration.etcd.conftest import mend
from tests.integration.services.etcd import Etcd, Member
from tests.integration.services.fixtures import StartEtcd

from lading.adapters.cli.exits import Exit
from lading.adapters.etcd import gateway
from lading.domain.handler_calls import value_or_raise
from lading.ports.failures import StoreUnavailable
from lading.sdk.contracts.association_stores import association

GUARD: Final = 180.0
"""Seconds after which something hangs."""
TIMEOUT: Final = 4.5
"""Seconds of a call: one and a half for a member that does not answer."""
MORE: Final = 15
"""Operations before and after a fault."""
NAME: Final = "target /vms/1.img"


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + GUARD
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


class Writer:
    """Puts one number after the other for one target, from a host; a reader on another host looks meanwhile."""

    def __init__(self, etcd: Etcd, namespace: str) -> None:
        self._writing = etcd_associations(etcd, namespace, timeout=TIMEOUT)
        self._reading = etcd_associations(etcd, namespace, timeout=TIMEOUT)
        self.acknowledged = 0
        self.failures: list[StoreUnavailable] = []
        self.slowest = 0.0
        self.ended = Event()

    def write(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            began = time.monotonic()
            outcome = self._writing.put(replace(association("/vms/1.img"), size=number))
            self.slowest = max(self.slowest, time.monotonic() - began)
            match outcome:
                case Failure(failure):
                    self.failures.append(failure)
                case _:
                    self.acknowledged = number

    def read(self) -> None:
        while not self.ended.is_set():
            least = self.acknowledged
            found = self._reading.get("/vms/1.img")
            if isinstance(found, Success) and least:
                known = found.unwrap()
                assert known is not None
                assert (known.size or 0) >= least

    def last(self) -> int:
        found = self._reading.get("/vms/1.img").unwrap()
        return (found.size or 0) if found else 0


def test_no_acknowledged_put_is_lost_with_the_leader(
    etcd_of_hosts: Etcd, namespace: str, threads: ThreadPoolExecutor, fault: Callable[[Member], None]
) -> None:
    writer = Writer(etcd_of_hosts, namespace)
    running = [threads.submit(writer.write), threads.submit(writer.read)]
    until(lambda: writer.acknowledged > MORE)
    lost = etcd_of_hosts.leader()
    fault(lost)
    try:
        before = writer.acknowledged
        until(lambda: writer.acknowledged > before + MORE)
        writer.ended.set()
        for each in running:
            each.result(GUARD)
        assert writer.last() >= writer.acknowledged
    finally:
        writer.ended.set()
        mend(lost)
    assert writer.last() >= writer.acknowledged
    assert writer.slowest < 2 * TIMEOUT
    assert all(str(each).startswith("etcd does not answer within 4.5 s: http://") for each in writer.failures)


def test_a_lock_is_held_once_while_the_leader_is_lost(
    etcd_of_hosts: Etcd,
    namespace: str,
    threads: ThreadPoolExecutor,
    fault: Callable[[Member], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "_WAIT_SECONDS", 2.0)
    inside, most, taken, failures, ended = [0], [0], [0], list[str](), Event()

    def take(host: str) -> None:
        locks = etcd_locks(etcd_of_hosts, namespace, host, scope="s", timeout=TIMEOUT)
        while not ended.is_set():
            try:
                with locks.hold(NAME):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    locks.require(NAME)
                    inside[0] -= 1
                    taken[0] += 1
            except StoreUnavailable as failure:
                failures.append(str(failure))

    running = [threads.submit(take, f"host{number}") for number in range(3)]
    until(lambda: taken[0] > MORE)
    lost = etcd_of_hosts.leader()
    fault(lost)
    try:
        before = taken[0]
        until(lambda: taken[0] > before + MORE)
        mend(lost)
        before = taken[0]
        until(lambda: taken[0] > before + MORE)
    finally:
        ended.set()
        mend(lost)
    for each in running:
        each.result(GUARD)
    assert most == [1]
    assert all(each.startswith("etcd does not answer within 4.5 s: http://") for each in failures)


def test_a_member_that_is_away_from_the_start_is_passed_over(etcd_of_three: Etcd, namespace: str) -> None:
    for number in range(3):
        endpoints = [*etcd_of_three.endpoints]
        endpoints[number] = "http://127.0.0.1:1"
        store = etcd_associations(etcd_of_three, namespace, endpoints=tuple(endpoints))
        assert store.put(association(f"/{number}")) == Success(None)
        assert store.get(f"/{number}") == Success(association(f"/{number}"))


def test_each_call_to_a_frozen_etcd_is_one_refusal_in_time(start_etcd: StartEtcd, threads: ThreadPoolExecutor) -> None:
    etcd = start_etcd()
    (member,) = etcd.members
    locks, store = etcd_locks(etcd, "frozen", seconds=2, timeout=1), etcd_associations(etcd, "frozen", timeout=1)
    with locks.hold("a"):
        pass  # its lease could serve the next lock
    member.process.freeze()
    calls: list[Callable[[], object]] = [
        lambda: value_or_raise(store.get("/1")),
        lambda: value_or_raise(store.put(association())),
        lambda: value_or_raise(store.remove("/1")),
        lambda: list(store.list()),
        lambda: locks.hold("a").__enter__(),
    ]
    began = time.monotonic()
    for each in [threads.submit(call) for call in calls]:
        assert str(each.exception(GUARD)) == f"etcd does not answer within 1 s: {member.url}: no answer"
    assert time.monotonic() - began < 10
    member.process.thaw()
    assert store.put(association()) == Success(None)
    with locks.hold("a") as held:  # once the lease of the place is over which the refused call may have got late
        assert held


def test_nothing_begins_while_etcd_is_away(start_etcd: StartEtcd, lading: Lading, noble: Path, host: Path) -> None:
    etcd = start_etcd()
    (member,) = etcd.members
    variables = {
        "LADING_ASSOCIATIONS__KIND": "etcd", "LADING_ASSOCIATIONS__ENDPOINTS": member.url,
        "LADING_ASSOCIATIONS__TIMEOUT": "1", "LADING_LOCKS__KIND": "etcd",
    }  # fmt: skip
    member.process.kill()
    done = lading("fetch", "noble", "vms/1", **variables)
    told = f"lading: etcd does not answer within 1 s: {member.url}: Connection refused"
    assert (done.returncode, messages(done)) == (Exit.FAILED, [told])
    assert os.listdir(host / "vms") == []
    member.start()
    assert lading("recover", **variables).stdout == ""
    assert lading("fetch", "noble", "vms/1", **variables).returncode == 0
