"""A target is verified by the handler that fetched it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_stores import told
from tests.strategies import LANDED_AT, TARGET
from tests.unit.recovery.host import (
    BARE,
    ELSEWHERE,
    PLAIN,
    PRINT,
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
    Association,
    Check,
    Context,
    HandlerNotLoaded,
    HandlerRefused,
    Landing,
    Mismatched,
    NotAssociated,
    NullObserver,
    Refusal,
    Report,
    State,
    StoreUnavailable,
    Unsupported,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations


def test_an_intact_target_is_recorded_as_such(host: Host) -> None:
    recorded = WHOLE.recorded_in(RECORDED)
    pool, caller, observer = CarefulPool(verifies=answers(WHOLE)), Context("u"), NullObserver()
    checked = replace(recorded, checked=Check(State.INTACT, LANDED_AT))
    found = host.recorded(recorded).dispatcher(pool).verify(f" {TARGET}\n", caller, observer=observer)
    assert found == Success(checked)
    assert pool.asked[0][1].observer is observer
    assert pool.asked == [("verify", Work(TARGET, BARE, PLAIN, caller, recorded))]
    assert host.known == [checked]


def test_verification_records_what_it_finds(host: Host) -> None:
    pool = CarefulPool(verifies=answers(WHOLE))
    expected = replace(WHOLE.recorded_in(RECORDED), checked=Check(State.INTACT, LANDED_AT))
    assert host.recorded(RECORDED).dispatcher(pool).verify(TARGET) == Success(expected)
    assert host.known == [expected]


def test_without_a_digest_no_target_is_called_intact() -> None:
    events: list[str] = []
    host = Host(told(MemoryAssociations(), events)).recorded(RECORDED)
    events.clear()
    landing = Landing("clone", 10)
    assert host.dispatcher(CarefulPool(verifies=answers(landing))).verify(TARGET) == Success(RECORDED)
    assert "put" not in events


@pytest.mark.parametrize("state", [State.CHANGED, State.MISSING])
def test_a_changed_or_missing_target_keeps_its_record_and_gets_a_check(host: Host, state: State) -> None:
    recorded = replace(RECORDED, fingerprint=PRINT)
    pool = CarefulPool(verifies=lambda _: Failure(Mismatched("it differs")))
    dispatcher = host.recorded(recorded).dispatcher(pool, files=Files(state))
    failure = dispatcher.verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.state is state
    assert host.known == [replace(recorded, checked=Check(state, LANDED_AT))]


def test_a_later_verification_replaces_the_check(host: Host) -> None:
    recorded = replace(RECORDED, checked=Check(State.CHANGED, LANDED_AT))
    checked = host.recorded(recorded).dispatcher(CarefulPool(verifies=answers(WHOLE))).verify(TARGET).unwrap()
    assert checked.checked == Check(State.INTACT, LANDED_AT)


def test_a_changed_target_is_reported_though_the_store_fails(caplog: pytest.LogCaptureFixture) -> None:
    class ReadOnly(MemoryAssociations):
        def put(self, association: Association) -> Result[None, StoreUnavailable]:
            if association.checked is None:
                return super().put(association)
            return Failure(StoreUnavailable("the disk is full"))

    host = Host(ReadOnly()).recorded(RECORDED)
    failure = (
        host.dispatcher(CarefulPool(verifies=lambda _: Failure(Mismatched("it differs")))).verify(TARGET).failure()
    )
    assert isinstance(failure, HandlerRefused)
    assert failure.state is State.CHANGED
    assert f"{TARGET} is changed, but that cannot be recorded: the disk is full" in caplog.text
    assert host.known == [RECORDED]


class Files:
    """Reports the state of files."""

    def __init__(self, state: State) -> None:
        self._state = state

    def report(self, work: Work) -> Result[Report, Refusal]:
        return Success(Report(self._state))


@pytest.mark.parametrize(
    ("verifies", "reason"),
    [(lambda _: Failure(Mismatched("its digest differs")), "its digest differs"), (raises, RAISED)],
)
def test_a_target_that_fails_verification_stays_recorded(
    host: Host, verifies: Callable[[Work], Result[Landing, Refusal]], reason: str
) -> None:
    failure = host.recorded(RECORDED).dispatcher(CarefulPool(verifies=verifies)).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.refusal.reason == reason
    assert [replace(each, checked=None) for each in host.known] == [RECORDED]


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
