"""A target is verified by the handler that fetched it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_stores import told
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    BARE,
    ELSEWHERE,
    PLAIN,
    RAISED,
    RECORDED,
    WHOLE,
    CarefulPool,
    Host,
    Pool,
    answers,
    raises,
)

from lading import (
    Context,
    HandlerNotLoaded,
    HandlerRefused,
    Landing,
    Mismatched,
    NotAssociated,
    Refusal,
    Unsupported,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations


def test_an_intact_target_is_given_as_it_is_recorded(host: Host) -> None:
    recorded = WHOLE.recorded_in(RECORDED)
    events: list[str] = []
    host = Host(told(MemoryAssociations(), events)).recorded(recorded)
    events.clear()
    pool, caller = CarefulPool(verifies=answers(WHOLE)), Context("u")
    assert host.dispatcher(pool).verify(f" {TARGET}\n", caller) == Success(recorded)
    assert pool.asked == [("verify", Work(TARGET, BARE, PLAIN, caller, recorded))]
    assert "put" not in events


def test_verification_records_what_it_finds(host: Host) -> None:
    pool = CarefulPool(verifies=answers(WHOLE))
    expected = WHOLE.recorded_in(RECORDED)
    assert host.recorded(RECORDED).dispatcher(pool).verify(TARGET) == Success(expected)
    assert host.known == [expected]


@pytest.mark.parametrize(
    ("verifies", "reason"),
    [(lambda _: Failure(Mismatched("its digest differs")), "its digest differs"), (raises, RAISED)],
)
def test_a_target_that_fails_verification_stays_recorded(
    host: Host, verifies: Callable[[Work], Result[Landing, Refusal]], reason: str
) -> None:
    failure = host.recorded(RECORDED).dispatcher(CarefulPool(verifies=verifies)).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert (failure.refusal.reason, host.known) == (reason, [RECORDED])


def test_a_handler_that_cannot_verify_is_told_so(host: Host) -> None:
    failure = host.recorded(RECORDED).dispatcher(Pool()).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.refusal == Unsupported("this handler cannot verify targets")


@pytest.mark.parametrize("target", [ELSEWHERE, "", " "])
def test_an_unrecorded_target_cannot_be_verified(host: Host, target: str) -> None:
    assert isinstance(host.recorded(RECORDED).dispatcher(CarefulPool()).verify(target).failure(), NotAssociated)


def test_a_target_of_an_unloaded_handler_cannot_be_verified(host: Host) -> None:
    host.recorded(replace(RECORDED, handler="vanished"))
    assert isinstance(host.dispatcher(CarefulPool()).verify(TARGET).failure(), HandlerNotLoaded)
