"""Recovery of interrupted operations: what their handler finds out is recorded."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.strategies import LANDED_AT, TARGET
from tests.unit.recovery.host import (
    ELSEWHERE,
    FETCHING,
    GUARD,
    LANDED,
    MOVING,
    RAISED,
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
    is_free,
    occupied,
    raises,
)

from lading import Association, Landing, Refusal, TargetInUse, Work
from lading.domain.handler import PartialData
from lading.domain.recovery import Outcome, Recovered
from lading.ports.journal import Intent, Verb


def in_use(*_: object) -> Result[Any, Refusal]:
    return Failure(TargetInUse("a guest has it locked"))


@dataclass(frozen=True)
class Cut:
    """An interrupted operation, and what its handler says of it."""

    intent: Intent
    handler: Pool
    outcome: Outcome
    reason: str | None = None
    kept: int = 0
    asked: tuple[str, ...] = ("recover",)
    before: tuple[Association, ...] = ()
    after: tuple[Association, ...] = ()


LATER = replace(RECORDED, landed_at=LANDED_AT + timedelta(seconds=1))
NO_NOUN = "answered a str, which is no Landing or PartialData and no refusal"
CUTS = {
    # Fetches.
    "a fetch that had landed": Cut(
        FETCHING, CarefulPool(recovers=answers(WHOLE)), Outcome.FINISHED, after=(LANDED,)
    ),
    "a fetch of no image": Cut(
        replace(FETCHING, image=None, location=None), CarefulPool(recovers=answers(WHOLE)), Outcome.FINISHED,
        after=(replace(LANDED, image=None, location=None),),
    ),
    "a fetch that had been recorded": Cut(
        FETCHING, CarefulPool(recovers=answers(WHOLE)), Outcome.FINISHED, before=(RECORDED,), after=(LANDED,)
    ),
    "a fetch of which something is kept": Cut(
        FETCHING, CarefulPool(recovers=answers(PartialData(5))), Outcome.KEPT, kept=5
    ),
    "a fetch of which nothing is kept": Cut(FETCHING, CarefulPool(recovers=answers(PartialData())), Outcome.UNDONE),
    "a fetch over another that was undone": Cut(
        replace(FETCHING, force=True, recorded=RECORDED), CarefulPool(recovers=answers(PartialData())), Outcome.UNDONE,
        before=(RECORDED,), after=(RECORDED,),
    ),
    "a fetch that can't be told": Cut(
        FETCHING, CarefulPool(recovers=away), Outcome.UNRESOLVED, "the pool is away"
    ),
    "a fetch whose handler raises": Cut(FETCHING, CarefulPool(recovers=raises), Outcome.UNRESOLVED, RAISED),
    "a fetch of which nonsense is told": Cut(
        FETCHING, CarefulPool(recovers=answers("done")), Outcome.UNRESOLVED, NO_NOUN
    ),
    "a fetch by a plain handler": Cut(FETCHING, Pool(), Outcome.UNDONE, asked=("remove",)),
    "a fetch by a plain handler that can't remove": Cut(
        FETCHING, Pool(removes=away), Outcome.UNRESOLVED, "the pool is away", asked=("remove",)
    ),
    "a fetch by a plain handler that raises": Cut(
        FETCHING, Pool(removes=raises), Outcome.UNRESOLVED, RAISED, asked=("remove",)
    ),
    "a fetch by a plain handler where something was": Cut(
        FETCHING, Pool(), Outcome.UNRESOLVED, "the handler 'pool' cannot tell how far it got", asked=(),
        before=(RECORDED,), after=(RECORDED,),
    ),
    "a fetch by a plain handler that had been recorded": Cut(
        FETCHING, Pool(), Outcome.FINISHED, asked=(), before=(LATER,), after=(LATER,)
    ),
    "a fetch by a plain handler where another handler's was": Cut(
        FETCHING, Pool(), Outcome.UNRESOLVED, "the handler 'pool' cannot tell how far it got", asked=(),
        before=(replace(LATER, handler="other"),), after=(replace(LATER, handler="other"),),
    ),
    "a forced fetch by a plain handler": Cut(
        replace(FETCHING, force=True), Pool(), Outcome.UNRESOLVED, "the handler 'pool' cannot tell how far it got",
        asked=(),
    ),
    # Moves.
    "a move that had arrived": Cut(
        MOVING, CarefulPool(recovers=answers(WHOLE)), Outcome.FINISHED, before=(RECORDED,), after=(THERE,)
    ),
    "a move that was recorded at both its ends": Cut(
        MOVING, CarefulPool(recovers=answers(WHOLE)), Outcome.FINISHED, before=(RECORDED, THERE), after=(THERE,)
    ),
    "a move that was recorded": Cut(
        MOVING, CarefulPool(), Outcome.FINISHED, asked=(), before=(THERE,), after=(THERE,)
    ),
    "a move that had not begun": Cut(
        MOVING, CarefulPool(recovers=answers(PartialData())), Outcome.UNDONE, before=(RECORDED,), after=(RECORDED,)
    ),
    "a move that can't be told": Cut(
        MOVING, CarefulPool(recovers=away), Outcome.UNRESOLVED, "the pool is away", before=(RECORDED,),
        after=(RECORDED,),
    ),
    "a move whose handler raises": Cut(
        MOVING, CarefulPool(recovers=raises), Outcome.UNRESOLVED, RAISED, before=(RECORDED,), after=(RECORDED,)
    ),
    "a move by a plain handler": Cut(
        MOVING, Pool(moves=answers(WHOLE)), Outcome.FINISHED, asked=("move",), before=(RECORDED,), after=(THERE,)
    ),
    "a move by a plain handler that can't": Cut(
        MOVING, Pool(moves=occupied), Outcome.UNRESOLVED, "another file is there", asked=("move",),
        before=(RECORDED,), after=(RECORDED,),
    ),
    # Removals.
    "a removal": Cut(REMOVING, CarefulPool(), Outcome.FINISHED, asked=("remove",), before=(RECORDED,)),
    "a removal that was recorded": Cut(REMOVING, Pool(), Outcome.FINISHED, asked=()),
    "a removal after which something else came": Cut(
        REMOVING, Pool(removes=occupied), Outcome.FINISHED, asked=("remove",), before=(RECORDED,)
    ),
    "a removal of what is in use": Cut(
        REMOVING, Pool(removes=in_use), Outcome.UNDONE, "a guest has it locked", asked=("remove",),
        before=(RECORDED,), after=(RECORDED,),
    ),
    "a removal that can't be done": Cut(
        REMOVING, Pool(removes=away), Outcome.UNRESOLVED, "the pool is away", asked=("remove",),
        before=(RECORDED,), after=(RECORDED,),
    ),
    "a removal whose handler raises": Cut(
        REMOVING, Pool(removes=raises), Outcome.UNRESOLVED, RAISED, asked=("remove",), before=(RECORDED,),
        after=(RECORDED,),
    ),
    # By nobody.
    "a fetch by a handler that isn't loaded": Cut(
        replace(FETCHING, handler="vanished"), CarefulPool(), Outcome.UNRESOLVED,
        "the handler 'vanished' is not loaded", asked=(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("keep", [True, False])
def test_recovery_records_what_became_of_an_interrupted_operation(host: Host, cut: Cut, *, keep: bool) -> None:
    handler = replace(cut.handler, asked=[])
    recovered = list(host.recorded(*cut.before).cut_off(cut.intent).dispatcher(handler).recover(keep=keep))
    assert recovered == [Recovered(cut.intent, cut.outcome, cut.reason, cut.kept)]
    assert host.known == list(cut.after)
    is_settled = cut.outcome in {Outcome.FINISHED, Outcome.UNDONE}
    assert host.under_way == ([] if is_settled else [cut.intent])
    association = next((each for each in cut.before if each.target == TARGET), None)
    force = cut.intent.force and cut.intent.verb is not Verb.REMOVE
    work = Work(TARGET, cut.intent.image, cut.intent.location, association=association, force=force, intent=cut.intent)
    assert handler.asked == [(verb, work) for verb in cut.asked]


@pytest.mark.parametrize("keep", [True, False])
def test_partial_data_is_kept_for_a_fetch_but_not_for_a_move(host: Host, *, keep: bool) -> None:
    pool = CarefulPool()
    host.recorded(replace(RECORDED, target="/vms/3/disk"))
    host.cut_off(FETCHING, replace(MOVING, target="/vms/3/disk", destination="/vms/4/disk"))
    assert len(list(host.dispatcher(pool).recover(keep=keep))) == 2
    assert pool.kept == [keep, False]


def test_recovery_does_not_force_a_removal_that_was_forced(host: Host) -> None:
    """What lies there now may have come after what was to be removed had gone."""
    pool = Pool()
    list(host.recorded(RECORDED).cut_off(replace(REMOVING, force=True)).dispatcher(pool).recover())
    assert [(verb, work.force) for verb, work in pool.asked] == [("remove", False)]


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
@pytest.mark.parametrize(
    ("verb", "targets", "keep"),
    [
        ("fetch", {TARGET}, True),
        ("verify", {TARGET}, True),
        ("remove", {TARGET}, False),
        ("move", {TARGET, ELSEWHERE}, False),
    ],
)
def test_every_verb_recovers_its_targets_first(
    host: Host, verb: str, targets: set[str], target: str, *, keep: bool
) -> None:
    pool = CarefulPool()
    host.recorded(*[RECORDED] * (not keep))
    VERBS[verb](host.cut_off(replace(FETCHING, target=target)).dispatcher(pool))
    assert pool.kept[:1] == [keep] * (target in targets)
    assert target not in targets or pool.verbs[0] == "recover"


def test_the_next_fetch_finds_an_image_that_had_landed(host: Host) -> None:
    pool = CarefulPool(
        fetches=lambda work: Success(Landing(present=True)) if work.association else away(), recovers=answers(WHOLE)
    )
    staged = host.cut_off(FETCHING).dispatcher(pool).fetch(REQUEST).unwrap()
    assert staged.landing.present
    assert host.known == [LANDED]


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_an_interrupted_move_is_recovered_from_either_end(host: Host, target: str) -> None:
    pool = CarefulPool(recovers=answers(WHOLE))
    outcome = host.recorded(RECORDED).cut_off(MOVING).dispatcher(pool).remove(target)
    assert (isinstance(outcome, Success), pool.verbs[0]) == (target == ELSEWHERE, "recover")
    assert host.under_way == []


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_recovery_of_a_move_locks_both_ends(host: Host, elsewhere: ThreadPoolExecutor, target: str) -> None:
    free: list[bool] = []

    def look(_: Work) -> Result[Landing | PartialData, Refusal]:
        free.extend(elsewhere.submit(is_free, host.locks, each).result(GUARD) for each in (TARGET, ELSEWHERE))
        return Success(PartialData())

    dispatcher = host.recorded(RECORDED).cut_off(MOVING).dispatcher(CarefulPool(recovers=look))
    dispatcher.fetch(replace(REQUEST, target=target))
    host.cut_off(MOVING)
    list(dispatcher.recover())
    assert free == [False] * 4


def test_the_log_tells_what_became_of_interrupted_operations(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    pool = CarefulPool(recovers=answers(PartialData()))
    host.cut_off(FETCHING, replace(FETCHING, target=ELSEWHERE, handler="vanished"))
    with caplog.at_level(logging.INFO, "lading"):
        list(host.dispatcher(pool).recover())
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", f"the interrupted fetch of {TARGET} is undone"),
        (
            "WARNING",
            f"the interrupted fetch of {ELSEWHERE} is unresolved: the handler 'vanished' is not loaded",
        ),
    ]
