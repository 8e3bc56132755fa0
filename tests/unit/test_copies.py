"""Associations are copied from store to store: each once, none changed, none lost."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Result, Success
from tests.strategies import LANDED_AT

from lading import Association, StoreUnavailable
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.locks import MemoryLocks
from lading.domain.copies import Copied, copy_associations
from lading.domain.ledger import lock_name

stores = st.dictionaries(st.sampled_from(["/vms/1", "/vms/2", "/vms/3"]), st.sampled_from(["file", "download"]))


def store(handlers: Mapping[str, str]) -> MemoryAssociations:
    """A store of these targets, each with its handler."""
    known = MemoryAssociations()
    for target, handler in handlers.items():
        known.put(Association(target, handler, None, None, LANDED_AT))
    return known


def handlers(known: MemoryAssociations) -> dict[str, str]:
    return {each.target: each.handler for each in known.list()}


@given(stores, stores, st.booleans())
def test_a_copy_adds_what_is_lacking_and_replaces_only_when_told(
    here: dict[str, str], there: dict[str, str], replaces: bool
) -> None:
    source, destination = store(here), store(there)
    outcomes = dict(copy_associations(source, destination, [MemoryLocks()], replace=replaces))
    assert handlers(source) == here
    assert handlers(destination) == (there | here if replaces else here | there)
    different = Copied.REPLACED if replaces else Copied.DIFFERENT
    assert outcomes == {
        target: Copied.COPIED if target not in there else Copied.PRESENT if there[target] == handler else different
        for target, handler in here.items()
    }
    again = dict(copy_associations(source, destination, [], replace=replaces))
    assert set(again.values()) <= {Copied.PRESENT, *([] if replaces else [Copied.DIFFERENT])}


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_target_in_use_is_copied_last(is_removed: bool) -> None:
    locks, source, destination = MemoryLocks(), store({"/vms/1": "file", "/vms/2": "file"}), store({})
    held = locks.hold(lock_name("/vms/1"))
    copies = copy_associations(source, destination, [MemoryLocks(), locks])
    with ThreadPoolExecutor(1) as other:
        other.submit(held.__enter__).result()
        assert [next(copies), next(copies)] == [("/vms/1", Copied.WAITING), ("/vms/2", Copied.COPIED)]
        assert handlers(destination) == {"/vms/2": "file"}
        if is_removed:
            source.remove("/vms/1")
        other.submit(held.__exit__, None, None, None).result()
    assert list(copies) == ([] if is_removed else [("/vms/1", Copied.COPIED)])


def test_what_is_removed_meanwhile_is_not_copied() -> None:
    class Removing(MemoryAssociations):
        def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
            self.remove(target)
            return super().get(target)

    source = Removing()
    source.put(Association("/vms/1", "file", None, None, LANDED_AT))
    destination = store({})
    assert dict(copy_associations(source, destination, [])) == {}
    assert handlers(destination) == {}


def test_a_copy_that_does_not_read_back_ends_the_copying() -> None:
    class Forgetful(MemoryAssociations):
        def put(self, association: Association) -> Result[None, StoreUnavailable]:
            return super().put(replace(association, size=1))

    copies = copy_associations(store({"/vms/1": "file"}), Forgetful(), [])
    with pytest.raises(StoreUnavailable, match="the association of /vms/1 is not read back as it was written"):
        next(copies)


def test_a_store_that_fails_ends_the_copying_and_the_next_copy_finishes_it() -> None:
    class Full(MemoryAssociations):
        left = 1

        def put(self, association: Association) -> Result[None, StoreUnavailable]:
            if not self.left:
                return Failure(StoreUnavailable("the disk is full"))
            self.left -= 1
            return super().put(association)

    source, destination = store({"/vms/1": "file", "/vms/2": "file"}), Full()
    copies = copy_associations(source, destination, [])
    assert next(copies) == ("/vms/1", Copied.COPIED)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        next(copies)
    destination.left = 9
    assert list(copy_associations(source, destination, [])) == [
        ("/vms/1", Copied.PRESENT),
        ("/vms/2", Copied.COPIED),
    ]
    assert destination.get("/vms/2") == Success(Association("/vms/2", "file", None, None, LANDED_AT))
