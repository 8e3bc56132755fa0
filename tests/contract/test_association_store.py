"""The contract of AssociationStore, over every adapter."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.etcd_record import etcd_associations
from tests.integration.services.etcd import Etcd

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
    def open_store(self, tmp_path: Path) -> Callable[[], AssociationStore]:
        return lambda: FileAssociations(Database(tmp_path / "lading.db"))


class TestEtcdAssociations(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(self, etcd: Etcd, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: etcd_associations(etcd, request.node.name)


class TestEtcdAssociationsOfThree(DurableAssociationStoreContract):
    @pytest.fixture
    def open_store(self, etcd_of_three: Etcd, request: pytest.FixtureRequest) -> Callable[[], AssociationStore]:
        return lambda: etcd_associations(etcd_of_three, request.node.name)
