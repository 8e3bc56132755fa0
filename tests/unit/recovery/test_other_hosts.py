"""Operations on targets that several hosts share: a lock is lost, or another host was there before recovery."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from returns.result import Failure, Result
from tests.faulty_stores import BROKEN, through
from tests.strategies import LANDED_AT, TARGET
from tests.unit.recovery.host import (
    CHANGING,
    ELSEWHERE,
    FETCHING,
    LANDED,
    MOVING,
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
    away,
    landed,
    nothing_kept,
)

from lading import Association, Check, FetchRequest, Landing, LockLost, Refusal, State
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.domain.recovery import Outcome, Recovered

OTHERS = replace(RECORDED, landed_at=LANDED_AT + timedelta(seconds=1), identity="of another host")
REMOVED = replace(REMOVING, recorded=RECORDED)
MOVED = replace(MOVING, recorded=RECORDED)
CHANGED = "the record of the target has changed since: another host has worked on it"
LOST = LockLost("the lock is lost")


def recovered(host: Host, handler: Pool) -> Recovered:
    (found,) = host.dispatcher(handler).recover()
    assert host.under_way == []
    return found


@pytest.mark.parametrize("handler", [Pool(), CarefulPool()])
def test_recovery_never_removes_what_another_host_fetched(handler: Pool) -> None:
    host = Host().cut_off(REMOVED).recorded(OTHERS)
    assert recovered(host, handler) == Recovered(REMOVED, Outcome.UNDONE, CHANGED)
    assert (host.known, handler.asked) == ([OTHERS], [])


@pytest.mark.parametrize("checked", [None, Check(State.MISSING, LANDED_AT)])
def test_a_removal_is_finished_where_the_record_is_the_same(checked: Check | None) -> None:
    """Another host may have verified the target since."""
    host = Host().cut_off(REMOVED).recorded(replace(RECORDED, checked=checked))
    assert recovered(host, handler := Pool()) == Recovered(REMOVED, Outcome.FINISHED)
    assert (host.known, handler.verbs) == ([], ["remove"])


@pytest.mark.parametrize(("known", "is_kept", "why"), [(RECORDED, True, None), (OTHERS, False, CHANGED)])
def test_a_forced_fetch_is_not_resumed_over_what_another_host_fetched(
    known: Association, is_kept: bool, why: str | None
) -> None:
    forced = replace(FETCHING, force=True, recorded=RECORDED)
    host = Host().cut_off(forced).recorded(known)
    handler = CarefulPool()
    assert recovered(host, handler) == Recovered(forced, Outcome.UNDONE, why)
    assert (host.known, handler.kept) == ([known], [is_kept])


def test_a_move_is_recorded_without_the_record_of_another_host() -> None:
    """The file has moved, and another host has fetched to its old place since."""
    host = Host().cut_off(MOVED).recorded(OTHERS)
    handler = CarefulPool(recovers=answers(Landing(fingerprint=THERE.fingerprint)))
    assert recovered(host, handler) == Recovered(MOVED, Outcome.FINISHED)
    assert host.known == [OTHERS, THERE]


def test_a_move_whose_source_another_host_forgot_is_recorded() -> None:
    host = Host().cut_off(MOVED)
    handler = CarefulPool(recovers=answers(Landing(fingerprint=THERE.fingerprint)))
    assert recovered(host, handler) == Recovered(MOVED, Outcome.FINISHED)
    assert host.known == [THERE]


def test_a_move_that_did_not_begin_leaves_the_record_of_another_host() -> None:
    host = Host().cut_off(MOVED).recorded(OTHERS)
    assert recovered(host, CarefulPool(recovers=nothing_kept)).outcome is Outcome.UNDONE
    assert host.known == [OTHERS]


def test_a_plain_handler_moves_nothing_that_another_host_fetched() -> None:
    host = Host().cut_off(MOVED).recorded(OTHERS)
    assert recovered(host, handler := Pool()) == Recovered(MOVED, Outcome.UNDONE, CHANGED)
    assert (host.known, handler.asked) == ([OTHERS], [])


def test_a_move_that_was_recorded_is_finished() -> None:
    host = Host().cut_off(MOVED).recorded(THERE)
    assert recovered(host, handler := CarefulPool()) == Recovered(MOVED, Outcome.FINISHED)
    assert (host.known, handler.asked) == ([THERE], [])


# A lock that is lost during an operation.


def loses_lock(*_: object) -> Result[Any, Refusal]:
    raise LOST


def losing(real: Any, verb: str, nth: int = 1) -> Any:  # noqa: ANN401 - a store of any kind
    """A store whose nth call of the verb finds that the lock is lost."""
    calls = 0

    def by_way(called: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - see above
        nonlocal calls
        calls += called == verb
        return Failure(LOST) if called == verb and calls == nth else act()

    return through(real, by_way)


@pytest.mark.parametrize("verb", CHANGING)
def test_a_handler_that_finds_its_lock_lost_ends_the_operation(verb: str) -> None:
    host = Host().recorded(RECORDED)
    first = CarefulPool(fetches=loses_lock, removes=loses_lock, moves=loses_lock)
    second = CarefulPool("second")
    assert VERBS[verb](host.dispatcher(first, second)).failure() is LOST
    assert second.asked == []


def test_a_fetch_that_lost_its_lock_is_recovered_under_a_new_one() -> None:
    host = Host()
    handler = CarefulPool(fetches=loses_lock)
    assert host.dispatcher(handler).fetch(REQUEST).failure() is LOST
    assert (handler.verbs, handler.kept, host.under_way) == (["fetch", "recover"], [False], [])


@pytest.mark.parametrize("verb", CHANGING)
def test_a_lock_that_is_lost_before_the_first_step_leaves_nothing(verb: str) -> None:
    host = Host(journal=losing(MemoryJournal(), "begin")).recorded(RECORDED)
    handler = CarefulPool()
    assert VERBS[verb](host.dispatcher(handler)).failure() is LOST
    assert (handler.asked, host.known, host.under_way) == ([], [RECORDED], [])


def test_a_lock_that_is_lost_between_two_attempts_ends_the_fetch() -> None:
    host = Host(journal=losing(MemoryJournal(), "begin", 2))
    first, second = CarefulPool(fetches=away), CarefulPool("second")
    assert host.dispatcher(first, second).fetch(REQUEST).failure() is LOST
    assert (first.verbs, second.asked, host.under_way) == (["fetch", "recover"], [], [])


def test_a_fetch_that_lost_its_lock_before_the_record_is_removed() -> None:
    host = Host(losing(MemoryAssociations(), "put"))
    handler = CarefulPool()
    assert host.dispatcher(handler).fetch(REQUEST).failure() is LOST
    assert (handler.verbs, host.known, host.under_way) == (["fetch", "remove", "recover"], [], [])


def test_a_replacement_that_lost_its_lock_before_the_record_is_recorded() -> None:
    """What it replaced is gone, so recovery tells what is there now."""
    host = Host(losing(MemoryAssociations(), "put"))
    handler = CarefulPool(fetches=landed, recovers=answers(WHOLE))
    assert host.dispatcher(handler).fetch(FetchRequest("1", TARGET, force=True)).failure() is LOST
    assert handler.verbs == ["fetch", "recover"]
    assert [each.fingerprint for each in host.known] == [WHOLE.fingerprint]
    assert host.under_way == []


def test_a_move_that_lost_its_lock_before_the_record_is_finished_by_recovery() -> None:
    associations = MemoryAssociations()
    associations.put(RECORDED)
    host = Host(losing(associations, "put"))
    handler = CarefulPool(recovers=answers(Landing(fingerprint=THERE.fingerprint)))
    assert host.dispatcher(handler).move(TARGET, ELSEWHERE).failure() is LOST
    assert (handler.verbs, host.known, host.under_way) == (["move", "recover"], [THERE], [])


class Taken:
    """Locks that another process has whenever one does not wait for them."""

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return nullcontext(wait)


def test_an_operation_whose_new_lock_is_taken_stays_in_the_journal() -> None:
    host = Host(locks=Taken())
    assert host.dispatcher(CarefulPool(fetches=loses_lock)).fetch(REQUEST).failure() is LOST
    assert host.under_way == [FETCHING]


def test_a_store_that_is_away_leaves_the_operation_in_the_journal() -> None:
    journal = MemoryJournal()

    def is_away(verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the store answers
        return Failure(BROKEN) if verb == "get" and list(journal.list()) else act()

    host = Host(through(MemoryAssociations(), is_away), journal)
    assert host.dispatcher(CarefulPool(fetches=loses_lock)).fetch(REQUEST).failure() is LOST
    assert host.under_way == [FETCHING]


def test_a_fetch_that_was_recorded_before_its_end_keeps_its_time() -> None:
    earlier = replace(LANDED, landed_at=LANDED_AT - timedelta(days=1))
    host = Host().cut_off(FETCHING).recorded(earlier)
    assert recovered(host, CarefulPool(recovers=answers(WHOLE))).outcome is Outcome.FINISHED
    assert host.known == [earlier]
