"""Who is interrupted, or leaves its attempts early, leaves the last attempt to recovery."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_stores import breaking
from tests.reference import RecordingCatalog
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    CHANGING,
    ELSEWHERE,
    FETCHING,
    GUARD,
    KEEPING,
    NOBLE,
    RECORDED,
    REQUEST,
    VERBS,
    CarefulPool,
    Host,
    Pool,
    answers,
    broke_off,
    interrupted,
    is_free,
)

from lading import Association, Dispatcher, Landing, Refusal, StoreUnavailable, Unavailable
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.domain.handler import PartialData
from lading.domain.recovery import Outcome


class InterruptedStore(MemoryAssociations):
    """Records, or does not, and is interrupted before it can say so."""

    def __init__(self, *, records: bool) -> None:
        super().__init__()
        self._records = records

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        if self._records:
            super().put(association)
        raise KeyboardInterrupt


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("pool", [Pool(), CarefulPool(recovers=answers(Landing()))])
def test_an_interrupt_never_removes_what_is_recorded(pool: Pool, *, records: bool) -> None:
    pool = replace(pool, asked=[])
    host = Host(InterruptedStore(records=records))
    dispatcher = host.dispatcher(pool)
    with pytest.raises(KeyboardInterrupt):
        dispatcher.fetch(REQUEST)
    assert (pool.verbs, len(host.known), len(host.under_way)) == (["fetch"], records, 1)


@pytest.mark.parametrize("records", [True, False])
def test_without_a_journal_an_interrupt_removes_what_is_not_recorded(*, records: bool) -> None:
    pool, associations = Pool(), InterruptedStore(records=records)
    dispatcher = Dispatcher([pool], RecordingCatalog([NOBLE], []), associations)
    with pytest.raises(KeyboardInterrupt):
        dispatcher.fetch(REQUEST)
    assert pool.verbs == ["fetch", *["remove"] * (not records)]


@pytest.mark.parametrize("verb", CHANGING)
def test_an_interrupt_leaves_the_operation_in_the_journal_and_no_lock(
    host: Host, elsewhere: ThreadPoolExecutor, verb: str
) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(Pool("pool", interrupted, interrupted, interrupted))
    with pytest.raises(KeyboardInterrupt):
        VERBS[verb](dispatcher)
    assert [(each.target, each.verb) for each in host.under_way] == [(TARGET, verb)]
    for target in (TARGET, ELSEWHERE):
        assert elsewhere.submit(is_free, host.locks, target).result(GUARD)


@pytest.mark.parametrize("leave", ["close", "drop"])
@pytest.mark.parametrize("outcome", [Success(Landing()), Success(None), Failure(Unavailable("no"))])
def test_an_attempt_settled_before_its_caller_leaves_is_settled(
    host: Host, elsewhere: ThreadPoolExecutor, leave: str, outcome: Result[Landing | None, Refusal]
) -> None:
    attempts: Any = host.dispatcher(Pool("first"), Pool("second")).attempts(REQUEST)
    next(attempts).settle(outcome)
    if leave == "close":
        attempts.close()
    del attempts
    assert host.under_way == []
    assert len(host.known) == (outcome == Success(Landing()))
    assert elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)


def test_partial_data_of_a_settled_refusal_stays_when_its_caller_leaves(host: Host) -> None:
    keeper = CarefulPool(recovers=answers(PartialData(5)))
    for attempt in host.dispatcher(keeper).attempts(REQUEST):
        host.journal.note(TARGET, {"part": 5})
        attempt.settle(broke_off())
        break
    assert host.under_way == [replace(FETCHING, notes={"part": 5})]


@pytest.mark.parametrize("outcome", [Success(None), Failure(KEEPING)])
def test_a_journal_that_fails_when_the_caller_leaves_is_a_warning(
    caplog: pytest.LogCaptureFixture, outcome: Result[Landing | None, Refusal]
) -> None:
    # Read when it begins, before it is written down, and when something is kept.
    broken = breaking(MemoryJournal(), *(("pending", 3) if isinstance(outcome, Failure) else ("settle", 1)))
    host = Host(journal=broken)
    attempts: Any = host.dispatcher(CarefulPool()).attempts(REQUEST)
    next(attempts).settle(outcome)
    attempts.close()
    assert [each for each in caplog.messages if each.endswith("the disk is full")] == caplog.messages[-1:]
    assert len(host.under_way) == 1


def test_attempts_left_early_leave_the_last_one_to_recovery(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    attempts = host.dispatcher(Pool("first"), Pool("second")).attempts(REQUEST)
    assert [next(attempts).handler.name for _ in range(2)] == ["first", "second"]
    assert not elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    attempts.close()
    assert host.under_way == [replace(FETCHING, handler="second")]
    assert elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    assert [each.outcome for each in host.dispatcher(Pool("second")).recover()] == [Outcome.UNDONE]


def test_attempts_that_nobody_starts_write_nothing(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    attempts = host.dispatcher(Pool()).attempts(REQUEST)
    assert host.under_way == []
    assert elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    del attempts
