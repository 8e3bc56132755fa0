"""Nothing begins over an operation that cannot be recovered, and it can be given up."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from returns.result import Success
from tests.faulty_stores import BROKEN, breaking
from tests.strategies import TARGET
from tests.unit.recovery.host import (
    CHANGING,
    ELSEWHERE,
    FETCHING,
    GUARD,
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
)

from lading import Landing, NotAssociated, StoreUnavailable, TargetUnresolved
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.domain.recovery import Outcome, Recovered
from lading.ports.journal import Intent

# Nothing begins over what is unresolved.


VANISHED = "the handler 'vanished' is not loaded"


@pytest.mark.parametrize("verb", CHANGING)
@pytest.mark.parametrize("intent", [FETCHING, MOVING, replace(MOVING, target=ELSEWHERE, destination=TARGET), REMOVING])
def test_nothing_begins_over_an_unresolved_intent(host: Host, verb: str, intent: Intent) -> None:
    begun = replace(intent, handler="vanished", notes={"moving": 1})
    pool = CarefulPool(fetches=answers(Landing(present=True)))
    failure = VERBS[verb](host.recorded(RECORDED).cut_off(begun).dispatcher(pool)).failure()
    assert failure == TargetUnresolvedLike(begun)
    assert (pool.asked, host.under_way, host.known) == ([], [begun], [RECORDED])


class TargetUnresolvedLike:
    """What is equal to the failure that tells of this intent."""

    def __init__(self, intent: Intent) -> None:
        self._told = (intent.target, intent.verb, intent.destination, VANISHED)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TargetUnresolved) and other.args == self._told

    def __hash__(self) -> int:
        return hash(self._told)


def test_nothing_is_moved_to_an_unresolved_target(host: Host) -> None:
    begun = replace(FETCHING, target=ELSEWHERE, handler="vanished")
    pool = Pool()
    failure = host.recorded(RECORDED).cut_off(begun).dispatcher(pool).move(TARGET, ELSEWHERE).failure()
    assert str(failure) == f"nothing was begun: the interrupted fetch of {ELSEWHERE} is unresolved: {VANISHED}"
    assert (pool.asked, host.under_way) == ([], [begun])


def test_an_unresolved_move_is_named_with_both_its_ends(host: Host) -> None:
    failure = host.cut_off(replace(MOVING, handler="vanished")).dispatcher(Pool()).fetch(REQUEST).failure()
    assert f"the interrupted move of {TARGET} to {ELSEWHERE} is unresolved" in str(failure)


@pytest.mark.parametrize("intent", [FETCHING, MOVING, replace(MOVING, target=ELSEWHERE, destination=TARGET), REMOVING])
def test_a_preview_says_that_nothing_would_begin(host: Host, intent: Intent) -> None:
    begun = replace(intent, handler="vanished")
    dispatcher = host.recorded(RECORDED).cut_off(begun).dispatcher(Pool())
    with pytest.raises(TargetUnresolved) as raised:
        dispatcher.preview(REQUEST)
    assert raised.value == TargetUnresolvedLike(begun)
    assert (host.under_way, host.known) == ([begun], [RECORDED])
    assert [each.would for each in dispatcher.preview(replace(REQUEST, target="/vms/3/disk"))] == [True]
    assert [each.would for each in dispatcher.preview(replace(REQUEST, target=""))] == [True]


def test_a_preview_recovers_the_target_first_as_a_fetch_does(host: Host) -> None:
    pool = CarefulPool(recovers=answers(WHOLE))
    previews = host.cut_off(FETCHING, replace(FETCHING, target=ELSEWHERE)).dispatcher(pool).preview(REQUEST)
    assert [each.would for each in previews] == [True] * 2  # by association, and by location
    assert (pool.kept, host.known) == ([True], [LANDED])
    assert [each.target for each in host.under_way] == [ELSEWHERE]


def test_a_preview_does_not_wait_for_an_operation_in_progress(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    pool = CarefulPool()
    dispatcher = host.cut_off(FETCHING).dispatcher(pool)
    with host.locks.hold(f"target {TARGET}"):
        assert len(elsewhere.submit(dispatcher.preview, REQUEST).result(GUARD)) == 1
    assert (pool.asked, host.under_way) == ([], [FETCHING])


def test_a_preview_fails_with_the_journal() -> None:
    host = Host(journal=breaking(MemoryJournal(), "pending")).cut_off(FETCHING)
    with pytest.raises(StoreUnavailable):
        host.dispatcher(CarefulPool()).preview(REQUEST)


def test_an_unresolved_target_can_still_be_verified(host: Host) -> None:
    pool = CarefulPool(verifies=answers(WHOLE))
    host.recorded(RECORDED).cut_off(replace(FETCHING, handler="vanished")).dispatcher(pool).verify(TARGET).unwrap()
    assert pool.verbs == ["verify"]


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_an_unresolved_operation_can_be_given_up(host: Host, target: str) -> None:
    begun = replace(MOVING, handler="vanished")
    pool = Pool()
    dispatcher = host.recorded(RECORDED).cut_off(begun).dispatcher(pool)
    given_up = list(dispatcher.recover(target, keep=False, give_up=True))
    assert given_up == [Recovered(begun, Outcome.ABANDONED, VANISHED)]
    assert (host.under_way, host.known, pool.asked) == ([], [RECORDED], [])
    assert isinstance(dispatcher.fetch(REQUEST), Success)


def test_an_operation_that_can_be_recovered_is_not_given_up(host: Host) -> None:
    pool = CarefulPool(recovers=answers(WHOLE))
    [found] = host.cut_off(FETCHING).dispatcher(pool).recover(TARGET, keep=False, give_up=True)
    assert (found.outcome, host.known) == (Outcome.FINISHED, [LANDED])


# What can't be acted on is forgotten.


def test_a_target_is_forgotten_without_a_call_of_its_handler(host: Host) -> None:
    pool = CarefulPool()
    dispatcher = host.recorded(RECORDED, THERE).cut_off(FETCHING).dispatcher(pool)
    assert dispatcher.forget(f" {TARGET} ").unwrap() == (RECORDED, (FETCHING,))
    assert (host.known, host.under_way, pool.asked) == ([THERE], [], [])


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_a_move_is_forgotten_from_either_end(host: Host, target: str) -> None:
    assert host.cut_off(MOVING).dispatcher(Pool()).forget(target).unwrap() == (None, (MOVING,))
    assert host.under_way == []


@pytest.mark.parametrize("target", [TARGET, "", " "])
def test_an_unknown_target_cannot_be_forgotten(host: Host, target: str) -> None:
    assert isinstance(host.dispatcher(Pool()).forget(target).failure(), NotAssociated)


@pytest.mark.parametrize(("verb", "nth"), [("get", 1), ("remove", 1)])
def test_forgetting_fails_with_a_store_that_fails(verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED)
    assert host.dispatcher(Pool()).forget(TARGET).failure() is BROKEN
    assert host.known == [RECORDED]


def test_forgetting_waits_for_the_lock_of_the_target(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(Pool())
    with host.locks.hold(f"target {TARGET}"):
        forgetting = elsewhere.submit(dispatcher.forget, TARGET)
        assert not forgetting.done()
        assert host.known == [RECORDED]
    assert forgetting.result(GUARD).unwrap().association == RECORDED
