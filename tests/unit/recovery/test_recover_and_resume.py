"""Which operations are recovered, what is allowed then, and fetches that are resumed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Result, Success
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    CHANGING,
    ELSEWHERE,
    FETCHING,
    GUARD,
    MOVING,
    RECORDED,
    REMOVING,
    REQUEST,
    WHOLE,
    CarefulPool,
    Host,
    Pool,
    answers,
    away,
    interrupted,
    is_free,
)

from lading import Dispatcher
from lading.domain.handler import PartialData
from lading.domain.recovery import Outcome, Recovered
from lading.ports.journal import Intent, Verb
from lading.ports.observer import NullObserver

# What is allowed with what is in use.


ALLOWED: dict[str, Callable[[Dispatcher], Result[Any, Any]]] = {
    "fetch": lambda each: each.fetch(replace(REQUEST, force=True, even_if_in_use=True)),
    "remove": lambda each: each.remove(TARGET, even_if_in_use=True),
    "move": lambda each: each.move(TARGET, ELSEWHERE, even_if_in_use=True),
}


@pytest.mark.parametrize("verb", CHANGING)
def test_what_is_allowed_is_in_the_journal_and_the_handler_knows(host: Host, verb: str) -> None:
    pool = Pool("pool", interrupted, interrupted, interrupted)
    with pytest.raises(KeyboardInterrupt):
        ALLOWED[verb](host.recorded(RECORDED).dispatcher(pool))
    assert [each.even_if_in_use for each in host.under_way] == [True]
    assert [work.even_if_in_use for _, work in pool.asked] == [True]


@pytest.mark.parametrize(("intent", "allowed"), [(FETCHING, True), (MOVING, True), (REMOVING, False)])
def test_recovery_allows_what_was_allowed_except_for_a_removal(host: Host, intent: Intent, *, allowed: bool) -> None:
    """Another program may have locked what came after the removal."""
    pool = CarefulPool()
    list(host.recorded(RECORDED).cut_off(replace(intent, even_if_in_use=True)).dispatcher(pool).recover())
    assert [work.even_if_in_use for _, work in pool.asked] == [allowed]


# Resuming what is kept.


def test_a_resumed_fetch_allows_what_the_interrupted_one_did(host: Host) -> None:
    kept = replace(FETCHING, force=True, even_if_in_use=True, notes={"part": 5})
    pool = CarefulPool(fetches=answers(replace(WHOLE, resumed=5)), recovers=answers(PartialData(5)))
    dispatcher, observer = host.cut_off(kept).dispatcher(pool), NullObserver()
    [found] = dispatcher.recover()
    assert found.is_open
    resumed = dispatcher.resume(found, observer)
    assert resumed == Recovered(kept, Outcome.FINISHED, kept=5)
    assert not resumed.is_open
    verb, work = pool.asked[-1]
    assert (verb, work.force, work.even_if_in_use, work.observer is observer) == ("fetch", True, True, True)
    assert host.under_way == []


def test_a_fetch_that_cannot_be_resumed_leaves_no_partial_data(host: Host) -> None:
    pool = CarefulPool(fetches=away, recovers=lambda _: Success(PartialData(5 * pool.kept[-1])))
    dispatcher = host.cut_off(FETCHING).dispatcher(pool)
    [found] = dispatcher.recover()
    resumed = dispatcher.resume(found)
    assert (resumed.outcome, pool.kept[-1], host.under_way) == (Outcome.UNDONE, False, [])
    assert "the pool is away" in (resumed.reason or "")


def test_a_resumed_fetch_that_had_nothing_left_is_undone(host: Host) -> None:
    pool = CarefulPool(fetches=away)
    resumed = host.dispatcher(pool).resume(Recovered(replace(FETCHING, image=None), Outcome.KEPT, kept=5))
    assert resumed.outcome is Outcome.UNDONE
    assert "a request that names no image" in (resumed.reason or "")


# Which are recovered.


def test_all_interrupted_operations_are_recovered_by_target(host: Host) -> None:
    cut = [replace(FETCHING, target=f"/vms/{number}/disk") for number in range(3)]
    assert [each.intent for each in host.cut_off(*reversed(cut)).dispatcher(CarefulPool()).recover()] == cut


def test_one_target_may_be_recovered_alone(host: Host) -> None:
    others = replace(FETCHING, target=ELSEWHERE)
    pool = CarefulPool()
    assert len(list(host.cut_off(FETCHING, others).dispatcher(pool).recover(TARGET, keep=False))) == 1
    assert host.under_way == [others]


@pytest.mark.parametrize("busy", [TARGET, ELSEWHERE])
def test_an_operation_in_progress_is_left_to_its_process(host: Host, elsewhere: ThreadPoolExecutor, busy: str) -> None:
    pool = CarefulPool()
    dispatcher = host.cut_off(MOVING).dispatcher(pool)
    with host.locks.hold(f"target {busy}"):
        assert elsewhere.submit(list, dispatcher.recover()).result(GUARD) == [Recovered(MOVING, Outcome.UNDER_WAY)]
    assert (pool.asked, host.under_way) == ([], [MOVING])


def test_no_lock_is_held_after_an_operation_in_progress_is_told(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    with host.locks.hold(f"target {ELSEWHERE}"):
        recovering = host.cut_off(MOVING).dispatcher(CarefulPool()).recover()
        assert elsewhere.submit(next, recovering).result(GUARD).outcome is Outcome.UNDER_WAY
        assert is_free(host.locks, TARGET)


def test_an_operation_that_ended_meanwhile_is_not_recovered(host: Host) -> None:
    others = replace(FETCHING, target=ELSEWHERE)
    pool = CarefulPool()
    recovering = host.cut_off(FETCHING, others).dispatcher(pool).recover()
    assert next(recovering).intent == FETCHING
    host.journal.settle(ELSEWHERE)
    assert list(recovering) == []
    assert pool.verbs == ["recover"]


def test_an_operation_begun_meanwhile_is_recovered_if_it_is_locked(host: Host) -> None:
    others = replace(FETCHING, target="/vms/3/disk")
    for now, seen in [(replace(others, verb=Verb.REMOVE), 1), (replace(MOVING, target="/vms/3/disk"), 0)]:
        pool = CarefulPool()
        recovering = host.cut_off(FETCHING, others).dispatcher(pool).recover()
        next(recovering)
        host.cut_off(now)
        assert len(list(recovering)) == seen
