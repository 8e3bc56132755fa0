"""An operation is in the journal before a handler is called, until it is recorded or refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Result, Success
from tests.faulty_stores import told
from tests.reference import RecordingCatalog
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    ELSEWHERE,
    FETCHING,
    MOVING,
    NOBLE,
    RECORDED,
    REMOVING,
    REQUEST,
    WHOLE,
    CarefulPool,
    Host,
    Pool,
    answers,
    answers_text,
    away,
    broke_off,
    landed,
    occupied,
    raises,
    removed,
)

from lading import (
    Dispatcher,
    FetchRequest,
    HandlerNotLoaded,
    HandlerRefused,
    Landing,
    Location,
    NotAssociated,
    Refusal,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.domain.recovery import Outcome
from lading.ports.journal import Intent, Verb

KEYED = Location("pool://user:word@gold/noble?sig=abc")


def test_a_fetch_is_in_the_journal_before_the_handler_is_called(host: Host) -> None:
    seen: list[Intent] = []

    def look(_: Work) -> Result[Landing, Refusal]:
        seen.extend(host.under_way)
        return landed()

    pool = Pool(fetches=look)
    host.dispatcher(pool).fetch(REQUEST).unwrap()
    assert seen == [FETCHING]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_each_attempt_replaces_the_one_before_in_the_journal(host: Host) -> None:
    seen: list[str] = []

    def look(_: Work) -> Result[Landing, Refusal]:
        seen.extend(each.handler for each in host.under_way)
        return away()

    host.dispatcher(Pool("first", look), Pool("second", look)).fetch(REQUEST)
    assert seen == ["first", "second"]
    assert host.under_way == []


def test_a_removal_is_in_the_journal_before_the_handler_is_called(host: Host) -> None:
    seen: list[Intent] = []

    def look(_: Work) -> Result[None, Refusal]:
        seen.extend(host.under_way)
        return removed()

    pool = Pool(removes=look)
    host.recorded(RECORDED).dispatcher(pool).remove(TARGET, force=True).unwrap()
    assert seen == [replace(REMOVING, force=True, recorded=RECORDED)]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_a_move_that_storage_did_not_answer_stays_in_the_journal(host: Host) -> None:
    lost = CarefulPool(moves=away, recovers=answers(WHOLE))
    dispatcher = host.recorded(RECORDED).dispatcher(lost)
    assert isinstance(dispatcher.move(TARGET, ELSEWHERE).failure(), HandlerRefused)
    assert [each.verb for each in host.under_way] == [Verb.MOVE]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert (host.under_way, host.associations.get(TARGET).unwrap()) == ([], None)
    assert host.associations.get(ELSEWHERE).unwrap() is not None


@pytest.mark.parametrize(
    "refused", [CarefulPool(moves=occupied), Pool(moves=away), CarefulPool(removes=away), CarefulPool(removes=occupied)]
)
def test_any_other_refusal_settles_the_operation(host: Host, refused: Pool) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(refused)
    dispatcher.move(TARGET, ELSEWHERE)
    dispatcher.remove(TARGET)
    dispatcher.remove(ELSEWHERE)
    assert host.under_way == []


def test_a_move_is_in_the_journal_before_the_handler_is_called(host: Host) -> None:
    seen: list[Intent] = []

    def look(*_: object) -> Result[Landing, Refusal]:
        seen.extend(host.under_way)
        return landed()

    pool = Pool(moves=look)
    host.recorded(RECORDED).dispatcher(pool).move(TARGET, ELSEWHERE).unwrap()
    assert seen == [replace(MOVING, recorded=RECORDED)]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_an_operation_is_settled_after_it_is_recorded() -> None:
    events: list[str] = []
    host = Host(told(MemoryAssociations(), events), told(MemoryJournal(), events))
    pool = told(Pool(), events)
    verbs: list[Callable[[], object]] = [
        lambda: host.dispatcher(pool).fetch(REQUEST).unwrap(),
        lambda: host.dispatcher(pool).move(TARGET, ELSEWHERE).unwrap(),
        lambda: host.dispatcher(pool).remove(ELSEWHERE).unwrap(),
    ]
    written = []
    for verb in verbs:
        events.clear()
        verb()
        written.append([event for event in events if event not in {"get", "pending"}])
    assert written == [
        ["begin", "fetch", "put", "settle"],
        ["begin", "move", "put", "remove", "settle"],
        ["begin", "remove", "remove", "settle"],
    ]


@pytest.mark.parametrize("answer", [answers(Landing(present=True)), landed, away, occupied, raises, answers_text])
def test_no_operation_is_open_after_any_answer_of_a_handler(host: Host, answer: Callable[..., Any]) -> None:
    pool = Pool(fetches=answer, moves=answer, removes=answer)
    host.dispatcher(pool).fetch(REQUEST)
    host.recorded(RECORDED).dispatcher(pool).move(TARGET, ELSEWHERE)
    host.dispatcher(pool).remove(ELSEWHERE)
    assert host.under_way == []


def test_a_success_without_a_landing_settles_the_operation(host: Host) -> None:
    for attempt in host.dispatcher(Pool()).attempts(REQUEST):
        assert len(host.under_way) == 1
        attempt.settle(Success(None))
    assert host.under_way == []


@pytest.mark.parametrize("answer", [landed, away])
def test_without_a_target_the_journal_is_not_used(answer: Callable[..., Any]) -> None:
    events: list[str] = []
    host = Host(journal=told(MemoryJournal(), events))
    pool = CarefulPool(fetches=answer)
    host.dispatcher(pool).fetch(FetchRequest("1"))
    assert (events, pool.verbs) == ([], ["fetch"])
    assert pool.asked[0][1].intent is None


@pytest.mark.parametrize("answer", [landed, broke_off])
def test_without_a_journal_a_handler_gets_no_intent(answer: Callable[..., Any]) -> None:
    pool = CarefulPool(fetches=answer)
    dispatcher = Dispatcher([pool], RecordingCatalog([NOBLE], []), MemoryAssociations())
    dispatcher.fetch(REQUEST)
    assert [(verb, work.intent) for verb, work in pool.asked] == [("fetch", None)]
    assert list(dispatcher.recover()) == []


def test_the_journal_has_no_credentials_but_the_handler_has(host: Host) -> None:
    seen: list[Location | None] = []

    def look(work: Work) -> Result[Landing, Refusal]:
        seen.extend([work.location, *(each.location for each in host.under_way)])
        seen.extend(place for each in host.under_way if each.image for place in each.image.locations)
        return landed()

    host.catalog = RecordingCatalog([replace(NOBLE, locations=[KEYED])], [])
    host.dispatcher(Pool(fetches=look)).fetch(REQUEST)
    assert seen == [KEYED, KEYED.redacted()]


def test_an_operation_on_an_unrecorded_target_writes_no_intent(host: Host) -> None:
    events: list[str] = []
    host.journal = told(host.journal, events)
    assert isinstance(host.dispatcher(Pool()).remove(TARGET).failure(), NotAssociated)
    assert isinstance(host.dispatcher(Pool()).move(TARGET, ELSEWHERE).failure(), NotAssociated)
    host.recorded(replace(RECORDED, handler="vanished"))
    assert isinstance(host.dispatcher(Pool()).remove(TARGET).failure(), HandlerNotLoaded)
    assert "begin" not in events
