"""A store that goes on while etcd is away: what it copies, when it tries again, and what is not queued."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure, Success
from tests.etcd_record import etcd_associations, queued_associations
from tests.faulty_stores import through
from tests.integration.etcd.conftest import mend
from tests.integration.services.etcd import Etcd
from tests.integration.services.fixtures import StartEtcd
from tests.strategies import IMAGE, LANDED_AT, OTHER_IMAGE
from tests.torture import TORTURE

from lading.adapters.etcd import associations as etcd_associations_module
from lading.adapters.etcd import queued
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.queued import QueuedAssociations
from lading.adapters.etcd.settings import EtcdSettings
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.local_copy import LocalCopy
from lading.domain.ledger import lock_name
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.handover import Difference

NOBLE = Association("/vms/1", "file", IMAGE, None, LANDED_AT)
DEAD = EtcdSettings(endpoints=("http://127.0.0.1:1",), timeout=0.01)
JAMMY = replace(NOBLE, image=OTHER_IMAGE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd is tried again at once."""
    monkeypatch.setattr(queued, "PAUSE_SECONDS", 0.0)


def away(path: Path) -> QueuedAssociations:
    """The host's store while it does not reach etcd."""
    cluster = Cluster(DEAD)
    return QueuedAssociations(
        EtcdAssociations(cluster, Keys("away"), Scopes("host1")), LocalCopy(Database(path)), MemoryLocks()
    )


def seen(store: object) -> tuple[Any, list[str]]:
    """The store, and the verbs that were called."""
    calls: list[str] = []

    def by_way(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        calls.append(verb)
        return act()

    return through(store, by_way), calls


def test_etcd_is_not_called_for_some_seconds_after_it_did_not_answer(path: Path) -> None:
    cluster, calls = seen(Cluster(DEAD))
    shared = EtcdAssociations(cluster, Keys("away"), Scopes("host1"))
    one, other = (QueuedAssociations(shared, LocalCopy(Database(path)), MemoryLocks()) for _ in range(2))
    assert one.put(NOBLE) == Success(None)
    assert len(calls) == 1
    assert other.get(NOBLE.target) == Success(NOBLE)
    assert other.remove(NOBLE.target) == Success(None)
    assert [*one.list()] == []
    assert len(calls) == 1
    LocalCopy(Database(path)).pause(time.time() - 0.001)
    one.get(NOBLE.target)
    assert len(calls) == 2
    # A clock that was set back by an hour does not make the pause longer.
    LocalCopy(Database(path)).pause(time.time() + 3600)
    one.get(NOBLE.target)
    assert len(calls) == 3


def test_a_change_is_handed_over_when_etcd_is_known_to_be_back(etcd: Etcd, namespace: str, path: Path) -> None:
    assert away(path).put(NOBLE) == Success(None)
    store = queued_associations(etcd, namespace, path)
    assert store.put(replace(NOBLE, target="/vms/2")) == Success(None)
    assert [each.target for each in store.pending()] == ["/vms/1", "/vms/2"], "it was away a moment ago"
    outcome = store.hand_over()
    assert [each.target for each in outcome.made] == ["/vms/1", "/vms/2"]
    assert store.put(replace(NOBLE, target="/vms/3")) == Success(None)
    assert store.pending() == []
    assert len([*etcd_associations(etcd, namespace).list()]) == 3


def test_a_frozen_etcd_is_waited_for_once(start_etcd: StartEtcd, namespace: str, path: Path) -> None:
    etcd = start_etcd()
    member = etcd.members[0].process
    store = queued_associations(etcd, namespace, path, timeout=1.0)
    assert store.put(NOBLE) == Success(None)
    member.freeze()
    try:
        assert store.put(JAMMY) == Success(None)
        assert store.get(JAMMY.target) == Success(JAMMY)
        assert [*store.list()] == [JAMMY]
        assert [each.after for each in store.pending()] == [JAMMY]
    finally:
        member.thaw()
    assert [each.after for each in store.hand_over().made] == [JAMMY]
    assert [*etcd_associations(etcd, namespace).list()] == [JAMMY]


@pytest.mark.usefixtures("at_once")
def test_a_change_whose_answer_was_lost_is_no_conflict(etcd: Etcd, namespace: str, path: Path) -> None:
    cluster, calls = seen(Cluster(etcd.settings()))

    def lose_second(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        answer = act()
        return Cluster(DEAD).transaction([]) if len(calls) == 2 else answer

    LocalCopy(Database(path)).fill({})
    away(path).put(NOBLE)
    shared = EtcdAssociations(through(cluster, lose_second), Keys(namespace), Scopes("host1"))
    outcome = QueuedAssociations(shared, LocalCopy(Database(path)), MemoryLocks()).hand_over()
    assert (calls, outcome.made) == (["transaction"] * 2, [])
    others = etcd_associations(etcd, namespace)
    assert others.get(NOBLE.target) == Success(NOBLE)
    others.put(JAMMY)
    store = queued_associations(etcd, namespace, path)
    assert [each.after for each in store.hand_over().made] == [NOBLE]
    assert store.get(NOBLE.target) == Success(JAMMY)
    assert (store.pending(), store.conflicts()) == ([], [])


def test_a_late_request_does_not_undo_a_later_change(start_etcd: StartEtcd, namespace: str, path: Path) -> None:
    etcd = start_etcd(3)
    frozen = etcd.members[0].process
    cluster = Cluster(etcd.settings(timeout=15.0))  # the frozen one may lead: then the others have to elect first
    calls = 0

    def freeze_third(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        nonlocal calls
        calls += 1
        if calls == 3:
            frozen.freeze()  # it has the request, and answers it when it is thawed
        return act()

    LocalCopy(Database(path)).fill({})
    shared = EtcdAssociations(through(cluster, freeze_third), Keys(namespace), Scopes("host1"))
    store = QueuedAssociations(shared, LocalCopy(Database(path)), MemoryLocks())
    try:
        assert store.put(NOBLE) == Success(None)
        assert calls == 3
        assert store.remove(NOBLE.target) == Success(None)
        assert store.pending() == []
    finally:
        mend(etcd.members[0])
    assert [*etcd_associations(etcd, namespace).list()] == []
    assert store.get(NOBLE.target) == Success(None)


def test_a_read_that_is_overtaken_does_not_set_the_copy_back(etcd: Etcd, namespace: str, path: Path) -> None:
    later = replace(NOBLE, handler="download")
    other = queued_associations(etcd, namespace, path)
    assert other.put(NOBLE) == Success(None)
    etcd_associations(etcd, namespace).put(JAMMY)

    def overtake(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        answer = act()
        assert other.put(later) == Success(None)
        return answer

    shared = EtcdAssociations(through(Cluster(etcd.settings()), overtake), Keys(namespace), Scopes("host1"))
    assert QueuedAssociations(shared, LocalCopy(Database(path)), MemoryLocks()).get(NOBLE.target) == Success(later)
    assert away(path).get(NOBLE.target) == Success(later)


def test_a_target_with_pending_changes_takes_nothing_from_etcd(path: Path) -> None:
    copy = LocalCopy(Database(path))
    copy.change(NOBLE.target, NOBLE)
    copy.change(NOBLE.target, None)
    assert not copy.take(NOBLE.target, None, JAMMY)
    assert copy.get(NOBLE.target) is None
    for each in copy.changes():
        copy.done(each)
    assert copy.take(NOBLE.target, None, JAMMY)
    assert copy.get(NOBLE.target) == JAMMY


def test_the_copy_is_filled_at_the_first_contact(etcd: Etcd, namespace: str, path: Path) -> None:
    etcd_associations(etcd, namespace).put(NOBLE)
    etcd_associations(etcd, namespace, "host2").put(replace(NOBLE, target="/vms/2"))
    assert queued_associations(etcd, namespace, path).get("/vms/9") == Success(None)
    assert [*away(path).list()] == [NOBLE]


def test_what_the_database_had_before_is_handed_over_or_reported(etcd: Etcd, namespace: str, path: Path) -> None:
    with closing(Database(path)) as database:
        earlier = FileAssociations(database)
        for each in (NOBLE, replace(NOBLE, target="/vms/2"), replace(NOBLE, target="/vms/3")):
            earlier.put(each)
    others = etcd_associations(etcd, namespace)
    others.put(JAMMY)
    others.put(replace(NOBLE, target="/vms/2"))
    store = queued_associations(etcd, namespace, path)
    outcome = store.hand_over()
    assert [each.target for each in outcome.made] == ["/vms/3"]
    assert store.conflicts() == [Difference("/vms/1", NOBLE, JAMMY)]
    assert [*store.list()] == [*others.list()] == [*away(path).list()]


def test_a_list_goes_on_from_the_copy_when_etcd_leaves(
    etcd: Etcd, namespace: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_associations_module, "_PAGE", 2)
    all_of_them = [replace(NOBLE, target=f"/vms/{number}") for number in range(5)]
    store = queued_associations(etcd, namespace, path)
    for each in all_of_them:
        store.put(each)
    pages = 0

    def leave(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        nonlocal pages
        pages += verb == "page"
        return Cluster(DEAD).page(b"a", b"b", limit=1) if pages > 1 else act()

    shared = EtcdAssociations(through(Cluster(etcd.settings()), leave), Keys(namespace), Scopes("host1"))
    leaving = QueuedAssociations(shared, LocalCopy(Database(path)), MemoryLocks())
    assert [*leaving.list()] == all_of_them
    assert pages == 2


def test_a_target_that_is_locked_in_etcd_is_not_queued(start_etcd: StartEtcd, namespace: str, path: Path) -> None:
    etcd = start_etcd()
    locks = EtcdLocks(
        Cluster(etcd.settings(timeout=1.0)), Keys(namespace), host="host1", scope={"/nfs": "nfs1"}, local=MemoryLocks()
    )
    shared = etcd_associations(etcd, namespace, locks=locks, timeout=1.0)
    store = QueuedAssociations(shared, LocalCopy(Database(path)), locks)
    common = replace(NOBLE, target="/nfs/1")
    with locks.hold(lock_name("/nfs/1")), locks.hold(lock_name("/vms/1")):
        etcd.members[0].process.kill()
        assert isinstance(store.put(common), Failure)
        assert isinstance(store.get("/nfs/1"), Failure)
        assert isinstance(store.remove("/nfs/1"), Failure)
        assert store.put(NOBLE) == Success(None)
        assert [each.target for each in store.pending()] == ["/vms/1"]
        assert [*store.list()] == [NOBLE]
        etcd.members[0].start()
    with locks.hold(lock_name("/nfs/1")):
        assert store.put(common) == Success(None)
    assert store.hand_over().reason is None
    assert [*store.list()] == [common, NOBLE]
    assert dict(store.list_host()) == {"host1": NOBLE, "nfs1": common}


def test_an_association_that_etcd_would_refuse_is_not_queued(path: Path) -> None:
    large = replace(NOBLE, image=replace(IMAGE, properties={"notes": "x" * (1 << 20)}))
    refused = away(path).put(large)
    assert isinstance(refused, Failure)
    assert "is too large for etcd: 10" in str(refused.failure())
    assert (away(path).pending(), away(path).get(NOBLE.target)) == ([], Success(None))


def test_the_targets_of_other_hosts_are_only_in_etcd(path: Path) -> None:
    store = away(path)
    store.put(NOBLE)
    for found in (store.list_host(), store.list_host("host1"), store.holders(IMAGE.id)):
        with pytest.raises(StoreUnavailable, match="only etcd knows the targets of other hosts"):
            next(iter(found))


def decide(path: Path, count: int) -> list[str]:
    """The ids of so many changes, which are made while etcd is away."""
    store = away(path)
    for number in range(count):
        store.put(replace(NOBLE, target=f"/vms/{number % 7}", landed_at=datetime(2026, 1, 1, 0, number, tzinfo=UTC)))
    return [each.id for each in store.pending()]


def handed_over(etcd: Etcd, namespace: str) -> list[str]:
    """The ids of all changes that etcd has, in its order."""
    cluster, mark = Cluster(etcd.settings()), Keys(namespace).last_change("host1")
    found, _ = cluster.page(mark, mark + b"\0", limit=1)
    ids: list[str] = []
    while found:
        ids.insert(0, found[0].value.decode())
        found, _ = cluster.page(mark, mark + b"\0", limit=1, revision=found[0].modified_at - 1)
    return ids


def test_several_threads_hand_over_each_change_once(etcd: Etcd, namespace: str, path: Path) -> None:
    ids = decide(path, 40)
    stores = [queued_associations(etcd, namespace, path) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        outcomes = [*pool.map(QueuedAssociations.hand_over, stores)]
    assert {each.id for outcome in outcomes for each in outcome.made} == {*ids}
    assert handed_over(etcd, namespace) == ids
    assert (stores[0].pending(), stores[0].conflicts()) == ([], [])


def hand_over(etcd: Etcd, namespace: str, path: Path) -> None:
    queued_associations(etcd, namespace, path).hand_over()


def test_killed_processes_hand_over_each_change_once(etcd: Etcd, namespace: str, path: Path) -> None:
    ids = decide(path, 40)
    spawning = multiprocessing.get_context("spawn")
    endpoints = Etcd([replace(each, process=None) for each in etcd.members])  # type: ignore[arg-type]  # it cannot be sent
    store = queued_associations(etcd, namespace, path)
    for _ in range(max(3, TORTURE)):
        left = len(store.pending())
        processes: list[SpawnProcess] = [
            spawning.Process(target=hand_over, args=(endpoints, namespace, path), daemon=True) for _ in range(2)
        ]
        for each in processes:
            each.start()
        # In the middle of their work: each is killed at any point of what it does next.
        while len(store.pending()) > max(0, left - 7) and any(each.is_alive() for each in processes):
            time.sleep(0.001)
        for each in processes:
            each.kill()
            each.join(60)
    assert store.hand_over().reason is None
    assert handed_over(etcd, namespace) == ids
    assert (store.pending(), store.conflicts()) == ([], [])
