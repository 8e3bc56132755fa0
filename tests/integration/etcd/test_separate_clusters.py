"""Locks in another etcd than the associations."""

import pytest
from tests.integration.services.etcd import Etcd
from tests.integration.services.fixtures import StartEtcd

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.operations import delete
from lading.adapters.etcd.settings import EtcdAssociationsSettings, EtcdLocksSettings
from lading.domain.ledger import lock_name
from lading.sdk.contracts.association_stores import association

NAMESPACE = "separate-clusters"
FETCHED = association()


@pytest.fixture
def of_locks(start_etcd: StartEtcd) -> Etcd:
    return start_etcd()


@pytest.fixture
def locks(of_locks: Etcd) -> EtcdLocks:
    return EtcdLocks.from_settings(
        EtcdLocksSettings(endpoints=of_locks.endpoints, namespace=NAMESPACE, host="host1", scope="storage")
    )


@pytest.fixture
def store(etcd: Etcd, locks: EtcdLocks) -> EtcdAssociations:
    settings = EtcdAssociationsSettings(endpoints=etcd.endpoints, namespace=NAMESPACE, host="host1")
    return EtcdAssociations.from_settings(settings, locks)


def test_a_holder_of_the_lock_changes_an_association(store: EtcdAssociations, locks: EtcdLocks) -> None:
    with locks.hold(lock_name(FETCHED.target)):
        store.put(FETCHED).unwrap()
        assert store.get(FETCHED.target).unwrap() == FETCHED
        store.remove(FETCHED.target).unwrap()


def test_a_holder_that_lost_its_lock_changes_nothing(store: EtcdAssociations, locks: EtcdLocks, of_locks: Etcd) -> None:
    with locks.hold(lock_name(FETCHED.target)):
        prefix = Keys(NAMESPACE).lock("storage", lock_name(FETCHED.target)) + b"/"
        ((held,), _) = Cluster(of_locks.settings()).page(prefix, prefix + b"\xff", limit=2)
        Cluster(of_locks.settings()).transaction([delete(held.key)])
        assert "the lock of the" in str(store.put(FETCHED).failure())
    assert store.get(FETCHED.target).unwrap() is None
