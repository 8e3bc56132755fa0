"""Partial data that a handler keeps is resumed, or removed, and the journal has its notes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.reference import RecordingCatalog
from tests.strategies import LANDED_AT, TARGET
from tests.unit.recovery.host import (
    BARE,
    ELSEWHERE,
    FETCHING,
    KEEPING,
    MOVING,
    NOBLE,
    PLAIN,
    RECORDED,
    REQUEST,
    VERBS,
    WHOLE,
    CarefulPool,
    Host,
    Pool,
    answers,
    away,
    broke_off,
    nothing_kept,
    raises,
)

from lading import (
    Association,
    CatalogUnavailable,
    Context,
    Image,
    Landing,
    NoHandlerAvailable,
    NotAssociated,
    Refusal,
    Unavailable,
    Work,
)
from lading.domain.handler import PartialData
from lading.ports.failures import CatalogFailure
from lading.ports.journal import Journal


class AwayCatalog:
    """Can't be asked."""

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return Failure(CatalogUnavailable("HTTP 503"))

    def locations(self, image: Image, context: Context) -> Any:  # noqa: ANN401 - it is never asked
        raise AssertionError


def noting(journal: Journal, answer: Refusal, **notes: object) -> Callable[[Work], Result[Landing, Refusal]]:
    """A fetch that notes how far it came, and then refuses."""

    def fetch(work: Work) -> Result[Landing, Refusal]:
        journal.note(work.target, notes)
        return Failure(answer)

    return fetch


# What is kept.


def test_partial_data_stays_in_the_journal_with_its_notes(host: Host) -> None:
    pool = CarefulPool(fetches=noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    failure = host.dispatcher(pool).fetch(REQUEST).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert failure.attempts[-1].refusal == KEEPING
    assert host.under_way == [replace(FETCHING, notes={"part": 5})]


def test_the_journal_names_the_handler_that_keeps_partial_data(host: Host) -> None:
    keeper = CarefulPool("keeper", noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    other = Pool("other", noting(host.journal, Unavailable("no"), other=1))
    host.dispatcher(keeper, other).fetch(REQUEST)
    assert host.under_way == [replace(FETCHING, handler="keeper", notes={"part": 5})]
    assert (keeper.verbs, keeper.kept, other.verbs) == (["fetch", "recover"], [True], ["fetch"])


def test_the_next_attempts_get_the_notes_of_partial_data(host: Host) -> None:
    keeper = CarefulPool("keeper", noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    other = Pool("other", away)
    dispatcher = host.dispatcher(keeper, other)
    for _ in range(2):
        dispatcher.fetch(REQUEST)
    notes = [(pool.name, work.intent and work.intent.notes) for pool in (keeper, other) for _, work in pool.asked]
    part = {"part": 5}
    assert notes == [
        ("keeper", {}), ("keeper", part), ("keeper", part), ("keeper", part), ("keeper", part),
        ("other", part), ("other", part),
    ]  # fmt: skip
    assert keeper.verbs == ["fetch", "recover", "recover", "fetch", "recover"]


def test_a_fetch_does_not_get_the_notes_of_a_move(host: Host) -> None:
    moving = replace(MOVING, notes={"moving": 1})
    pool = CarefulPool()
    host.cut_off(moving).dispatcher(pool).fetch(REQUEST).unwrap()
    assert [work.intent for verb, work in pool.asked if verb == "fetch"] == [FETCHING]


# What can't be acted on is forgotten.


@pytest.mark.parametrize("verb", ["remove", "move"])
def test_partial_data_stays_where_nothing_is_recorded(host: Host, verb: str) -> None:
    pool = CarefulPool(recovers=answers(PartialData(5)))
    failure = VERBS[verb](host.cut_off(FETCHING).dispatcher(pool)).failure()
    assert isinstance(failure, NotAssociated)
    assert (pool.kept, host.under_way) == ([True], [FETCHING])


@pytest.mark.parametrize("verb", ["remove", "move"])
def test_a_removal_and_a_move_drop_partial_data(host: Host, verb: str) -> None:
    pool = CarefulPool(recovers=nothing_kept)
    VERBS[verb](host.recorded(RECORDED).cut_off(FETCHING).dispatcher(pool)).unwrap()
    assert (pool.kept, host.under_way) == ([False], [])


def test_after_another_handlers_success_the_keeper_drops_its_data(host: Host) -> None:
    keeper = CarefulPool("keeper", noting(host.journal, KEEPING, part=5))
    host.dispatcher(keeper, Pool("other")).fetch(REQUEST).unwrap()
    assert (keeper.verbs, keeper.kept) == (["fetch", "recover"], [False])
    assert keeper.asked[-1][1].intent == replace(FETCHING, handler="keeper", notes={"part": 5})
    assert host.under_way == []
    assert [each.handler for each in host.known] == ["other"]


def test_partial_data_that_cannot_be_dropped_is_no_failure(host: Host) -> None:
    keeper = CarefulPool("keeper", broke_off, recovers=raises)
    assert host.dispatcher(keeper, Pool("other")).fetch(REQUEST).unwrap().handler == "other"
    assert host.under_way == []


def test_a_success_of_the_keeper_itself_drops_nothing(host: Host) -> None:
    outcomes = iter([Failure(KEEPING), Success(WHOLE)])
    keeper = CarefulPool(fetches=lambda _: next(outcomes))
    host.catalog = RecordingCatalog([replace(NOBLE, locations=[PLAIN, PLAIN])], [])
    host.dispatcher(keeper).fetch(REQUEST).unwrap()
    assert keeper.verbs == ["fetch", "fetch"]
    assert host.under_way == []


def test_the_keeper_drops_its_data_when_the_image_is_present(host: Host) -> None:
    keeper = CarefulPool("keeper", answers(Landing(present=True)), recovers=answers(PartialData(5)))
    assert host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST).unwrap().landing.present
    assert (keeper.verbs, keeper.kept) == (["recover", "fetch", "recover"], [True, False])
    assert host.under_way == []


def test_a_handler_without_recovery_keeps_nothing(host: Host) -> None:
    pools = Pool("keeper", broke_off), Pool("other")
    host.dispatcher(*pools).fetch(REQUEST).unwrap()
    assert (pools[0].verbs, host.under_way) == (["fetch"], [])
    host.dispatcher(pools[0]).fetch(replace(REQUEST, target=ELSEWHERE))
    assert (pools[0].verbs, host.under_way) == (["fetch", "fetch"], [])


KEPT_EARLIER = replace(FETCHING, handler="keeper", notes={"part": 5})


def test_a_fetch_that_fails_keeps_what_an_earlier_one_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, recovers=answers(PartialData(5)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST)
    assert host.under_way == [KEPT_EARLIER]
    assert keeper.kept == [True, True]


def test_a_handler_without_recovery_keeps_what_another_one_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, schemes=None, recovers=answers(PartialData(5)))
    other = Pool("other", noting(host.journal, Unavailable("no"), other=1))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper, other).fetch(REQUEST)
    assert (keeper.verbs, other.verbs) == (["recover", "recover"], ["fetch"])
    assert host.under_way == [KEPT_EARLIER]


def test_a_catalog_failure_keeps_what_an_earlier_fetch_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", recovers=answers(PartialData(5)))
    host.catalog = AwayCatalog()
    failure = host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert (keeper.verbs, host.under_way) == (["recover"], [KEPT_EARLIER])


def test_a_catalog_failure_keeps_what_the_associated_attempt_kept(host: Host) -> None:
    pool = CarefulPool(fetches=noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    host.catalog = AwayCatalog()
    failure = host.recorded(RECORDED).dispatcher(pool).fetch(REQUEST).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert host.under_way == [replace(FETCHING, notes={"part": 5}, recorded=RECORDED)]


def test_a_success_of_another_handler_drops_what_an_earlier_fetch_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, schemes=None, recovers=answers(PartialData(5)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper, Pool()).fetch(REQUEST).unwrap()
    assert (keeper.verbs, keeper.kept) == (["recover", "recover"], [True, False])
    assert host.under_way == []


def test_partial_data_that_is_gone_leaves_the_journal(host: Host) -> None:
    left = iter([PartialData(5), PartialData(0)])
    keeper = CarefulPool("keeper", away, recovers=lambda _: Success(next(left)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST)
    assert host.under_way == []


def test_a_fetch_leaves_partial_data_of_the_other_end_of_a_move(host: Host) -> None:
    kept = replace(KEPT_EARLIER, target=ELSEWHERE)
    keeper = CarefulPool("keeper", away, recovers=answers(PartialData(5)))
    mover = CarefulPool("mover", away, schemes=None)
    host.recorded(RECORDED).cut_off(replace(MOVING, handler="mover"), kept).dispatcher(keeper, mover).fetch(REQUEST)
    assert kept in host.under_way


def test_the_last_attempt_is_recovered_as_after_a_crash(host: Host) -> None:
    pool = CarefulPool(fetches=away, recovers=answers(WHOLE))
    assert isinstance(host.dispatcher(pool).fetch(REQUEST).failure(), NoHandlerAvailable)
    assert pool.verbs == ["fetch", "recover"]
    assert host.known == [WHOLE.recorded_in(Association(TARGET, "pool", BARE, PLAIN, LANDED_AT))]
    assert host.under_way == []


def test_an_operation_settled_meanwhile_is_not_recovered(host: Host) -> None:
    def settle(work: Work) -> Result[Landing, Refusal]:
        host.journal.settle(work.target)
        return away()

    pool = CarefulPool(fetches=settle)
    host.dispatcher(pool).fetch(REQUEST)
    assert (pool.verbs, host.under_way) == (["fetch"], [])
