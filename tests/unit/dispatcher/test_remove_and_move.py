"""A removal and a move go to the associated handler."""

from dataclasses import replace

import pytest
from returns.result import Failure, Success
from tests.strategies import TARGET
from tests.unit.dispatcher.pool import PLAIN, PRINT, RECORDED, FailingStore, Pool, dispatcher, store, unavailable

from lading import Context, HandlerNotLoaded, HandlerRefused, Landing, NotAssociated, TargetOccupied, Unsupported, Work


def test_the_associated_handler_removes_and_the_target_is_forgotten() -> None:
    pool, other, associations, caller = Pool(), Pool("other"), store(RECORDED), Context("u")
    assert dispatcher(other, pool, associations=associations).remove(f" {TARGET} ", caller) == Success(RECORDED)
    assert pool.asked == [("remove", Work(TARGET, RECORDED.image, PLAIN, caller, RECORDED))]
    assert (other.asked, list(associations.list())) == ([], [])


def test_a_forced_removal_is_forced_on_the_handler() -> None:
    pool = Pool()
    dispatcher(pool, associations=store(RECORDED)).remove(TARGET, force=True).unwrap()
    assert [work.force for _, work in pool.asked] == [True]


def test_a_move_keeps_the_record_except_for_the_fingerprint() -> None:
    pool, associations, caller = (
        Pool(moves=lambda *_: Success(Landing(fingerprint=PRINT))),
        store(RECORDED),
        Context("u"),
    )
    expected = replace(RECORDED, target="/vms/2/disk", fingerprint=PRINT)
    assert dispatcher(pool, associations=associations).move(TARGET, " /vms/2/disk\n", caller) == Success(expected)
    assert pool.asked == [("move", Work(TARGET, RECORDED.image, PLAIN, caller, RECORDED))]
    assert (pool.moved_to, list(associations.list())) == (["/vms/2/disk"], [expected])


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("", "the destination is blank"),
        (" \t", "the destination is blank"),
        (f" {TARGET}", "the destination is the source"),
    ],
)
def test_a_move_to_nowhere_or_to_itself_is_refused_before_any_call(destination: str, reason: str) -> None:
    pool, associations = Pool(), store(RECORDED)
    failure = dispatcher(pool, associations=associations).move(TARGET, destination).failure()
    assert isinstance(failure, HandlerRefused)
    assert (failure.refusal, pool.asked) == (Unsupported(reason), [])
    assert list(associations.list()) == [RECORDED]


def test_a_blank_target_is_not_looked_up_to_be_removed_or_moved() -> None:
    unread = dispatcher(Pool(), associations=FailingStore("get"))
    assert isinstance(unread.remove(" ").failure(), NotAssociated)
    assert isinstance(unread.move("", "/vms/2/disk").failure(), NotAssociated)


@pytest.mark.parametrize("target", ["/vms/9/disk", "", " \n"])
def test_an_unrecorded_target_is_neither_removed_nor_moved(target: str) -> None:
    pool = Pool()
    empty = dispatcher(pool)
    failures = [empty.remove(target).failure(), empty.move(target, "/vms/2/disk").failure()]
    assert [type(each) for each in failures] == [NotAssociated, NotAssociated]
    assert {str(each) for each in failures} == {f"nothing is recorded for {target.strip() or 'a blank target'}"}
    assert pool.asked == []


def test_a_target_of_an_unloaded_handler_is_neither_removed_nor_moved() -> None:
    associations = store(replace(RECORDED, handler="vanished"))
    lacking = dispatcher(Pool(), associations=associations)
    failures = [lacking.remove(TARGET).failure(), lacking.move(TARGET, "/vms/2/disk").failure()]
    assert [type(each) for each in failures] == [HandlerNotLoaded, HandlerNotLoaded]
    assert [each.target for each in associations.list()] == [TARGET]


def test_a_target_stays_associated_when_its_handler_refuses() -> None:
    occupied = TargetOccupied("something is there")
    pool, associations = Pool(removes=unavailable, moves=lambda *_: Failure(occupied)), store(RECORDED)
    refusing = dispatcher(pool, associations=associations)
    failures = [refusing.remove(TARGET).failure(), refusing.move(TARGET, "/vms/2/disk").failure()]
    assert [str(each) for each in failures] == [
        f"{TARGET}: pool: the pool is away",
        f"{TARGET}: pool: something is there",
    ]
    assert list(associations.list()) == [RECORDED]
