"""What is written down while something is under way, and what becomes of it when it was cut off."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_stores import BROKEN, breaking, told
from tests.reference import RecordingCatalog
from tests.strategies import LANDED_AT, TARGET

from lading import (
    Association,
    AssociationStore,
    CatalogUnavailable,
    Context,
    Digest,
    Dispatcher,
    FetchRequest,
    Fingerprint,
    HandlerNotLoaded,
    HandlerRefused,
    Image,
    ImageCatalog,
    Landing,
    Location,
    Mismatched,
    NoHandlerAvailable,
    NotAssociated,
    Refusal,
    StoreUnavailable,
    TargetInUse,
    TargetOccupied,
    TargetUnresolved,
    Unavailable,
    Unconfigured,
    Unsupported,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.domain.handler import PartialData
from lading.domain.recovery import Outcome, Recovered
from lading.ports.failures import CatalogFailure
from lading.ports.journal import Intent, Journal, Verb
from lading.ports.locks import Locks
from lading.ports.observer import NullObserver

GUARD = 30.0
"""Seconds after which something hangs."""
ELSEWHERE = "/vms/2/disk"
PLAIN = Location("pool://gold/noble")
KEYED = Location("pool://user:word@gold/noble?sig=abc")
NOBLE = Image("1", "noble", size=10, locations=[PLAIN])
BARE = replace(NOBLE, locations=())
RECORDED = Association(TARGET, "pool", BARE, PLAIN, LANDED_AT, "clone", size=10)
PRINT = Fingerprint(1, 2, 10, 3, 4)
WHOLE = Landing("clone", 10, Digest("sha256", "ab" * 32), verified=True, fingerprint=PRINT)
FETCHING = Intent(TARGET, Verb.FETCH, "pool", LANDED_AT, BARE, PLAIN)
REMOVING = replace(FETCHING, verb=Verb.REMOVE)
MOVING = replace(FETCHING, verb=Verb.MOVE, destination=ELSEWHERE)
REQUEST = FetchRequest("1", TARGET)
KEEPING = Unavailable("it broke off", kept=5)


def landed(*_: object) -> Result[Landing, Refusal]:
    return Success(Landing())


def removed(*_: object) -> Result[None, Refusal]:
    return Success(None)


def away(*_: object) -> Result[Any, Refusal]:
    return Failure(Unavailable("the pool is away"))


def occupied(*_: object) -> Result[Any, Refusal]:
    return Failure(TargetOccupied("another file is there"))


def in_use(*_: object) -> Result[Any, Refusal]:
    return Failure(TargetInUse("a guest has it locked"))


def broke_off(*_: object) -> Result[Any, Refusal]:
    return Failure(KEEPING)


def raises(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise OSError("no route to pool")


def interrupted(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise KeyboardInterrupt


def answers_text(*_: object) -> Any:  # noqa: ANN401 - the bug that is meant
    return "done"


def nothing_kept(_: Work) -> Result[Landing | PartialData, Refusal]:
    return Success(PartialData())


def answers(value: object) -> Callable[..., Any]:
    return lambda *_: Success(value)


@dataclass
class Pool:
    """A handler that does what it is told, keeps what it was asked, and can neither recover nor verify."""

    name: str = "pool"
    fetches: Callable[[Work], Result[Landing, Refusal]] = landed
    removes: Callable[[Work], Result[None, Refusal]] = removed
    moves: Callable[[Work, str], Result[Landing, Refusal]] = landed
    schemes: frozenset[str] | None = frozenset({"pool"})
    is_local: bool = False
    asked: list[tuple[str, Work]] = field(default_factory=list)
    moved_to: list[str] = field(default_factory=list)

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self.asked.append(("fetch", work))
        return self.fetches(work)

    def remove(self, work: Work) -> Result[None, Refusal]:
        self.asked.append(("remove", work))
        return self.removes(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        self.asked.append(("move", work))
        self.moved_to.append(destination)
        return self.moves(work, destination)

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@dataclass
class CarefulPool(Pool):
    """One that can recover and verify."""

    recovers: Callable[[Work], Result[Landing | PartialData, Refusal]] = nothing_kept
    verifies: Callable[[Work], Result[Landing, Refusal]] = landed
    kept: list[bool] = field(default_factory=list)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        self.asked.append(("recover", work))
        self.kept.append(keep)
        return self.recovers(work)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        self.asked.append(("verify", work))
        return self.verifies(work)


class AwayCatalog:
    """Can't be asked."""

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return Failure(CatalogUnavailable("HTTP 503"))

    def locations(self, image: Image, context: Context) -> Any:  # noqa: ANN401 - it is never asked
        raise AssertionError


@dataclass
class Host:
    """What outlives a Dispatcher, and the Dispatchers over it."""

    associations: AssociationStore = field(default_factory=MemoryAssociations)
    journal: Journal = field(default_factory=MemoryJournal)
    locks: Locks = field(default_factory=MemoryLocks)
    catalog: ImageCatalog = field(default_factory=lambda: RecordingCatalog([NOBLE], []))

    def dispatcher(self, *handlers: Pool) -> Dispatcher:
        return Dispatcher(
            handlers,
            self.catalog,
            self.associations,
            journal=self.journal,
            locks=self.locks,
            clock=lambda: LANDED_AT,
        )

    def cut_off(self, *intents: Intent) -> "Host":
        for each in intents:
            self.journal.begin(each)
        return self

    def recorded(self, *associations: Association) -> "Host":
        for each in associations:
            self.associations.put(each)
        return self

    @property
    def under_way(self) -> list[Intent]:
        return list(self.journal.list())

    @property
    def known(self) -> list[Association]:
        return list(self.associations.list())


VERBS: dict[str, Callable[[Dispatcher], Result[Any, Any]]] = {
    "fetch": lambda each: each.fetch(REQUEST),
    "remove": lambda each: each.remove(TARGET),
    "move": lambda each: each.move(TARGET, ELSEWHERE),
    "verify": lambda each: each.verify(TARGET),
}
CHANGING = ("fetch", "remove", "move")


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def noting(journal: Journal, answer: Refusal, **notes: object) -> Callable[[Work], Result[Landing, Refusal]]:
    """A fetch that notes how far it came, and then refuses."""

    def fetch(work: Work) -> Result[Landing, Refusal]:
        journal.note(work.target, notes)
        return Failure(answer)

    return fetch


# What is written down before a handler is asked, and when it is done with.


def test_a_fetch_is_written_down_before_the_handler_is_asked(host: Host) -> None:
    seen: list[Intent] = []

    def look(_: Work) -> Result[Landing, Refusal]:
        seen.extend(host.under_way)
        return landed()

    pool = Pool(fetches=look)
    host.dispatcher(pool).fetch(REQUEST).unwrap()
    assert seen == [FETCHING]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_every_attempt_is_written_down_in_place_of_the_one_before(host: Host) -> None:
    seen: list[str] = []

    def look(_: Work) -> Result[Landing, Refusal]:
        seen.extend(each.handler for each in host.under_way)
        return away()

    host.dispatcher(Pool("first", look), Pool("second", look)).fetch(REQUEST)
    assert seen == ["first", "second"]
    assert host.under_way == []


def test_a_removal_is_written_down_before_the_handler_is_asked(host: Host) -> None:
    seen: list[Intent] = []

    def look(_: Work) -> Result[None, Refusal]:
        seen.extend(host.under_way)
        return removed()

    pool = Pool(removes=look)
    host.recorded(RECORDED).dispatcher(pool).remove(TARGET, force=True).unwrap()
    assert seen == [replace(REMOVING, force=True)]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_a_move_that_storage_did_not_answer_stays_written_down_for_it_may_have_moved_all_the_same(host: Host) -> None:
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
def test_any_other_refusal_is_the_end_of_it(host: Host, refused: Pool) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(refused)
    dispatcher.move(TARGET, ELSEWHERE)
    dispatcher.remove(TARGET)
    dispatcher.remove(ELSEWHERE)
    assert host.under_way == []


def test_a_move_is_written_down_before_the_handler_is_asked(host: Host) -> None:
    seen: list[Intent] = []

    def look(*_: object) -> Result[Landing, Refusal]:
        seen.extend(host.under_way)
        return landed()

    pool = Pool(moves=look)
    host.recorded(RECORDED).dispatcher(pool).move(TARGET, ELSEWHERE).unwrap()
    assert seen == [MOVING]
    assert [work.intent for _, work in pool.asked] == seen
    assert host.under_way == []


def test_an_end_is_written_down_after_it_is_recorded() -> None:
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
def test_whatever_a_handler_answers_nothing_is_under_way_afterwards(host: Host, answer: Callable[..., Any]) -> None:
    pool = Pool(fetches=answer, moves=answer, removes=answer)
    host.dispatcher(pool).fetch(REQUEST)
    host.recorded(RECORDED).dispatcher(pool).move(TARGET, ELSEWHERE)
    host.dispatcher(pool).remove(ELSEWHERE)
    assert host.under_way == []


def test_a_success_without_a_landing_is_an_end_too(host: Host) -> None:
    for attempt in host.dispatcher(Pool()).attempts(REQUEST):
        assert len(host.under_way) == 1
        attempt.settle(Success(None))
    assert host.under_way == []


@pytest.mark.parametrize("answer", [landed, away])
def test_without_a_target_nothing_is_written_down(answer: Callable[..., Any]) -> None:
    events: list[str] = []
    host = Host(journal=told(MemoryJournal(), events))
    pool = CarefulPool(fetches=answer)
    host.dispatcher(pool).fetch(FetchRequest("1"))
    assert (events, pool.verbs) == ([], ["fetch"])
    assert pool.asked[0][1].intent is None


@pytest.mark.parametrize("answer", [landed, broke_off])
def test_without_a_journal_a_handler_is_told_of_no_intent(answer: Callable[..., Any]) -> None:
    pool = CarefulPool(fetches=answer)
    dispatcher = Dispatcher([pool], RecordingCatalog([NOBLE], []), MemoryAssociations())
    dispatcher.fetch(REQUEST)
    assert [(verb, work.intent) for verb, work in pool.asked] == [("fetch", None)]
    assert list(dispatcher.recover()) == []


def test_credentials_are_not_written_down_and_the_handler_has_them(host: Host) -> None:
    seen: list[Location | None] = []

    def look(work: Work) -> Result[Landing, Refusal]:
        seen.extend([work.location, *(each.location for each in host.under_way)])
        seen.extend(place for each in host.under_way if each.image for place in each.image.locations)
        return landed()

    host.catalog = RecordingCatalog([replace(NOBLE, locations=[KEYED])], [])
    host.dispatcher(Pool(fetches=look)).fetch(REQUEST)
    assert seen == [KEYED, KEYED.redacted()]


def test_what_is_not_recorded_is_not_written_down_either(host: Host) -> None:
    events: list[str] = []
    host.journal = told(host.journal, events)
    assert isinstance(host.dispatcher(Pool()).remove(TARGET).failure(), NotAssociated)
    assert isinstance(host.dispatcher(Pool()).move(TARGET, ELSEWHERE).failure(), NotAssociated)
    host.recorded(replace(RECORDED, handler="vanished"))
    assert isinstance(host.dispatcher(Pool()).remove(TARGET).failure(), HandlerNotLoaded)
    assert "begin" not in events


# Who leaves half way.


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
def test_what_is_recorded_is_never_removed_by_an_interrupt(pool: Pool, *, records: bool) -> None:
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
def test_what_is_interrupted_stays_written_down_and_the_target_is_free(
    host: Host, elsewhere: ThreadPoolExecutor, verb: str
) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(Pool("pool", interrupted, interrupted, interrupted))
    with pytest.raises(KeyboardInterrupt):
        VERBS[verb](dispatcher)
    assert [(each.target, each.verb) for each in host.under_way] == [(TARGET, verb)]
    for target in (TARGET, ELSEWHERE):
        assert elsewhere.submit(is_free, host.locks, target).result(GUARD)


def is_free(locks: Locks, target: str) -> bool:
    with locks.hold(f"target {target}", wait=False) as held:
        return held


@pytest.mark.parametrize("leave", ["close", "drop"])
@pytest.mark.parametrize("outcome", [Success(Landing()), Success(None), Failure(Unavailable("no"))])
def test_what_was_settled_before_its_driver_leaves_is_settled(
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


def test_what_a_settled_refusal_has_kept_stays_when_its_driver_leaves(host: Host) -> None:
    keeper = CarefulPool(recovers=answers(PartialData(5)))
    for attempt in host.dispatcher(keeper).attempts(REQUEST):
        host.journal.note(TARGET, {"part": 5})
        attempt.settle(broke_off())
        break
    assert host.under_way == [replace(FETCHING, notes={"part": 5})]


@pytest.mark.parametrize("outcome", [Success(None), Failure(KEEPING)])
def test_a_journal_that_fails_when_the_driver_leaves_is_a_warning(
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


def test_who_leaves_the_attempts_early_leaves_the_last_to_recovery(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    attempts = host.dispatcher(Pool("first"), Pool("second")).attempts(REQUEST)
    assert [next(attempts).handler.name for _ in range(2)] == ["first", "second"]
    assert not elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    attempts.close()
    assert host.under_way == [replace(FETCHING, handler="second")]
    assert elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    assert [each.outcome for each in host.dispatcher(Pool("second")).recover()] == [Outcome.UNDONE]


def test_attempts_that_nobody_drives_write_nothing(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    attempts = host.dispatcher(Pool()).attempts(REQUEST)
    assert host.under_way == []
    assert elsewhere.submit(is_free, host.locks, TARGET).result(GUARD)
    del attempts


# Locks.


class ToldLocks:
    """Locks that write down who asked for which name, in which order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        self.names.append(name)
        return nullcontext(enter_result=True)


@pytest.mark.parametrize(("source", "destination"), [(TARGET, ELSEWHERE), (ELSEWHERE, TARGET)])
def test_a_move_holds_both_its_ends_taken_in_one_order_whichever_way_it_goes(source: str, destination: str) -> None:
    locks = ToldLocks()
    host = Host(locks=locks).recorded(replace(RECORDED, target=source))
    host.dispatcher(Pool()).move(source, destination).unwrap()
    assert locks.names == [f"target {TARGET}", f"target {ELSEWHERE}"]


def test_while_a_verb_is_under_way_nobody_else_is_at_its_targets(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    free: list[bool] = []

    def look(*_: object) -> Result[Any, Refusal]:
        free.extend(elsewhere.submit(is_free, host.locks, each).result(GUARD) for each in (TARGET, ELSEWHERE))
        return Failure(Unavailable("only looking"))

    pool = CarefulPool("pool", look, look, look, verifies=look)
    dispatcher = host.recorded(RECORDED).dispatcher(pool)
    dispatcher.fetch(REQUEST)
    assert free == [False, True] * 2  # by association, and by location
    free.clear()
    for verb in (dispatcher.remove, dispatcher.verify):
        verb(TARGET)
    assert free == [False, True] * 2
    free.clear()
    dispatcher.move(TARGET, ELSEWHERE)
    assert free == [False, False]


def test_a_request_without_a_target_waits_for_nobody(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    locks = ToldLocks()
    host.locks = locks
    host.dispatcher(Pool()).fetch(FetchRequest("1")).unwrap()
    assert locks.names == []


class Waiter(NullObserver):
    """An observer that wants to know whom it waits for."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self.reasons: list[str] = []
        self._told = told

    def waiting(self, reason: str) -> None:
        self.reasons.append(reason)
        self._told()


class NamedLocks(MemoryLocks):
    def holder(self, name: str) -> int | None:
        return 4242


@pytest.mark.parametrize(
    ("locks", "who"), [(MemoryLocks(), "another operation"), (NamedLocks(), "process 4242")], ids=["unnamed", "named"]
)
def test_a_fetch_says_whom_it_waits_for(locks: MemoryLocks, who: str, elsewhere: ThreadPoolExecutor) -> None:
    host = Host(locks=locks)
    dispatcher, told = host.dispatcher(Pool()), Event()
    waiter = Waiter(told.set)
    for attempt in dispatcher.attempts(REQUEST):
        second = elsewhere.submit(dispatcher.fetch, replace(REQUEST, observer=waiter))
        assert told.wait(GUARD)
        attempt.settle(Success(Landing()))
    second.result(GUARD).unwrap()
    assert waiter.reasons == [f"{who}, which is at work on {TARGET}"]


def test_a_fetch_that_waits_for_nobody_says_nothing(host: Host) -> None:
    waiter = Waiter()
    for request in (REQUEST, FetchRequest("1")):
        host.dispatcher(Pool()).fetch(replace(request, observer=waiter)).unwrap()
    assert waiter.reasons == []


class BrokenLocks:
    @contextmanager
    def hold(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        raise BROKEN
        yield False


def test_locks_that_cannot_be_had_fail_every_verb_before_anything_is_asked(host: Host) -> None:
    host.locks = BrokenLocks()
    pool = CarefulPool()
    dispatcher = host.recorded(RECORDED).cut_off(REMOVING).dispatcher(pool)
    outcomes = [
        dispatcher.fetch(REQUEST), dispatcher.remove(TARGET), dispatcher.move(TARGET, ELSEWHERE),
        dispatcher.verify(TARGET),
    ]  # fmt: skip
    assert [outcome.failure() for outcome in outcomes] == [BROKEN] * 4
    with pytest.raises(StoreUnavailable):
        next(dispatcher.recover())
    assert (pool.asked, host.under_way) == ([], [REMOVING])


# What is kept.


def test_what_is_kept_stays_written_down_with_its_notes(host: Host) -> None:
    pool = CarefulPool(fetches=noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    failure = host.dispatcher(pool).fetch(REQUEST).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert failure.attempts[-1].refusal == KEEPING
    assert host.under_way == [replace(FETCHING, notes={"part": 5})]


def test_it_stays_written_down_under_the_handler_that_keeps_it(host: Host) -> None:
    keeper = CarefulPool("keeper", noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    other = Pool("other", noting(host.journal, Unavailable("no"), other=1))
    host.dispatcher(keeper, other).fetch(REQUEST)
    assert host.under_way == [replace(FETCHING, handler="keeper", notes={"part": 5})]
    assert (keeper.verbs, keeper.kept, other.verbs) == (["fetch", "recover"], [True], ["fetch"])


def test_what_is_kept_is_carried_into_the_next_attempts(host: Host) -> None:
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


def test_notes_of_a_move_are_not_carried_into_a_fetch(host: Host) -> None:
    moving = replace(MOVING, notes={"moving": 1})
    pool = CarefulPool()
    host.cut_off(moving).dispatcher(pool).fetch(REQUEST).unwrap()
    assert [work.intent for verb, work in pool.asked if verb == "fetch"] == [FETCHING]


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
def test_what_cannot_be_resolved_can_be_given_up(host: Host, target: str) -> None:
    begun = replace(MOVING, handler="vanished")
    pool = Pool()
    dispatcher = host.recorded(RECORDED).cut_off(begun).dispatcher(pool)
    given_up = list(dispatcher.recover(target, keep=False, give_up=True))
    assert given_up == [Recovered(begun, Outcome.ABANDONED, VANISHED)]
    assert (host.under_way, host.known, pool.asked) == ([], [RECORDED], [])
    assert isinstance(dispatcher.fetch(REQUEST), Success)


def test_what_can_be_resolved_is_not_given_up(host: Host) -> None:
    pool = CarefulPool(recovers=answers(WHOLE))
    [found] = host.cut_off(FETCHING).dispatcher(pool).recover(TARGET, keep=False, give_up=True)
    assert (found.outcome, host.known) == (Outcome.FINISHED, [LANDED])


# What can't be acted on is forgotten.


def test_a_target_is_forgotten_without_asking_its_handler(host: Host) -> None:
    pool = CarefulPool()
    dispatcher = host.recorded(RECORDED, THERE).cut_off(FETCHING).dispatcher(pool)
    assert dispatcher.forget(f" {TARGET} ").unwrap() == (RECORDED, (FETCHING,))
    assert (host.known, host.under_way, pool.asked) == ([THERE], [], [])


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_a_move_is_forgotten_from_either_end(host: Host, target: str) -> None:
    assert host.cut_off(MOVING).dispatcher(Pool()).forget(target).unwrap() == (None, (MOVING,))
    assert host.under_way == []


@pytest.mark.parametrize("target", [TARGET, "", " "])
def test_what_nothing_is_known_of_cannot_be_forgotten(host: Host, target: str) -> None:
    assert isinstance(host.dispatcher(Pool()).forget(target).failure(), NotAssociated)


@pytest.mark.parametrize(("verb", "nth"), [("get", 1), ("remove", 1)])
def test_a_store_that_fails_to_forget_is_told(verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED)
    assert host.dispatcher(Pool()).forget(TARGET).failure() is BROKEN
    assert host.known == [RECORDED]


def test_who_forgets_waits_for_whoever_is_at_the_target(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    dispatcher = host.recorded(RECORDED).dispatcher(Pool())
    with host.locks.hold(f"target {TARGET}"):
        forgetting = elsewhere.submit(dispatcher.forget, TARGET)
        assert not forgetting.done()
        assert host.known == [RECORDED]
    assert forgetting.result(GUARD).unwrap().association == RECORDED


@pytest.mark.parametrize("verb", ["remove", "move"])
def test_what_is_kept_stays_when_nothing_is_recorded_to_act_on(host: Host, verb: str) -> None:
    pool = CarefulPool(recovers=answers(PartialData(5)))
    failure = VERBS[verb](host.cut_off(FETCHING).dispatcher(pool)).failure()
    assert isinstance(failure, NotAssociated)
    assert (pool.kept, host.under_way) == ([True], [FETCHING])


@pytest.mark.parametrize("verb", ["remove", "move"])
def test_what_is_kept_is_dropped_when_the_target_is_acted_on(host: Host, verb: str) -> None:
    pool = CarefulPool(recovers=nothing_kept)
    VERBS[verb](host.recorded(RECORDED).cut_off(FETCHING).dispatcher(pool)).unwrap()
    assert (pool.kept, host.under_way) == ([False], [])


def test_a_success_of_another_handler_has_the_keeper_drop_what_it_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", noting(host.journal, KEEPING, part=5))
    host.dispatcher(keeper, Pool("other")).fetch(REQUEST).unwrap()
    assert (keeper.verbs, keeper.kept) == (["fetch", "recover"], [False])
    assert keeper.asked[-1][1].intent == replace(FETCHING, handler="keeper", notes={"part": 5})
    assert host.under_way == []
    assert [each.handler for each in host.known] == ["other"]


def test_that_the_keeper_cannot_drop_it_is_no_failure(host: Host) -> None:
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


def test_what_is_kept_is_dropped_by_the_keeper_itself_when_the_image_is_there(host: Host) -> None:
    keeper = CarefulPool("keeper", answers(Landing(present=True)), recovers=answers(PartialData(5)))
    assert host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST).unwrap().landing.present
    assert (keeper.verbs, keeper.kept) == (["recover", "fetch", "recover"], [True, False])
    assert host.under_way == []


def test_who_cannot_recover_keeps_nothing(host: Host) -> None:
    pools = Pool("keeper", broke_off), Pool("other")
    host.dispatcher(*pools).fetch(REQUEST).unwrap()
    assert (pools[0].verbs, host.under_way) == (["fetch"], [])
    host.dispatcher(pools[0]).fetch(replace(REQUEST, target=ELSEWHERE))
    assert (pools[0].verbs, host.under_way) == (["fetch", "fetch"], [])


KEPT_EARLIER = replace(FETCHING, handler="keeper", notes={"part": 5})


def test_a_second_fetch_in_vain_leaves_what_an_earlier_one_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, recovers=answers(PartialData(5)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST)
    assert host.under_way == [KEPT_EARLIER]
    assert keeper.kept == [True, True]


def test_a_handler_that_cannot_recover_leaves_what_an_earlier_fetch_of_another_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, schemes=None, recovers=answers(PartialData(5)))
    other = Pool("other", noting(host.journal, Unavailable("no"), other=1))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper, other).fetch(REQUEST)
    assert (keeper.verbs, other.verbs) == (["recover", "recover"], ["fetch"])
    assert host.under_way == [KEPT_EARLIER]


def test_a_catalog_that_fails_leaves_what_an_earlier_fetch_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", recovers=answers(PartialData(5)))
    host.catalog = AwayCatalog()
    failure = host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert (keeper.verbs, host.under_way) == (["recover"], [KEPT_EARLIER])


def test_a_catalog_that_fails_after_the_associated_attempt_leaves_what_that_kept(host: Host) -> None:
    pool = CarefulPool(fetches=noting(host.journal, KEEPING, part=5), recovers=answers(PartialData(5)))
    host.catalog = AwayCatalog()
    failure = host.recorded(RECORDED).dispatcher(pool).fetch(REQUEST).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert host.under_way == [replace(FETCHING, notes={"part": 5})]


def test_a_success_of_another_handler_has_dropped_what_an_earlier_fetch_kept(host: Host) -> None:
    keeper = CarefulPool("keeper", away, schemes=None, recovers=answers(PartialData(5)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper, Pool()).fetch(REQUEST).unwrap()
    assert (keeper.verbs, keeper.kept) == (["recover", "recover"], [True, False])
    assert host.under_way == []


def test_what_is_not_kept_after_all_does_not_stay_written_down(host: Host) -> None:
    left = iter([PartialData(5), PartialData(0)])
    keeper = CarefulPool("keeper", away, recovers=lambda _: Success(next(left)))
    host.cut_off(KEPT_EARLIER).dispatcher(keeper).fetch(REQUEST)
    assert host.under_way == []


def test_what_is_kept_for_the_other_end_of_a_move_is_none_of_this_fetch(host: Host) -> None:
    kept = replace(KEPT_EARLIER, target=ELSEWHERE)
    keeper = CarefulPool("keeper", away, recovers=answers(PartialData(5)))
    mover = CarefulPool("mover", away, schemes=None)
    host.recorded(RECORDED).cut_off(replace(MOVING, handler="mover"), kept).dispatcher(keeper, mover).fetch(REQUEST)
    assert kept in host.under_way


def test_what_the_last_attempt_could_not_clean_up_is_seen_to_as_after_a_crash(host: Host) -> None:
    pool = CarefulPool(fetches=away, recovers=answers(WHOLE))
    assert isinstance(host.dispatcher(pool).fetch(REQUEST).failure(), NoHandlerAvailable)
    assert pool.verbs == ["fetch", "recover"]
    assert host.known == [WHOLE.recorded_in(Association(TARGET, "pool", BARE, PLAIN, LANDED_AT))]
    assert host.under_way == []


def test_what_somebody_has_settled_meanwhile_is_not_seen_to(host: Host) -> None:
    def settle(work: Work) -> Result[Landing, Refusal]:
        host.journal.settle(work.target)
        return away()

    pool = CarefulPool(fetches=settle)
    host.dispatcher(pool).fetch(REQUEST)
    assert (pool.verbs, host.under_way) == (["fetch"], [])


# What becomes of what was cut off.


@dataclass(frozen=True)
class Cut:
    """An operation that was cut off, and what its handler says of it."""

    intent: Intent
    handler: Pool
    outcome: Outcome
    reason: str | None = None
    kept: int = 0
    asked: tuple[str, ...] = ("recover",)
    before: tuple[Association, ...] = ()
    after: tuple[Association, ...] = ()


THERE = replace(RECORDED, target=ELSEWHERE, fingerprint=PRINT)
LANDED = WHOLE.recorded_in(Association(TARGET, "pool", BARE, PLAIN, LANDED_AT))
LATER = replace(RECORDED, landed_at=LANDED_AT + timedelta(seconds=1))
RAISED = "raised OSError; the debug log has more"
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
        replace(FETCHING, force=True), CarefulPool(recovers=answers(PartialData())), Outcome.UNDONE,
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
def test_of_what_was_cut_off_it_is_found_out_what_became_and_that_is_recorded(
    host: Host, cut: Cut, *, keep: bool
) -> None:
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
def test_a_handler_is_told_whether_to_keep_what_a_fetch_can_go_on_from_but_not_for_a_move(
    host: Host, *, keep: bool
) -> None:
    pool = CarefulPool()
    host.recorded(replace(RECORDED, target="/vms/3/disk"))
    host.cut_off(FETCHING, replace(MOVING, target="/vms/3/disk", destination="/vms/4/disk"))
    assert len(list(host.dispatcher(pool).recover(keep=keep))) == 2
    assert pool.kept == [keep, False]


def test_a_removal_that_was_forced_is_not_forced_again(host: Host) -> None:
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
def test_every_verb_sees_first_to_what_was_cut_off_at_its_targets(
    host: Host, verb: str, targets: set[str], target: str, *, keep: bool
) -> None:
    pool = CarefulPool()
    host.recorded(*[RECORDED] * (not keep))
    VERBS[verb](host.cut_off(replace(FETCHING, target=target)).dispatcher(pool))
    assert pool.kept[:1] == [keep] * (target in targets)
    assert target not in targets or pool.verbs[0] == "recover"


def test_a_fetch_that_had_landed_is_found_there_by_the_next_one(host: Host) -> None:
    pool = CarefulPool(
        fetches=lambda work: Success(Landing(present=True)) if work.association else away(), recovers=answers(WHOLE)
    )
    staged = host.cut_off(FETCHING).dispatcher(pool).fetch(REQUEST).unwrap()
    assert staged.landing.present
    assert host.known == [LANDED]


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_a_move_that_was_cut_off_is_seen_to_from_either_end(host: Host, target: str) -> None:
    pool = CarefulPool(recovers=answers(WHOLE))
    outcome = host.recorded(RECORDED).cut_off(MOVING).dispatcher(pool).remove(target)
    assert (isinstance(outcome, Success), pool.verbs[0]) == (target == ELSEWHERE, "recover")
    assert host.under_way == []


@pytest.mark.parametrize("target", [TARGET, ELSEWHERE])
def test_who_sees_to_a_move_is_alone_at_both_its_ends(host: Host, elsewhere: ThreadPoolExecutor, target: str) -> None:
    free: list[bool] = []

    def look(_: Work) -> Result[Landing | PartialData, Refusal]:
        free.extend(elsewhere.submit(is_free, host.locks, each).result(GUARD) for each in (TARGET, ELSEWHERE))
        return Success(PartialData())

    dispatcher = host.recorded(RECORDED).cut_off(MOVING).dispatcher(CarefulPool(recovers=look))
    dispatcher.fetch(replace(REQUEST, target=target))
    host.cut_off(MOVING)
    list(dispatcher.recover())
    assert free == [False] * 4


def test_what_was_cut_off_is_told_in_the_log(host: Host, caplog: pytest.LogCaptureFixture) -> None:
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


# What is allowed with what is in use.


ALLOWED: dict[str, Callable[[Dispatcher], Result[Any, Any]]] = {
    "fetch": lambda each: each.fetch(replace(REQUEST, force=True, even_if_in_use=True)),
    "remove": lambda each: each.remove(TARGET, even_if_in_use=True),
    "move": lambda each: each.move(TARGET, ELSEWHERE, even_if_in_use=True),
}


@pytest.mark.parametrize("verb", CHANGING)
def test_what_is_allowed_is_written_down_and_the_handler_is_told(host: Host, verb: str) -> None:
    pool = Pool("pool", interrupted, interrupted, interrupted)
    with pytest.raises(KeyboardInterrupt):
        ALLOWED[verb](host.recorded(RECORDED).dispatcher(pool))
    assert [each.even_if_in_use for each in host.under_way] == [True]
    assert [work.even_if_in_use for _, work in pool.asked] == [True]


@pytest.mark.parametrize(("intent", "allowed"), [(FETCHING, True), (MOVING, True), (REMOVING, False)])
def test_recovery_allows_what_was_allowed_but_for_a_removal(host: Host, intent: Intent, *, allowed: bool) -> None:
    """Another program may have locked what came after the removal."""
    pool = CarefulPool()
    list(host.recorded(RECORDED).cut_off(replace(intent, even_if_in_use=True)).dispatcher(pool).recover())
    assert [work.even_if_in_use for _, work in pool.asked] == [allowed]


# Resuming what is kept.


def test_a_resumed_fetch_allows_what_the_interrupted_one_did(host: Host) -> None:
    kept = replace(FETCHING, force=True, even_if_in_use=True, notes={"part": 5})
    pool = CarefulPool(fetches=answers(replace(WHOLE, resumed=5)), recovers=answers(PartialData(5)))
    dispatcher, observer = host.cut_off(kept).dispatcher(pool), NullObserver()
    [found] = dispatcher.recover()
    assert found.is_open
    resumed = dispatcher.resume(found, observer)
    assert resumed == Recovered(kept, Outcome.FINISHED, kept=5)
    assert not resumed.is_open
    verb, work = pool.asked[-1]
    assert (verb, work.force, work.even_if_in_use, work.observer is observer) == ("fetch", True, True, True)
    assert host.under_way == []


def test_a_fetch_that_cannot_be_resumed_leaves_no_partial_data(host: Host) -> None:
    pool = CarefulPool(fetches=away, recovers=lambda _: Success(PartialData(5 * pool.kept[-1])))
    dispatcher = host.cut_off(FETCHING).dispatcher(pool)
    [found] = dispatcher.recover()
    resumed = dispatcher.resume(found)
    assert (resumed.outcome, pool.kept[-1], host.under_way) == (Outcome.UNDONE, False, [])
    assert "the pool is away" in (resumed.reason or "")


def test_a_resumed_fetch_that_had_nothing_left_is_undone(host: Host) -> None:
    pool = CarefulPool(fetches=away)
    resumed = host.dispatcher(pool).resume(Recovered(replace(FETCHING, image=None), Outcome.KEPT, kept=5))
    assert resumed.outcome is Outcome.UNDONE
    assert "a request that names no image" in (resumed.reason or "")


# Which are recovered.


def test_all_that_was_cut_off_is_recovered_by_target(host: Host) -> None:
    cut = [replace(FETCHING, target=f"/vms/{number}/disk") for number in range(3)]
    assert [each.intent for each in host.cut_off(*reversed(cut)).dispatcher(CarefulPool()).recover()] == cut


def test_one_target_may_be_recovered_alone(host: Host) -> None:
    others = replace(FETCHING, target=ELSEWHERE)
    pool = CarefulPool()
    assert len(list(host.cut_off(FETCHING, others).dispatcher(pool).recover(TARGET, keep=False))) == 1
    assert host.under_way == [others]


@pytest.mark.parametrize("busy", [TARGET, ELSEWHERE])
def test_what_somebody_is_at_is_left_to_them(host: Host, elsewhere: ThreadPoolExecutor, busy: str) -> None:
    pool = CarefulPool()
    dispatcher = host.cut_off(MOVING).dispatcher(pool)
    with host.locks.hold(f"target {busy}"):
        assert elsewhere.submit(list, dispatcher.recover()).result(GUARD) == [Recovered(MOVING, Outcome.UNDER_WAY)]
    assert (pool.asked, host.under_way) == ([], [MOVING])


def test_who_is_told_that_somebody_is_at_it_holds_nothing(host: Host, elsewhere: ThreadPoolExecutor) -> None:
    with host.locks.hold(f"target {ELSEWHERE}"):
        recovering = host.cut_off(MOVING).dispatcher(CarefulPool()).recover()
        assert elsewhere.submit(next, recovering).result(GUARD).outcome is Outcome.UNDER_WAY
        assert is_free(host.locks, TARGET)


def test_what_has_come_to_its_end_meanwhile_is_not_recovered(host: Host) -> None:
    others = replace(FETCHING, target=ELSEWHERE)
    pool = CarefulPool()
    recovering = host.cut_off(FETCHING, others).dispatcher(pool).recover()
    assert next(recovering).intent == FETCHING
    host.journal.settle(ELSEWHERE)
    assert list(recovering) == []
    assert pool.verbs == ["recover"]


def test_what_has_been_begun_meanwhile_is_recovered_if_its_ends_are_held(host: Host) -> None:
    others = replace(FETCHING, target="/vms/3/disk")
    for now, seen in [(replace(others, verb=Verb.REMOVE), 1), (replace(MOVING, target="/vms/3/disk"), 0)]:
        pool = CarefulPool()
        recovering = host.cut_off(FETCHING, others).dispatcher(pool).recover()
        next(recovering)
        host.cut_off(now)
        assert len(list(recovering)) == seen


# Verifying.


def test_what_is_found_intact_is_given_as_it_is_recorded(host: Host) -> None:
    recorded = WHOLE.recorded_in(RECORDED)
    events: list[str] = []
    host = Host(told(MemoryAssociations(), events)).recorded(recorded)
    events.clear()
    pool, caller = CarefulPool(verifies=answers(WHOLE)), Context("u")
    assert host.dispatcher(pool).verify(f" {TARGET}\n", caller) == Success(recorded)
    assert pool.asked == [("verify", Work(TARGET, BARE, PLAIN, caller, recorded))]
    assert "put" not in events


def test_what_is_found_out_is_recorded(host: Host) -> None:
    pool = CarefulPool(verifies=answers(WHOLE))
    expected = WHOLE.recorded_in(RECORDED)
    assert host.recorded(RECORDED).dispatcher(pool).verify(TARGET) == Success(expected)
    assert host.known == [expected]


@pytest.mark.parametrize(
    ("verifies", "reason"),
    [(lambda _: Failure(Mismatched("its digest differs")), "its digest differs"), (raises, RAISED)],
)
def test_what_has_changed_or_cannot_be_read_is_told_and_stays_recorded(
    host: Host, verifies: Callable[[Work], Result[Landing, Refusal]], reason: str
) -> None:
    failure = host.recorded(RECORDED).dispatcher(CarefulPool(verifies=verifies)).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert (failure.refusal.reason, host.known) == (reason, [RECORDED])


def test_a_handler_that_cannot_verify_is_told_so(host: Host) -> None:
    failure = host.recorded(RECORDED).dispatcher(Pool()).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.refusal == Unsupported("this handler cannot verify targets")


@pytest.mark.parametrize("target", [ELSEWHERE, "", " "])
def test_what_is_not_recorded_cannot_be_verified(host: Host, target: str) -> None:
    assert isinstance(host.recorded(RECORDED).dispatcher(CarefulPool()).verify(target).failure(), NotAssociated)


def test_what_an_unloaded_handler_put_there_cannot_be_verified(host: Host) -> None:
    host.recorded(replace(RECORDED, handler="vanished"))
    assert isinstance(host.dispatcher(CarefulPool()).verify(TARGET).failure(), HandlerNotLoaded)


# Stores that fail.


@pytest.mark.parametrize("verb", VERBS)
def test_a_journal_that_cannot_be_read_fails_every_verb_before_anything_is_asked(verb: str) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "pending")).recorded(RECORDED), CarefulPool()
    assert VERBS[verb](host.dispatcher(pool)).failure() is BROKEN
    assert (pool.asked, host.known) == ([], [RECORDED])


@pytest.mark.parametrize("verb", CHANGING)
def test_what_cannot_be_written_down_is_not_begun(verb: str) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "begin")).recorded(RECORDED), CarefulPool()
    assert VERBS[verb](host.dispatcher(pool)).failure() is BROKEN
    assert (pool.asked, host.known, host.under_way) == ([], [RECORDED], [])


def test_when_a_second_attempt_cannot_be_written_down_the_first_is_done_with(host: Host) -> None:
    host.journal = breaking(MemoryJournal(), "begin", 2)
    first, second = CarefulPool("first", away), CarefulPool("second")
    assert host.dispatcher(first, second).fetch(REQUEST).failure() is BROKEN
    assert (first.verbs, second.asked, host.under_way) == (["fetch", "recover"], [], [])


def test_what_is_kept_and_cannot_be_looked_up_stays_written_down(host: Host) -> None:
    # Read when it begins, before it is written down, and when something is kept.
    host.journal = breaking(MemoryJournal(), "pending", 3)
    pool = CarefulPool(fetches=broke_off, recovers=answers(PartialData(5)))
    assert host.dispatcher(pool).fetch(REQUEST).failure() is BROKEN
    assert host.under_way == [FETCHING]


@pytest.mark.parametrize("verb", CHANGING)
def test_an_end_that_cannot_be_written_down_is_a_warning_and_recovery_sees_to_it(
    caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    host, pool = Host(journal=breaking(MemoryJournal(), "settle")), CarefulPool(recovers=answers(WHOLE))
    dispatcher = host.recorded(RECORDED).dispatcher(pool)
    assert isinstance(VERBS[verb](dispatcher), Success)
    assert caplog.messages == [f"{TARGET}: the operation is done, but the journal cannot be updated: the disk is full"]
    assert [each.verb for each in host.under_way] == [verb]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert host.under_way == []


@pytest.mark.parametrize("refuses", [away, broke_off])
@pytest.mark.parametrize("verb", ["settle", "begin"])
def test_a_refusal_is_told_though_what_was_tried_cannot_be_seen_to(
    caplog: pytest.LogCaptureFixture, refuses: Callable[..., Any], verb: str
) -> None:
    host = Host(journal=breaking(MemoryJournal(), verb, 2 if verb == "begin" else 1))
    failure = host.dispatcher(CarefulPool(fetches=refuses)).fetch(REQUEST).failure()
    assert isinstance(failure, NoHandlerAvailable)
    has_begun_again = verb == "settle" or refuses is broke_off
    warned = [f"{TARGET}: the last attempt is not recovered yet: the disk is full"]
    assert [each for each in caplog.messages if "not recovered" in each] == warned * has_begun_again
    assert len(host.under_way) == has_begun_again


def test_what_landed_and_cannot_be_recorded_stays_written_down(host: Host) -> None:
    host = Host(breaking(MemoryAssociations(), "put"))
    pool = CarefulPool()
    assert host.dispatcher(pool).fetch(REQUEST).failure() is BROKEN
    assert (pool.verbs, host.under_way) == (["fetch", "remove"], [FETCHING])
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.UNDONE]
    assert (host.known, host.under_way) == ([], [])


def test_what_was_removed_and_cannot_be_forgotten_stays_written_down_until_it_is(host: Host) -> None:
    host = Host(breaking(MemoryAssociations(), "remove")).recorded(RECORDED)
    pool = Pool()
    assert host.dispatcher(pool).remove(TARGET).failure() is BROKEN
    assert host.under_way == [REMOVING]
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([], [])


@pytest.mark.parametrize(("verb", "nth"), [("put", 2), ("remove", 1)])
def test_what_was_moved_and_cannot_be_recorded_stays_written_down_until_it_is(verb: str, nth: int) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED)
    pool = CarefulPool(recovers=answers(WHOLE))
    assert host.dispatcher(pool).move(TARGET, ELSEWHERE).failure() is BROKEN
    assert host.under_way == [MOVING]
    assert [each.outcome for each in host.dispatcher(pool).recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([THERE], [])


@pytest.mark.parametrize(("verb", "nth"), [("get", 1), ("put", 2)])
def test_a_store_that_fails_while_something_is_verified_is_told(verb: str, nth: int) -> None:
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
def test_a_store_that_fails_while_something_is_recovered_leaves_it_to_the_next_recovery(
    intent: Intent, verb: str, nth: int
) -> None:
    host = Host(breaking(MemoryAssociations(), verb, nth)).recorded(RECORDED).cut_off(intent)
    dispatcher = host.dispatcher(CarefulPool(recovers=answers(WHOLE)))
    with pytest.raises(StoreUnavailable):
        list(dispatcher.recover())
    assert host.under_way == [intent]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert host.under_way == []


@pytest.mark.parametrize("verb", ["pending", "settle"])
def test_a_journal_that_fails_while_something_is_recovered_leaves_it_to_the_next_recovery(verb: str) -> None:
    host = Host(journal=breaking(MemoryJournal(), verb)).cut_off(FETCHING)
    dispatcher = host.dispatcher(CarefulPool(recovers=answers(WHOLE)))
    with pytest.raises(StoreUnavailable):
        list(dispatcher.recover())
    assert host.under_way == [FETCHING]
    assert [each.outcome for each in dispatcher.recover()] == [Outcome.FINISHED]
    assert (host.known, host.under_way) == ([LANDED], [])


def test_a_journal_that_cannot_be_listed_is_told_when_it_is_recovered(host: Host) -> None:
    class Unlisted(MemoryJournal):
        def list(self) -> Iterator[Intent]:
            raise BROKEN
            yield FETCHING

    host.journal = Unlisted()
    with pytest.raises(StoreUnavailable):
        next(host.dispatcher(Pool()).recover())
    assert host.dispatcher(Pool()).fetch(REQUEST).unwrap().handler == "pool"


def test_a_refusal_that_rules_out_a_handler_is_seen_to_as_well(host: Host) -> None:
    pools = CarefulPool("first", answers_text), CarefulPool("second", lambda _: Failure(Unconfigured("no key")))
    host.catalog = RecordingCatalog([replace(NOBLE, locations=[PLAIN, PLAIN])], [])
    host.dispatcher(*pools).fetch(REQUEST)
    assert [pool.verbs for pool in pools] == [["fetch"], ["fetch", "recover"]]
    assert host.under_way == []
