"""A store that fails: nothing stays that is not recorded."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from returns.result import Result, Success
from tests.reference import Event
from tests.strategies import TARGET
from tests.unit.dispatcher.pool import (
    RECORDED,
    REQUEST,
    FailingStore,
    Pool,
    dispatcher,
    moved,
    raises,
    store,
    unavailable,
)

from lading import Landing, Refusal, StoreUnavailable, Work


def interrupts(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_unreadable_store_fails_every_verb_before_any_call() -> None:
    pool, events, failing = Pool(), list[Event](), FailingStore("get")
    broken = dispatcher(pool, associations=failing, events=events)
    outcomes = broken.fetch(REQUEST), broken.remove(TARGET), broken.move(TARGET, "/vms/2/disk")
    assert [str(outcome.failure()) for outcome in outcomes] == ["the disk is full"] * 3
    assert (pool.asked, events) == ([], [])


def test_an_unrecordable_fetch_is_removed_and_ends_the_search() -> None:
    pool, other = Pool(), Pool("other")
    failure = dispatcher(pool, other, associations=FailingStore("put")).fetch(REQUEST).failure()
    assert isinstance(failure, StoreUnavailable)
    assert (pool.verbs, other.verbs) == (["fetch", "remove"], [])
    (_, fetching), (_, removing) = pool.asked
    assert replace(removing, association=None) == fetching


def test_a_fetch_that_cannot_be_recorded_is_removed_as_itself() -> None:
    pool = Pool(fetches=lambda _: Success(Landing(identity="new")))
    before = replace(RECORDED, target=TARGET, identity="old")
    outcome = dispatcher(pool, associations=FailingStore("put", before)).fetch(REQUEST)
    assert isinstance(outcome.failure(), StoreUnavailable)
    association = pool.asked[-1][1].association
    assert association is not None
    assert (pool.verbs[-1], association.identity) == ("remove", "new")


@pytest.mark.parametrize(
    ("removes", "reason"), [(unavailable, "the pool is away"), (raises, "raised OSError; the debug log has more")]
)
def test_a_fetch_neither_recorded_nor_undone_is_an_error_in_the_log(
    removes: Callable[[Work], Result[None, Refusal]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    failure = dispatcher(Pool(removes=removes), associations=FailingStore("put")).fetch(REQUEST).failure()
    assert isinstance(failure, StoreUnavailable)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", f"{TARGET} is there, but recorded nowhere: {reason}")
    ]


def test_a_replacement_that_cannot_be_recorded_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = Pool()
    failure = dispatcher(pool, associations=FailingStore("put")).fetch(replace(REQUEST, force=True)).failure()
    assert isinstance(failure, StoreUnavailable)
    assert pool.verbs == ["fetch"]
    assert caplog.messages == [f"{TARGET} is there, but recorded nowhere: it replaced what was there"]


def test_a_fetch_interrupted_while_it_is_recorded_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, interrupted = Pool(), store()
    monkeypatch.setattr(interrupted, "put", interrupts)
    with pytest.raises(KeyboardInterrupt):
        dispatcher(pool, associations=interrupted).fetch(REQUEST)
    assert pool.verbs == ["fetch", "remove"]


def test_a_removal_that_cannot_be_forgotten_can_be_repeated() -> None:
    pool, failing = Pool(), FailingStore("remove", RECORDED)
    outcomes = [dispatcher(pool, associations=failing).remove(TARGET).failure() for _ in range(2)]
    assert [type(each) for each in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert (pool.verbs, list(failing.list())) == (["remove", "remove"], [RECORDED])


def test_a_move_that_cannot_be_recorded_is_moved_back() -> None:
    pool, failing = Pool(), FailingStore("put", RECORDED)
    failure = dispatcher(pool, associations=failing).move(TARGET, "/vms/2/disk").failure()
    assert isinstance(failure, StoreUnavailable)
    assert [work.target for _, work in pool.asked] == [TARGET, "/vms/2/disk"]
    assert (pool.moved_to, list(failing.list())) == (["/vms/2/disk", TARGET], [RECORDED])


@pytest.mark.parametrize(
    ("moves_back", "reason"), [(unavailable, "the pool is away"), (raises, "raised OSError; the debug log has more")]
)
def test_a_move_neither_recorded_nor_undone_is_an_error_in_the_log(
    moves_back: Callable[..., Result[Landing, Refusal]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(moves=lambda work, to: moved(work, to) if work.target == TARGET else moves_back(work, to))
    failure = dispatcher(pool, associations=FailingStore("put", RECORDED)).move(TARGET, "/vms/2/disk").failure()
    assert isinstance(failure, StoreUnavailable)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", f"{TARGET} is at /vms/2/disk now, but recorded nowhere: {reason}")
    ]


def test_a_move_that_fails_to_forget_its_source_is_recorded() -> None:
    pool, failing = Pool(), FailingStore("remove", RECORDED)
    assert isinstance(dispatcher(pool, associations=failing).move(TARGET, "/vms/2/disk").failure(), StoreUnavailable)
    assert (pool.verbs, [each.target for each in failing.list()]) == (["move"], [TARGET, "/vms/2/disk"])
