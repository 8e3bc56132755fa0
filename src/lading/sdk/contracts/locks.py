"""The contract of Locks, as tests: a subclass gives the locks.

Nothing here waits for a time to pass: events tell. The time limits only keep a fault from hanging the tests.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from lading.ports.locks import Locks

__all__ = ["LocksContract", "SharedLocksContract"]

GUARD: Final = 30.0
"""Seconds after which something hangs."""
NAMES: Final = (
    "target /vms/1/disk", "target ../../etc/passwd", "nul\0byte", "new\nline", "x" * 5000, "", ".", "\N{SNOWMAN}",
    os.fsdecode(b"target /vms/\xff\xfe"), "\ud83d\ude00",
)  # fmt: skip


def is_free(locks: Locks, name: str = "target /vms/1/disk") -> bool:
    """Whether it can be had without waiting."""
    with locks.hold(name, wait=False) as held:
        return held


class LocksContract:
    """What all locks do."""

    @pytest.fixture
    def locks(self) -> Locks:
        """Locks that nobody holds, for each test."""
        raise NotImplementedError

    @pytest.fixture
    def elsewhere(self) -> Iterator[ThreadPoolExecutor]:
        """Another thread."""
        with ThreadPoolExecutor(1) as thread:
            yield thread

    def test_a_holder_is_told_that_it_holds_the_lock(self, locks: Locks) -> None:
        with locks.hold("a") as held:
            assert held
        with locks.hold("a", wait=False) as held:
            assert held

    def test_a_lock_of_one_thread_excludes_the_others(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        with locks.hold("a"):
            assert not elsewhere.submit(is_free, locks, "a").result(GUARD)
        assert elsewhere.submit(is_free, locks, "a").result(GUARD)

    def test_a_failed_attempt_releases_nothing(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        with locks.hold("a"):
            for _ in range(3):
                assert not elsewhere.submit(is_free, locks, "a").result(GUARD)

    def test_a_thread_that_holds_a_name_may_take_it_again(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        with locks.hold("a"):
            with locks.hold("a") as again, locks.hold("a", wait=False) as once_more:
                assert again
                assert once_more
            assert not elsewhere.submit(is_free, locks, "a").result(GUARD)
        assert elsewhere.submit(is_free, locks, "a").result(GUARD)

    @pytest.mark.parametrize("other", ["b", "A", "", "a ", "image a"])
    def test_different_names_do_not_exclude_each_other(
        self, locks: Locks, elsewhere: ThreadPoolExecutor, other: str
    ) -> None:
        with locks.hold("a"):
            assert elsewhere.submit(is_free, locks, other).result(GUARD)

    def test_an_exception_in_the_block_releases_the_lock(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        with pytest.raises(KeyboardInterrupt), locks.hold("a"), locks.hold("a"):
            raise KeyboardInterrupt
        assert elsewhere.submit(is_free, locks, "a").result(GUARD)

    def test_no_lock_is_held_before_the_block_begins(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        about_to = locks.hold("a")
        assert elsewhere.submit(is_free, locks, "a").result(GUARD)
        with about_to:
            assert not elsewhere.submit(is_free, locks, "a").result(GUARD)

    def test_a_waiter_gets_the_lock_after_its_release(self, locks: Locks, elsewhere: ThreadPoolExecutor) -> None:
        order: list[str] = []
        about_to = threading.Event()

        def wait() -> bool:
            about_to.set()
            with locks.hold("a") as held:
                order.append("waited")
                return held

        with locks.hold("a"):
            waiting = elsewhere.submit(wait)
            assert about_to.wait(GUARD)
            order.append("let go")
        assert waiting.result(GUARD)
        assert order == ["let go", "waited"]

    def test_one_thread_at_a_time_holds_the_lock(self, locks: Locks) -> None:
        inside, most, together = [0], [0], threading.Barrier(8)

        def work(_: int) -> None:
            together.wait(GUARD)
            for _ in range(5):
                with locks.hold("a"):
                    inside[0] += 1
                    most.append(inside[0])
                    inside[0] -= 1

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8), timeout=GUARD))
        assert (max(most), len(most)) == (1, 41)

    def test_two_threads_that_take_two_locks_in_one_order_get_both(self, locks: Locks) -> None:
        together = threading.Barrier(2)

        def work(_: int) -> int:
            together.wait(GUARD)
            for _ in range(10):
                with locks.hold("a"), locks.hold("b"):
                    pass
            return 10

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(work, range(2), timeout=GUARD)) == [10, 10]

    @pytest.mark.parametrize("name", NAMES, ids=[f"{name[:30]!a}" for name in NAMES])
    def test_a_name_may_be_any_text(self, locks: Locks, elsewhere: ThreadPoolExecutor, name: str) -> None:
        with locks.hold(name) as held:
            assert held
            assert not elsewhere.submit(is_free, locks, name).result(GUARD)
        assert elsewhere.submit(is_free, locks, name).result(GUARD)


class SharedLocksContract(LocksContract):
    """What locks do that several processes, or several adapters of one process, share."""

    @pytest.fixture
    def open_locks(self) -> Callable[[], Locks]:
        """Opens the same locks, once more each time."""
        raise NotImplementedError

    @pytest.fixture
    def locks(self, open_locks: Callable[[], Locks]) -> Locks:
        return open_locks()

    def test_two_openings_exclude_each_other(
        self, open_locks: Callable[[], Locks], elsewhere: ThreadPoolExecutor
    ) -> None:
        one, other = open_locks(), open_locks()
        with one.hold("a"):
            assert not elsewhere.submit(is_free, other, "a").result(GUARD)
            assert not is_free(other, "a")
        assert is_free(other, "a")
