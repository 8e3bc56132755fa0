"""Each operation holds the locks of its targets."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_stores import BROKEN
from tests.strategies import TARGET
from tests.unit.recovery.host import ELSEWHERE, GUARD, RECORDED, REMOVING, REQUEST, CarefulPool, Host, Pool, is_free

from lading import FetchRequest, Landing, Refusal, StoreUnavailable, Unavailable
from lading.adapters.memory.locks import MemoryLocks
from lading.ports.observer import NullObserver


class ToldLocks:
    """Locks that write down who asked for which name, in which order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        self.names.append(name)
        return nullcontext(enter_result=True)


@pytest.mark.parametrize(("source", "destination"), [(TARGET, ELSEWHERE), (ELSEWHERE, TARGET)])
def test_a_move_locks_both_ends_in_one_order(source: str, destination: str) -> None:
    locks = ToldLocks()
    host = Host(locks=locks).recorded(replace(RECORDED, target=source))
    host.dispatcher(Pool()).move(source, destination).unwrap()
    assert locks.names == [f"target {TARGET}", f"target {ELSEWHERE}"]


def test_a_verb_holds_the_locks_of_its_targets(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    free: list[bool] = []

    def look(*_: object) -> Result[Any, Refusal]:
        free.extend(elsewhere.submit(is_free, host.locks, each).result(GUARD) for each in (TARGET, ELSEWHERE))
        return Failure(Unavailable("only looking"))

    pool = CarefulPool("pool", look, look, look, verifies=look)
    dispatcher = host.recorded(RECORDED).dispatcher(pool)
    dispatcher.fetch(REQUEST)
    assert free == [False, True] * 2  # by association, and by location
    free.clear()
    for verb in (dispatcher.remove, dispatcher.verify):
        verb(TARGET)
    assert free == [False, True] * 2
    free.clear()
    dispatcher.move(TARGET, ELSEWHERE)
    assert free == [False, False]


def test_a_request_without_a_target_waits_for_no_lock(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    locks = ToldLocks()
    host.locks = locks
    host.dispatcher(Pool()).fetch(FetchRequest("1")).unwrap()
    assert locks.names == []


class Waiter(NullObserver):
    """An observer that wants to know whom it waits for."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self.reasons: list[str] = []
        self._told = told

    def waiting(self, reason: str) -> None:
        self.reasons.append(reason)
        self._told()


class NamedLocks(MemoryLocks):
    def holder(self, name: str) -> int | None:
        return 4242


@pytest.mark.parametrize(
    ("locks", "who"), [(MemoryLocks(), "another operation"), (NamedLocks(), "process 4242")], ids=["unnamed", "named"]
)
def test_a_fetch_says_which_process_it_waits_for(locks: MemoryLocks, who: str, elsewhere: ThreadPoolExecutor) -> None:
    host = Host(locks=locks)
    dispatcher, told = host.dispatcher(Pool()), Event()
    waiter = Waiter(told.set)
    for attempt in dispatcher.attempts(REQUEST):
        second = elsewhere.submit(dispatcher.fetch, replace(REQUEST, observer=waiter))
        assert told.wait(GUARD)
        attempt.settle(Success(Landing()))
    second.result(GUARD).unwrap()
    assert waiter.reasons == [f"{who}, which is at work on {TARGET}"]


def test_a_fetch_that_waits_for_nobody_says_nothing(host: Host) -> None:
    waiter = Waiter()
    for request in (REQUEST, FetchRequest("1")):
        host.dispatcher(Pool()).fetch(replace(request, observer=waiter)).unwrap()
    assert waiter.reasons == []


class BrokenLocks:
    @contextmanager
    def hold(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        raise BROKEN
        yield False


def test_unavailable_locks_fail_every_verb_before_any_call(host: Host) -> None:
    host.locks = BrokenLocks()
    pool = CarefulPool()
    dispatcher = host.recorded(RECORDED).cut_off(REMOVING).dispatcher(pool)
    outcomes = [
        dispatcher.fetch(REQUEST), dispatcher.remove(TARGET), dispatcher.move(TARGET, ELSEWHERE),
        dispatcher.verify(TARGET),
    ]  # fmt: skip
    assert [outcome.failure() for outcome in outcomes] == [BROKEN] * 4
    with pytest.raises(StoreUnavailable):
        next(dispatcher.recover())
    assert (pool.asked, host.under_way) == ([], [REMOVING])
