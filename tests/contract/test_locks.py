"""The contract of Locks, over every adapter."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.etcd_record import etcd_locks
from tests.integration.services.etcd import Etcd

from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.locks import Locks, NullLocks
from lading.sdk.contracts import LocksContract, SharedLocksContract


class TestMemoryLocks(LocksContract):
    @pytest.fixture
    def locks(self) -> Locks:
        return MemoryLocks()


class TestFileLocks(SharedLocksContract):
    @pytest.fixture
    def open_locks(self, tmp_path: Path) -> Callable[[], Locks]:
        return lambda: FileLocks(tmp_path / "locks")

    @pytest.mark.parametrize("name", ["target ../../etc/passwd", "nul\0byte", "x" * 5000, ".", "\ud83d\ude00"])
    def test_whatever_the_name_its_file_is_in_the_folder(self, locks: Locks, tmp_path: Path, name: str) -> None:
        with locks.hold(name):
            assert {path.parent.name for path in tmp_path.rglob("*") if path.is_file()} == {"locks"}


class TestEtcdLocks(SharedLocksContract):
    @pytest.fixture
    def open_locks(self, etcd: Etcd, request: pytest.FixtureRequest) -> Callable[[], Locks]:
        return lambda: etcd_locks(etcd, request.node.name)


class TestEtcdLocksOfThree(SharedLocksContract):
    @pytest.fixture
    def open_locks(self, etcd_of_three: Etcd, request: pytest.FixtureRequest) -> Callable[[], Locks]:
        return lambda: etcd_locks(etcd_of_three, request.node.name)


def test_null_locks_are_always_acquired() -> None:
    locks: Locks = NullLocks()
    with locks.hold("a") as held, locks.hold("a", wait=False) as again:
        assert held
        assert again
