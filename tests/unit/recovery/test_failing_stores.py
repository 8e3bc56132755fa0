"""A journal or a store that fails loses no operation: recovery finishes it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure, Success
from tests.faulty_stores import BROKEN, breaking
from tests.reference import RecordingCatalog
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    CHANGING,
    ELSEWHERE,
    FETCHING,
    LANDED,
    MOVING,
    NOBLE,
    PLAIN,
    RECORDED,
    REMOVING,
    REQUEST,
    THERE,
    VERBS,
    WHOLE,
    CarefulPool,
    Host,
    Pool,
    answers,
    answers_text,
    away,
    broke_off,
)

from lading import NoHandlerAvailable, StoreUnavailable, Unconfigured
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.domain.handler import PartialData
from lading.domain.recovery import Outcome
from lading.ports.journal import Intent


@pytest.mark.parametrize("verb", VERBS)
def test_an_unreadable_journal_fails_every_verb_before_any_call(verb: str) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "pending")).recorded(RECORDED), CarefulPool()
    assert VERBS[verb](host.dispatcher(pool)).failure() is BROKEN
    assert (pool.asked, host.known) == ([], [RECORDED])


@pytest.mark.parametrize("verb", CHANGING)
def test_nothing_begins_that_the_journal_cannot_write(verb: str) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "begin")).recorded(RECORDED), CarefulPool()
    assert VERBS[verb](host.dispatcher(pool)).failure() is BROKEN
    assert (pool.asked, host.known, host.under_way) == ([], [RECORDED], [])


def test_the_first_attempt_ends_when_the_second_cannot_be_written(host: Host) -> None:
    host.journal = breaking(MemoryJournal(), "begin", 2)
    first, second = CarefulPool("first", away), CarefulPool("second")
    assert host.dispatcher(first, second).fetch(REQUEST).failure() is BROKEN
    assert (first.verbs, second.asked, host.under_way) == (["fetch", "recover"], [], [])


def test_partial_data_stays_in_a_journal_that_cannot_be_read(host: Host) -> None:
    # Read when it begins, before it is written down, and when something is kept.
    host.journal = breaking(MemoryJournal(), "pending", 3)
    pool = CarefulPool(fetches=broke_off, recovers=answers(PartialData(5)))
    assert host.dispatcher(pool).fetch(REQUEST).failure() is BROKEN
    assert host.under_way == [FETCHING]


@pytest.mark.parametrize("verb", CHANGING)
def test_an_end_that_the_journal_cannot_write_is_a_warning(caplog: pytest.LogCaptureFixture, verb: str) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "settle")), CarefulPool(recovers=answers(WHOLE))
    dispatcher = host.recorded(RECORDED).dispatcher(pool)
    assert isinstance(VERBS[verb](dispatcher), Success)
    assert caplog.messages == [f"{TARGET}: the operation is done, but the journal cannot be updated: the disk is full"]
    assert [each.verb for each in host.under_way] == [verb]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert host.under_way == []


@pytest.mark.parametrize("refuses", [away, broke_off])
@pytest.mark.parametrize("verb", ["settle", "begin"])
def test_a_refusal_is_told_though_its_attempt_cannot_be_recovered(
    caplog: pytest.LogCaptureFixture, refuses: Callable[..., Any], verb: str
) -> None:
    host = Host(journal=breaking(MemoryJournal(), verb, 2 if verb == "begin" else 1))
    failure = host.dispatcher(CarefulPool(fetches=refuses)).fetch(REQUEST).failure()
    assert isinstance(failure, NoHandlerAvailable)
    has_begun_again = verb == "settle" or refuses is broke_off
    warned = [f"{TARGET}: the last attempt is not recovered yet: the disk is full"]
    assert [each for each in caplog.messages if "not recovered" in each] == warned * has_begun_again
    assert len(host.under_way) == has_begun_again


def test_a_fetch_that_cannot_be_recorded_stays_in_the_journal(host: Host) -> None:
    host = Host(breaking(MemoryAssociations(), "put"))
    pool = CarefulPool()
    assert host.dispatcher(pool).fetch(REQUEST).failure() is BROKEN
    assert (pool.verbs, host.under_way) == (["fetch", "remove"], [FETCHING])
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.UNDONE]
    assert (host.known, host.under_way) == ([], [])


def test_a_removal_stays_in_the_journal_until_it_is_recorded(host: Host) -> None:
    host = Host(breaking(MemoryAssociations(), "remove")).recorded(RECORDED)
    pool = Pool()
    assert host.dispatcher(pool).remove(TARGET).failure() is BROKEN
    assert host.under_way == [replace(REMOVING, recorded=RECORDED)]
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([], [])


@pytest.mark.parametrize(("verb", "nth"), [("put", 2), ("remove", 1)])
def test_a_move_stays_in_the_journal_until_it_is_recorded(verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED)
    pool = CarefulPool(recovers=answers(WHOLE))
    assert host.dispatcher(pool).move(TARGET, ELSEWHERE).failure() is BROKEN
    assert host.under_way == [replace(MOVING, recorded=RECORDED)]
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([THERE], [])


@pytest.mark.parametrize(("verb", "nth"), [("get", 1), ("put", 2)])
def test_verification_fails_with_a_store_that_fails(verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED)
    assert host.dispatcher(CarefulPool(verifies=answers(WHOLE))).verify(TARGET).failure() is BROKEN
    assert host.known == [RECORDED]


@pytest.mark.parametrize(
    ("intent", "verb", "nth"),
    [
        (FETCHING, "get", 1),
        (FETCHING, "put", 2),
        (MOVING, "get", 1),
        (MOVING, "put", 2),
        (MOVING, "remove", 1),
        (REMOVING, "get", 1),
        (REMOVING, "remove", 1),
    ],
)
def test_a_store_that_fails_during_recovery_loses_no_operation(intent: Intent, verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED).cut_off(intent)
    dispatcher = host.dispatcher(CarefulPool(recovers=answers(WHOLE)))
    with pytest.raises(StoreUnavailable):
        list(dispatcher.recover())
    assert host.under_way == [intent]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert host.under_way == []


@pytest.mark.parametrize("verb", ["pending", "settle"])
def test_a_journal_that_fails_during_recovery_loses_no_operation(verb: str) -> None:
    host = Host(journal=breaking(MemoryJournal(), verb)).cut_off(FETCHING)
    dispatcher = host.dispatcher(CarefulPool(recovers=answers(WHOLE)))
    with pytest.raises(StoreUnavailable):
        list(dispatcher.recover())
    assert host.under_way == [FETCHING]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([LANDED], [])


def test_recovery_fails_with_a_journal_that_cannot_be_listed(host: Host) -> None:
    class Unlisted(MemoryJournal):
        def list(self) -> Iterator[Intent]:
            raise BROKEN
            yield FETCHING

    host.journal = Unlisted()
    with pytest.raises(StoreUnavailable):
        next(host.dispatcher(Pool()).recover())
    assert host.dispatcher(Pool()).fetch(REQUEST).unwrap().handler == "pool"


def test_the_last_attempt_of_a_handler_that_is_ruled_out_is_recovered(host: Host) -> None:
    pools = CarefulPool("first", answers_text), CarefulPool("second", lambda _: Failure(Unconfigured("no key")))
    host.catalog = RecordingCatalog([replace(NOBLE, locations=[PLAIN, PLAIN])], [])
    host.dispatcher(*pools).fetch(REQUEST)
    assert [pool.verbs for pool in pools] == [["fetch"], ["fetch", "recover"]]
    assert host.under_way == []
