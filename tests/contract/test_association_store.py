"""The contract of AssociationStore, over every adapter."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.etcd_record import etcd_associations, queued_associations
from tests.integration.services.etcd import Etcd
from tests.integration.services.etcd import etcd as start_etcd
from tests.packages import needs

from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.ports.association_store import AssociationStore
from lading.sdk.contracts import AssociationStoreContract, DurableAssociationStoreContract


class TestMemoryAssociations(AssociationStoreContract):
    @pytest.fixture
    def store(self) -> AssociationStore:
        return MemoryAssociations()


class TestFileAssociations(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(self, quick_folder: Path) -> Callable[[], AssociationStore]:
        return lambda: FileAssociations(Database(quick_folder / "lading.db"))


class TestEtcdAssociations(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(self, etcd: Etcd, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: etcd_associations(etcd, request.node.name)


class TestQueuedAssociations(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(
        self, etcd: Etcd, quick_folder: Path, request: pytest.FixtureRequest
    ) -> Callable[[], AssociationStore]:
        return lambda: queued_associations(etcd, request.node.name, quick_folder / "copy.db")


@pytest.fixture(scope="module")
def etcd_away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd that was killed."""
    needs("etcd")
    with start_etcd(tmp_path_factory.mktemp("etcd-away")) as away:
        away.members[0].process.kill()
        yield away


class TestQueuedAssociationsWhileEtcdIsAway(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(self, etcd_away: Etcd, quick_folder: Path) -> Callable[[], AssociationStore]:
        return lambda: queued_associations(etcd_away, "queued", quick_folder / "copy.db", timeout=0.1)
