"""The contracts of stores and locks over etcds of several members, of which one is lost, and of a later release."""

from collections.abc import Callable

import pytest
from tests.etcd_record import etcd_associations, etcd_locks
from tests.integration.services.etcd import Etcd
from tests.torture import TORTURE

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.ports.association_store import AssociationStore
from lading.ports.locks import Locks
from lading.sdk.contracts import DurableAssociationStoreContract, SharedLocksContract


@pytest.fixture(scope="module")
def cluster(broken_etcd: Etcd) -> Cluster:
    """One for all tests, as in a process: it learns once which member does not answer."""
    return Cluster(broken_etcd.settings(timeout=6))


class TestBrokenEtcdLocks(SharedLocksContract):
    @pytest.fixture
    def open_locks(self, cluster: Cluster, request: pytest.FixtureRequest) -> Callable[[], Locks]:
        return lambda: EtcdLocks(cluster, Keys(request.node.name), host="host1")


class QuickStoreContract(DurableAssociationStoreContract):
    """Without the tests of thousands of calls, which say nothing of members or releases."""

    if not TORTURE:
        test_what_is_put_comes_back_exactly = None  # type: ignore[assignment]
        test_different_targets_are_different_however_alike = None  # type: ignore[assignment]
        test_it_holds_what_a_dict_would = None  # type: ignore[assignment]
        test_what_stays_while_a_list_goes_on_is_seen_once_and_in_order = None  # type: ignore[assignment]


class TestEtcdAssociationsOfThree(QuickStoreContract):
    @pytest.fixture
    def open_store(self, etcd_of_three: Etcd, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: etcd_associations(etcd_of_three, request.node.name)


class TestBrokenEtcdAssociations(QuickStoreContract):
    @pytest.fixture
    def open_store(self, cluster: Cluster, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: EtcdAssociations(cluster, Keys(request.node.name), Scopes("host1"))


class TestLaterEtcdLocks(SharedLocksContract):
    @pytest.fixture
    def open_locks(self, etcd_of_pypi: Etcd, request: pytest.FixtureRequest) -> Callable[[], Locks]:
        return lambda: etcd_locks(etcd_of_pypi, request.node.name)


class TestLaterEtcdAssociations(QuickStoreContract):
    @pytest.fixture
    def open_store(self, etcd_of_pypi: Etcd, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: etcd_associations(etcd_of_pypi, request.node.name)
