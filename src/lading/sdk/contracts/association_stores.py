"""The contract of AssociationStore as tests: a subclass defines the store."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from returns.result import Success

from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.image import Digest, Image
from lading.ports.location import Location
from lading.sdk.contracts.strategies import any_associations, any_targets

__all__ = ["AssociationStoreContract", "DurableAssociationStoreContract"]

NOBLE, JAMMY = Image("155d900f", "noble"), Image("00000001", "jammy")
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
one_store_for_all = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)


def association(target: str = "/vms/1/disk", handler: str = "file", image: Image | None = NOBLE) -> Association:
    return Association(target, handler, image, Location("file:///noble.img"), AT)


class AssociationStoreContract:
    """The contract of every store."""

    @pytest.fixture
    def store(self) -> AssociationStore:
        """An empty store, for each test."""
        raise NotImplementedError

    @one_store_for_all
    @given(any_associations())
    def test_what_is_put_comes_back_exactly(self, store: AssociationStore, recorded: Association) -> None:
        assert store.put(recorded) == Success(None)
        assert store.get(recorded.target) == Success(recorded)
        assert recorded in store.list(handler=recorded.handler)

    def test_of_a_target_that_was_never_recorded_it_knows_nothing(self, store: AssociationStore) -> None:
        assert store.get("/vms/1/disk") == Success(None)

    def test_what_is_put_takes_the_place_of_what_was_recorded_for_its_target(self, store: AssociationStore) -> None:
        store.put(association(handler="file", image=NOBLE))
        store.put(association(handler="download", image=JAMMY))
        assert list(store.list()) == [association(handler="download", image=JAMMY)]
        assert list(store.list(handler="file")) == []
        assert list(store.list(image_id=NOBLE.id)) == []

    def test_a_removed_target_is_forgotten(self, store: AssociationStore) -> None:
        store.put(association("/vms/1/disk"))
        store.put(association("/vms/2/disk"))
        assert store.remove("/vms/1/disk") == Success(None)
        assert store.get("/vms/1/disk") == Success(None)
        assert list(store.list()) == [association("/vms/2/disk")]

    def test_removing_what_is_not_recorded_is_no_failure(self, store: AssociationStore) -> None:
        assert store.remove("/vms/1/disk") == Success(None)
        store.put(association())
        assert store.remove("/vms/1/disk") == Success(None)
        assert store.remove("/vms/1/disk") == Success(None)

    @one_store_for_all
    @given(st.lists(any_targets(), unique=True))
    def test_different_targets_are_different_however_alike(self, store: AssociationStore, different: list[str]) -> None:
        for known in list(store.list()):
            store.remove(known.target)
        for target in different:
            store.put(association(target))
        assert [each.target for each in store.list()] == sorted(different)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("/vms/disk", "/VMS/disk"),
            ("/vms/disk", "/vms/disk/"),
            ("/vms/disk", "/vms/disk\0"),
            ("/vms/\N{LATIN SMALL LETTER E WITH ACUTE}", "/vms/e\N{COMBINING ACUTE ACCENT}"),
            ("/vms/\N{GRINNING FACE}", "/vms/\ud83d\ude00"),
            (os.fsdecode(b"/vms/\xe9"), "/vms/\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ],
    )
    def test_a_target_is_no_other_target(self, store: AssociationStore, one: str, other: str) -> None:
        store.put(association(one))
        assert store.get(other) == Success(None)
        store.remove(other)
        assert store.get(one) == Success(association(one))

    @one_store_for_all
    @given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from(["file", "rbd"]))))
    def test_it_holds_what_a_dict_would(self, store: AssociationStore, steps: list[tuple[bool, str, str]]) -> None:
        for known in list(store.list()):
            store.remove(known.target)
        model: dict[str, Association] = {}
        for put, target, handler in steps:
            if put:
                model[target] = association(target, handler)
                store.put(model[target])
            else:
                model.pop(target, None)
                store.remove(target)
        assert list(store.list()) == [model[target] for target in sorted(model)]
        assert [store.get(target) for target in "abc"] == [Success(model.get(target)) for target in "abc"]

    def test_a_list_goes_by_target(self, store: AssociationStore) -> None:
        for target in (
            "/b",
            "/a/b",
            "/B",
            "/a",
            "/\udc80",
            "/\ue000",
            "/\N{GRINNING FACE}",
            "/\N{LATIN SMALL LETTER A}0",
        ):
            store.put(association(target))
        assert [each.target for each in store.list()] == sorted(each.target for each in store.list())
        assert [each.target for each in store.list()][:3] == ["/B", "/a", "/a/b"]

    def test_a_list_may_be_of_one_handler_or_of_one_image_or_of_both(self, store: AssociationStore) -> None:
        store.put(association("/1", "file", NOBLE))
        store.put(association("/2", "rbd", NOBLE))
        store.put(association("/3", "file", JAMMY))
        store.put(association("/4", "file", None))

        def listed(handler: str | None = None, image_id: str | None = None) -> list[str]:
            return [each.target for each in store.list(handler=handler, image_id=image_id)]

        assert listed() == ["/1", "/2", "/3", "/4"]
        assert listed(handler="file") == ["/1", "/3", "/4"]
        assert listed(image_id=NOBLE.id) == ["/1", "/2"]
        assert listed("file", NOBLE.id) == ["/1"]
        assert listed(handler="unknown") == listed(image_id="unknown") == listed("", "") == []

    def test_a_list_may_be_of_one_digest(self, store: AssociationStore) -> None:
        own, other = Digest("sha256", "ab" * 32), Digest("sha256", "cd" * 32)
        store.put(association("/1", "file", replace(NOBLE, digest=own)))
        store.put(association("/2", "rbd", replace(JAMMY, digest=own)))
        store.put(association("/3", "file", replace(NOBLE, digest=other, properties={"about": own.value})))
        store.put(replace(association("/4", "file", replace(NOBLE, digest=other)), digest=own))
        store.put(association("/5", "file", replace(NOBLE, checksum="ef" * 16)))

        def listed(digest: Digest, handler: str | None = None, image_id: str | None = None) -> list[str]:
            return [each.target for each in store.list(handler=handler, image_id=image_id, digest=digest)]

        assert listed(own) == ["/1", "/2"]
        assert listed(own, handler="rbd") == listed(own, image_id=JAMMY.id) == ["/2"]
        assert listed(Digest("md5", "ef" * 16)) == ["/5"]
        assert listed(Digest("sha512", own.value)) == []

    def test_what_stays_while_a_list_goes_on_is_seen_once_and_in_order(self, store: AssociationStore) -> None:
        staying = [f"/vms/{number:03}" for number in range(0, 600, 2)]
        for target in staying:
            store.put(association(target))
        seen = []
        for number, each in enumerate(store.list()):
            seen.append(each.target)
            # Before and behind where the list is, something comes and goes each time.
            store.put(association(f"/vms/{number % 600:03}+"))
            store.put(association(f"/vms/{-number % 600:03}+"))
            store.remove(f"/vms/{(number - 3) % 600:03}+")
        assert seen == sorted(set(seen))
        assert [target for target in seen if not target.endswith("+")] == staying

    def test_a_list_that_is_left_half_way_keeps_nobody_from_writing(self, store: AssociationStore) -> None:
        store.put(association("/1"))
        store.put(association("/2"))
        half_way = store.list()
        assert next(half_way) == association("/1")
        assert store.put(association("/3")) == Success(None)
        assert store.remove("/2") == Success(None)

    def test_two_lists_may_go_on_at_once_and_in_other_threads(self, store: AssociationStore) -> None:
        for number in range(9):
            store.put(association(f"/{number}"))
        one, other = store.list(), store.list(handler="file")
        with ThreadPoolExecutor(1) as elsewhere:
            pairs = [(next(one), elsewhere.submit(next, other).result()) for _ in range(9)]
        assert pairs == [(association(f"/{number}"),) * 2 for number in range(9)]

    def test_what_one_thread_put_every_other_sees(self, store: AssociationStore) -> None:
        with ThreadPoolExecutor(4) as threads:
            puts = threads.map(store.put, [association(f"/{number}") for number in range(64)])
            assert set(puts) == {Success(None)}
            found = threads.map(store.get, [f"/{number}" for number in range(64)])
            assert list(found) == [Success(association(f"/{number}")) for number in range(64)]

    def test_a_reader_sees_one_association_or_the_other_and_no_mixture(self, store: AssociationStore) -> None:
        one, other = association(handler="file", image=NOBLE), association(handler="rbd", image=JAMMY)
        store.put(one)
        done = threading.Event()

        def read() -> list[Association]:
            seen = []
            while not done.is_set():
                seen += [store.get(one.target).unwrap() or replace(one, handler="nothing"), *store.list()]
            return seen

        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(read) for _ in range(2)]
            for each in (other, one) * 25:
                store.put(each)
            done.set()
        assert [each for seen in reading for each in seen.result() if each not in (one, other)] == []


class DurableAssociationStoreContract(AssociationStoreContract):
    """The contract of a store that outlives its process."""

    @pytest.fixture
    def open_store(self) -> Callable[[], AssociationStore]:
        """Returns a function that opens the same store, again with each call. It is empty when a test begins."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Callable[[], AssociationStore]) -> AssociationStore:
        return open_store()

    @pytest.fixture
    def kept(self, open_store: Callable[[], AssociationStore]) -> AssociationStore:
        """A store that was opened again after something was put."""
        assert open_store().put(association("/vms/1/disk")) == Success(None)
        return open_store()

    def test_what_was_put_is_there_when_it_is_opened_again(self, kept: AssociationStore) -> None:
        assert kept.get("/vms/1/disk") == Success(association("/vms/1/disk"))
        assert list(kept.list(handler="file", image_id=NOBLE.id)) == [association("/vms/1/disk")]

    def test_two_open_stores_see_what_the_other_does(self, open_store: Callable[[], AssociationStore]) -> None:
        one, other = open_store(), open_store()
        one.put(association("/vms/1/disk"))
        assert other.get("/vms/1/disk") == Success(association("/vms/1/disk"))
        other.put(association("/vms/1/disk", "rbd"))
        assert one.get("/vms/1/disk") == Success(association("/vms/1/disk", "rbd"))
        one.remove("/vms/1/disk")
        assert other.get("/vms/1/disk") == Success(None)

    def test_what_was_removed_stays_forgotten(
        self, kept: AssociationStore, open_store: Callable[[], AssociationStore]
    ) -> None:
        kept.remove("/vms/1/disk")
        assert open_store().get("/vms/1/disk") == Success(None)
