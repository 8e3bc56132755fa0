"""The Dispatcher beyond its order: what it records, forgets and undoes, and what it makes of bugs and broken stores."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from returns.result import Failure, Result, Success
from tests.reference import Event, RecordingCatalog
from tests.strategies import HUSH, LANDED_AT, TARGET, urls_with_secrets

from lading import (
    AmbiguousImage,
    Association,
    AssociationStore,
    AttemptResult,
    CatalogUnavailable,
    Context,
    Digest,
    Dispatcher,
    Faulted,
    FetchRequest,
    FetchResult,
    Fingerprint,
    HandlerNotLoaded,
    HandlerRefused,
    Image,
    ImageNotActive,
    ImageNotFound,
    ImageWithoutData,
    Landing,
    Location,
    NoHandlerAvailable,
    NotAssociated,
    Refusal,
    StoreUnavailable,
    TargetOccupied,
    Unavailable,
    Unsettled,
    Unsupported,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.ports.failures import CatalogFailure
from lading.ports.observer import NullObserver

PLAIN = Location("pool://gold/noble")
KEYED = Location("pool://user:word@gold/noble?sig=abc", {"store": "gold"})
NOBLE = Image("1", "noble", size=10, disk_format="raw", locations=[PLAIN])
RECORDED = Association(TARGET, "pool", replace(NOBLE, locations=()), PLAIN, LANDED_AT, "clone", size=10)
VOLUME_BACKED = replace(NOBLE, size=0, properties={"block_device_mapping": '[{"boot_index": 0, "snapshot_id": "8f"}]'})
SHA = Digest("sha256", "ab" * 32)
PRINT = Fingerprint(1, 2, 10, 3, 4)


def landed(_: Work) -> Result[Landing, Refusal]:
    return Success(Landing())


def removed(_: Work) -> Result[None, Refusal]:
    return Success(None)


def moved(_: Work, __: str) -> Result[Landing, Refusal]:
    return Success(Landing())


def raises(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise OSError("no route to pool")


def interrupts(*_: object) -> None:
    raise KeyboardInterrupt


def answers_text(*_: object) -> Any:  # noqa: ANN401 - the bug that is meant
    return "done"


def unavailable(*_: object) -> Result[Any, Refusal]:
    return Failure(Unavailable("the pool is away"))


@dataclass
class Pool:
    """A handler that does what it is told, and keeps what it was asked."""

    name: str = "pool"
    schemes: frozenset[str] | None = frozenset({"pool"})
    fetches: Callable[[Work], Result[Landing, Refusal]] = landed
    removes: Callable[[Work], Result[None, Refusal]] = removed
    moves: Callable[[Work, str], Result[Landing, Refusal]] = moved
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


class FailingStore:
    """Holds what it is given, but fails at one verb."""

    def __init__(self, verb: str, *associations: Association) -> None:
        self._verb = verb
        self._kept = store(*associations)

    def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
        return self._fail() if self._verb == "get" else self._kept.get(target)

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        return self._fail() if self._verb == "put" else self._kept.put(association)

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        return self._fail() if self._verb == "remove" else self._kept.remove(target)

    def list(self, *, handler: str | None = None, image_id: str | None = None) -> Iterator[Association]:
        return self._kept.list(handler=handler, image_id=image_id)

    @staticmethod
    def _fail() -> Result[Any, StoreUnavailable]:
        return Failure(StoreUnavailable("the disk is full"))


class FailingCatalog:
    """Fails to find, or else to tell locations."""

    def __init__(self, failure: CatalogFailure, *, finds: bool = False) -> None:
        self._failure = failure
        self._finds = finds

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return Success(NOBLE) if self._finds else Failure(self._failure)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        return Failure(self._failure)


def store(*associations: Association) -> MemoryAssociations:
    associated = MemoryAssociations()
    for association in associations:
        associated.put(association)
    return associated


def dispatcher(
    *handlers: Pool,
    image: Image = NOBLE,
    associations: AssociationStore | None = None,
    events: list[Event] | None = None,
) -> Dispatcher:
    catalog = RecordingCatalog([image], [] if events is None else events)
    return Dispatcher(handlers, catalog, store() if associations is None else associations, clock=lambda: LANDED_AT)


REQUEST = FetchRequest("1", TARGET)


# What a fetch gives and records.


def test_what_landed_is_recorded_in_full_but_for_locations_and_credentials() -> None:
    landing = Landing("clone", 10, SHA, verified=True, fingerprint=PRINT)
    image, associations = replace(NOBLE, locations=[KEYED]), store()
    dispatcher(Pool(fetches=lambda _: Success(landing)), image=image, associations=associations).fetch(REQUEST)
    assert list(associations.list()) == [
        Association(
            target=TARGET,
            handler="pool",
            image=replace(NOBLE, locations=()),
            location=Location("pool://***@gold/noble?***", {"store": "gold"}),
            landed_at=LANDED_AT,
            method="clone",
            size=10,
            digest=SHA,
            verified=True,
            fingerprint=PRINT,
        )
    ]


def test_what_landed_is_staged_with_every_attempt() -> None:
    landing = Landing("clone", 10)
    pools = Pool("first", fetches=unavailable), Pool("second", fetches=lambda _: Success(landing))
    attempts = (AttemptResult("first", PLAIN, Unavailable("the pool is away")), AttemptResult("second", PLAIN))
    staged = FetchResult(NOBLE, TARGET, "second", PLAIN, landing, attempts)
    assert dispatcher(*pools).fetch(REQUEST) == Success(staged)


def test_of_an_images_locations_the_first_256_are_tried(caplog: pytest.LogCaptureFixture) -> None:
    pool, locations = Pool(fetches=unavailable), [Location(f"pool://gold/{number}") for number in range(257)]
    failure = dispatcher(pool, image=replace(NOBLE, locations=locations)).fetch(REQUEST).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert [tried.location for tried in failure.attempts] == locations[:256]
    assert "image 1 has 257 locations; the first 256 are tried" in caplog.text


def test_an_independent_attempt_is_recorded_without_location() -> None:
    associations = store()
    dispatcher(Pool(schemes=frozenset()), image=Image("1"), associations=associations).fetch(REQUEST)
    assert [(each.image, each.location) for each in associations.list()] == [(Image("1"), None)]


def test_a_request_that_names_no_image_is_recorded_without_one() -> None:
    associations = store()
    dispatcher(Pool(schemes=frozenset()), associations=associations).fetch(FetchRequest(target=TARGET))
    assert [(each.image, each.location) for each in associations.list()] == [(None, None)]


def test_without_a_clock_it_is_recorded_when_it_landed_in_utc() -> None:
    associations, before = store(), datetime.now(UTC)
    Dispatcher([Pool()], RecordingCatalog([NOBLE], []), associations).fetch(REQUEST)
    [association] = associations.list()
    assert before <= association.landed_at <= datetime.now(UTC)
    assert association.landed_at.utcoffset() == timedelta(0)


def test_a_copy_of_another_target_stays_recorded_as_that_copy() -> None:
    associations = store()
    dispatcher(Pool(fetches=lambda _: Success(Landing("copy", copied_from="/vms/2"))), associations=associations).fetch(
        REQUEST
    )
    [association] = associations.list()
    assert (association.copied_from, association.location) == ("/vms/2", PLAIN)
    assert Landing.already(association).copied_from == "/vms/2"
    assert Landing("verify").recorded_in(association).copied_from == "/vms/2"


def test_what_was_present_is_not_recorded_again() -> None:
    associations = store(RECORDED)
    outcome = dispatcher(
        Pool(fetches=lambda _: Success(Landing("check", present=True))), associations=associations
    ).fetch(REQUEST)
    assert outcome.unwrap().landing.present
    assert list(associations.list()) == [RECORDED]


@pytest.mark.parametrize("target", ["", " \n", None])
def test_without_a_target_it_is_fetched_but_neither_looked_up_nor_recorded(target: str) -> None:
    pool, associations = Pool(), FailingStore("get")
    outcome = dispatcher(pool, associations=associations).fetch(FetchRequest("1", target))
    assert (outcome.unwrap().target, pool.asked[0][1].target) == ("", "")
    assert list(associations.list()) == []


def test_a_handler_is_told_all_about_the_request() -> None:
    pool, observer, caller = Pool(), NullObserver(), Context("u", "p", object())
    other = replace(RECORDED, image=Image("2"))
    request = FetchRequest(" 1 ", f" {TARGET}\n", caller, force=True, observer=observer)
    dispatcher(pool, associations=store(other)).fetch(request)
    [(_, work)] = pool.asked
    assert work == Work(TARGET, NOBLE, PLAIN, caller, other, force=True)
    assert work.observer is observer


def test_handlers_may_not_share_a_name() -> None:
    with pytest.raises(ValueError, match="handlers share a name: pool, pool"):
        dispatcher(Pool(), Pool())


# The associated attempt.


def test_an_associated_handler_is_told_what_is_recorded() -> None:
    pool = Pool()
    dispatcher(pool, associations=store(RECORDED)).fetch(REQUEST)
    assert [work for _, work in pool.asked] == [Work(TARGET, RECORDED.image, PLAIN, association=RECORDED)]


@pytest.mark.parametrize(
    ("about", "leads"), [(Image("2"), False), (Image("2", "1"), True), (Image("1"), True), (None, True)]
)
def test_an_association_leads_unless_it_is_about_another_image(about: Image | None, leads: bool) -> None:
    recorded = replace(RECORDED, handler="second", image=about)
    plan = dispatcher(Pool("first"), Pool("second"), associations=store(recorded)).plan(REQUEST)
    assert [attempt.handler.name for attempt in plan] == ["second"] * leads + ["first", "second"]


@pytest.mark.parametrize(("image_id", "leads"), [("1", True), ("noble", False)])
def test_who_forces_by_name_means_the_image_that_has_it_now(image_id: str, leads: bool) -> None:
    recorded = replace(RECORDED, handler="second")
    plan = dispatcher(Pool("first"), Pool("second"), associations=store(recorded)).plan(
        FetchRequest(image_id, TARGET, force=True)
    )
    assert [attempt.handler.name for attempt in plan] == ["second"] * leads + ["first", "second"]


def test_an_association_is_of_its_image_by_id_name_or_href_and_of_any_when_it_has_none() -> None:
    recorded = replace(RECORDED, image=Image("1", "noble", properties={"self": "/v2/images/1"}))
    of = [reference for reference in ("1", "noble", "/v2/images/1", "2") if recorded.is_of(reference)]
    assert of == ["1", "noble", "/v2/images/1"]
    assert replace(RECORDED, image=None).is_of("2")


def test_an_association_with_a_handler_that_is_not_loaded_is_passed_over_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = replace(RECORDED, handler="vanished")
    assert dispatcher(Pool(), associations=store(recorded)).fetch(REQUEST).unwrap().handler == "pool"
    assert caplog.messages == [f"{TARGET} was put there by the handler 'vanished', which is not loaded (loaded: pool)"]


def test_a_location_whose_credentials_were_withheld_is_taken_from_the_catalog() -> None:
    pool, events = Pool(fetches=unavailable), list[Event]()
    image, recorded = replace(NOBLE, locations=[PLAIN, KEYED]), replace(RECORDED, location=KEYED.redacted())
    dispatcher(pool, image=image, associations=store(recorded), events=events).fetch(REQUEST)
    assert [work.location for _, work in pool.asked] == [KEYED, PLAIN, KEYED]
    assert pool.asked[0][1].image == image


@pytest.mark.parametrize("request_", [REQUEST, FetchRequest(target=TARGET)])
def test_a_withheld_location_that_the_catalog_lost_still_leads_but_no_handler_is_sent_there(
    request_: FetchRequest,
) -> None:
    """Its turn is its own: a handler can still remove what it fetched from there."""
    pool, recorded = Pool(fetches=unavailable), replace(RECORDED, location=KEYED.redacted())
    asking = dispatcher(pool, associations=store(recorded))
    assert asking.plan(request_)[0].location == KEYED.redacted()
    assert "credentials" in str(asking.fetch(request_).failure())
    assert KEYED.redacted() not in [work.location for _, work in pool.asked]


def test_a_withheld_location_still_leads_when_the_catalog_fails() -> None:
    pool, recorded = Pool(), replace(RECORDED, location=KEYED.redacted())
    failing = Dispatcher([pool], FailingCatalog(CatalogUnavailable("HTTP 503")), store(recorded))
    assert next(failing.attempts(REQUEST)).location == KEYED.redacted()
    assert str(failing.fetch(REQUEST).failure()) == "HTTP 503"
    assert pool.asked == []


# Attempts, driven by hand.


def test_a_plan_asks_no_handler_and_records_nothing() -> None:
    pools, associations = (Pool("first"), Pool("second", schemes=frozenset())), store()
    assert len(dispatcher(*pools, associations=associations).plan(REQUEST)) == 3
    assert [pool.asked for pool in pools] == [[], []]
    assert list(associations.list()) == []


def test_an_attempt_that_nobody_settles_counts_as_not_handled() -> None:
    attempts = dispatcher(Pool()).attempts(REQUEST)
    assert next(attempts).location == PLAIN
    with pytest.raises(NoHandlerAvailable) as raised:
        next(attempts)
    assert raised.value.attempts == (AttemptResult("pool", PLAIN, Unsettled()),)


def test_a_success_without_a_landing_ends_the_search_unrecorded() -> None:
    associations = store()
    attempts = dispatcher(Pool("first"), Pool("second"), associations=associations).attempts(REQUEST)
    for attempt in attempts:
        attempt.settle(Success(None))
        assert (attempt.handler.name, attempt.refusal) == ("first", None)
    assert list(associations.list()) == []


def test_an_attempt_settled_as_landed_is_recorded() -> None:
    associations = store()
    for attempt in dispatcher(Pool("first"), Pool("second"), associations=associations).attempts(REQUEST):
        attempt.settle(Success(Landing("clone")))
        assert attempt.landing == Landing("clone")
    assert [(each.handler, each.method) for each in associations.list()] == [("first", "clone")]


def test_an_attempt_that_can_not_be_recorded_is_undone_and_stays_unsettled() -> None:
    pool = Pool()
    attempt = next(dispatcher(pool, associations=FailingStore("put")).attempts(REQUEST))
    with pytest.raises(StoreUnavailable):
        attempt.settle(Success(Landing()))
    assert (pool.verbs, attempt.landing, attempt.refusal) == (["remove"], None, Unsettled())


def test_an_attempt_settled_with_what_is_no_result_stays_unsettled() -> None:
    attempt = next(dispatcher(Pool()).attempts(REQUEST))
    attempt.settle("done")  # type: ignore[arg-type]  # the bug that is meant
    assert (attempt.landing, attempt.refusal) == (None, Unsettled())


def test_the_repr_of_an_attempt_tells_how_it_went_but_no_secrets() -> None:
    attempt = dispatcher(Pool(), image=replace(NOBLE, locations=[KEYED])).plan(REQUEST)[0]
    assert repr(attempt) == ("Attempt(pool pool://***@gold/noble?***: not settled)")


# Catalogs that fail.


@pytest.mark.parametrize("finds", [False, True])
@pytest.mark.parametrize(
    "failure", [ImageNotFound("1", "Glance"), AmbiguousImage("1", ("a", "b")), CatalogUnavailable("HTTP 503")]
)
def test_a_fetch_fails_with_the_catalogs_failure(failure: CatalogFailure, *, finds: bool) -> None:
    pool = Pool()
    failing = Dispatcher([pool], FailingCatalog(failure, finds=finds), store())
    assert failing.fetch(REQUEST).failure() is failure
    with pytest.raises(type(failure)):
        failing.plan(REQUEST)
    assert pool.asked == []


@pytest.mark.parametrize("status", ["queued", "deactivated"])
def test_an_image_that_is_not_active_is_not_fetched(status: str) -> None:
    pool = Pool()
    failure = dispatcher(pool, image=replace(NOBLE, status=status)).fetch(REQUEST).failure()
    assert isinstance(failure, ImageNotActive)
    assert (failure.image_id, failure.status, pool.asked) == ("1", status, [])


def test_the_snapshot_of_a_volume_backed_server_is_not_fetched() -> None:
    pool = Pool()
    failure = dispatcher(pool, image=VOLUME_BACKED).fetch(REQUEST).failure()
    assert isinstance(failure, ImageWithoutData)
    assert (failure.image_id, failure.disks, pool.asked) == ("1", ("volume snapshot 8f",), [])


@pytest.mark.parametrize("image_id", ["1", "noble", None])
def test_what_is_recorded_of_such_a_snapshot_does_not_lead(image_id: str | None) -> None:
    pool, recorded = Pool(), replace(RECORDED, image=replace(VOLUME_BACKED, locations=()))
    outcome = dispatcher(pool, image=VOLUME_BACKED, associations=store(recorded)).fetch(FetchRequest(image_id, TARGET))
    assert isinstance(outcome, Failure)
    assert pool.asked == []


def test_a_catalog_that_fails_is_no_matter_once_the_associated_handler_handled() -> None:
    failing = Dispatcher([Pool()], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    assert failing.fetch(REQUEST).unwrap().handler == "pool"


# What a fetch is said to come to.


@dataclass
class Seer(Pool):
    """One that can tell beforehand."""

    foresees: Callable[[Work], Result[str, Refusal]] = lambda _: Success("clones it")

    def preview(self, work: Work) -> Result[str, Refusal]:
        return self.foresees(work)


def test_a_preview_tells_what_it_costs_and_whether_it_would_do() -> None:
    blind, away = Pool("blind"), Seer("away", foresees=unavailable)
    previewed = dispatcher(away, blind).preview(REQUEST)
    assert [(each.handler, each.location, each.cost, each.would) for each in previewed] == [
        ("away", PLAIN, None, False),
        ("blind", PLAIN, None, True),
    ]
    assert previewed[1].outcome == Success("would be tried; this handler has no preview")
    assert (blind.asked, away.asked) == ([], [])


@pytest.mark.parametrize("answer", [None, Success(None), Failure("no")])
def test_a_preview_of_a_handler_that_answers_nonsense_is_a_fault(answer: Any) -> None:  # noqa: ANN401 - the bug that is meant
    first, second = dispatcher(Seer("buggy", foresees=lambda _: answer), Seer()).preview(REQUEST)
    assert isinstance(first.outcome.failure(), Faulted)
    assert second.would


def test_a_preview_of_a_handler_that_raises_tells_no_secret() -> None:
    def leak(work: Work) -> Result[str, Refusal]:
        raise OSError(f"can't open {work.location and work.location.url}")

    [previewed] = dispatcher(Seer(foresees=leak), image=replace(NOBLE, locations=[KEYED])).preview(REQUEST)
    assert isinstance(previewed.outcome.failure(), Faulted)
    assert "word" not in f"{previewed}"


def test_a_preview_asks_no_handler_about_a_location_that_lost_its_credentials() -> None:
    recorded = replace(RECORDED, location=Location("pool://***@gone/noble"))
    led, other = dispatcher(Seer(), associations=store(recorded)).preview(REQUEST)
    assert isinstance(led.outcome.failure(), Unavailable)
    assert (other.location, other.would) == (PLAIN, True)


def test_a_preview_needs_no_catalog_where_the_associated_handler_would_do() -> None:
    failing = Dispatcher([Seer()], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    assert [each.would for each in failing.preview(REQUEST)] == [True]
    refusing = Dispatcher([Seer(foresees=unavailable)], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    with pytest.raises(CatalogUnavailable):
        refusing.preview(REQUEST)


def test_a_preview_shows_no_credentials_in_the_way_of_transfer_or_in_a_reason() -> None:
    told = "downloads from http://u:p@host/a?sig=b"
    seers = (
        Seer("will", foresees=lambda _: Success(told)),
        Seer("will not", foresees=lambda _: Failure(Unavailable(told))),
    )
    masked = "downloads from http://***@host/a?***"
    assert [each.reason for each in dispatcher(*seers).preview(REQUEST)] == [masked, masked]


def test_a_preview_gives_the_results_that_a_fetch_would_report() -> None:
    previews = dispatcher(Seer("away", foresees=unavailable), Seer()).preview(REQUEST)
    fetched = dispatcher(Pool("away", fetches=unavailable), Pool()).fetch_or_raise(REQUEST)
    assert tuple(each.result for each in previews) == fetched.attempts


def test_a_fetch_can_raise_its_failure_instead() -> None:
    assert dispatcher(Pool()).fetch_or_raise(REQUEST).handler == "pool"
    with pytest.raises(NoHandlerAvailable):
        dispatcher(Pool(fetches=unavailable)).fetch_or_raise(REQUEST)


# Handlers with bugs.


def test_a_handler_that_raises_has_faulted_and_the_next_has_its_turn() -> None:
    staged = dispatcher(Pool("buggy", fetches=raises), Pool()).fetch(REQUEST).unwrap()
    assert staged.attempts == (
        AttemptResult("buggy", PLAIN, Faulted("raised OSError; the debug log has more")),
        AttemptResult("pool", PLAIN),
    )


def test_a_handler_that_raises_without_a_location_has_faulted_too() -> None:
    failure = dispatcher(Pool(schemes=frozenset(), fetches=raises)).fetch(FetchRequest(target=TARGET)).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert failure.attempts == (AttemptResult("pool", None, Faulted("raised OSError; the debug log has more")),)


def test_the_trace_of_what_a_handler_raised_is_there_for_those_who_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lading"):
        dispatcher(Pool("buggy", fetches=raises)).fetch(REQUEST)
    record = caplog.records[0]
    assert (record.levelname, record.getMessage()) == ("DEBUG", f"{TARGET}: handler buggy raised")
    assert record.exc_info is not None


def test_a_handler_that_answers_no_result_has_faulted_and_the_next_has_its_turn() -> None:
    staged = dispatcher(Pool("buggy", fetches=answers_text), Pool()).fetch(REQUEST).unwrap()
    assert [type(each.refusal) for each in staged.attempts] == [Faulted, type(None)]
    assert "answered a str, which is no Landing" in str(staged.attempts[0])


@pytest.mark.parametrize("answer", [Success(None), Success("x"), Failure("x"), Failure(None)])
def test_a_handler_whose_result_holds_the_wrong_thing_has_faulted(answer: Result[Any, Any]) -> None:
    staged = dispatcher(Pool("buggy", fetches=lambda _: answer), Pool()).fetch(REQUEST).unwrap()
    assert [type(each.refusal) for each in staged.attempts] == [Faulted, type(None)]
    pool, associations = Pool(moves=lambda _, __: answer, removes=lambda _: answer), store(RECORDED)
    asking = dispatcher(pool, associations=associations)
    assert isinstance(asking.move(TARGET, "/vms/2/disk").failure(), HandlerRefused)
    if answer != Success(None):
        assert "no refusal" in str(asking.remove(TARGET).failure())
    assert associations.get(TARGET) == Success(RECORDED)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_an_exception_that_cannot_be_shown_is_a_fault_too() -> None:
    def raises(_: Work) -> Result[Landing, Refusal]:
        raise Unprintable

    assert "raised Unprintable" in str(dispatcher(Pool(fetches=raises)).fetch(REQUEST).failure())


@given(urls_with_secrets())
def test_what_a_handler_raises_is_told_without_the_secrets_of_its_location(url: str) -> None:
    def leak(work: Work) -> Result[Landing, Refusal]:
        raise OSError(f"can't open {work.location and work.location.url}: {work.location}")

    pool = Pool(schemes=frozenset(), fetches=leak)
    failure = dispatcher(pool, image=replace(NOBLE, locations=[Location(url)])).fetch(REQUEST).failure()
    assert "raised OSError" in str(failure)
    assert HUSH not in f"{failure} {failure!r}"


@pytest.mark.parametrize("bug", [raises, answers_text])
def test_a_handler_with_a_bug_refuses_to_remove_and_move_and_stays_associated(bug: Callable[..., Any]) -> None:
    associations = store(RECORDED)
    buggy = dispatcher(Pool(removes=bug, moves=bug), associations=associations)
    outcomes = [buggy.remove(TARGET).failure(), buggy.move(TARGET, "/vms/2/disk").failure()]
    assert [isinstance(each, HandlerRefused) and type(each.refusal) for each in outcomes] == [Faulted, Faulted]
    assert list(associations.list()) == [RECORDED]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_bug_of_the_handlers(interrupt: type[BaseException]) -> None:
    def interrupted(_: Work) -> Result[Landing, Refusal]:
        raise interrupt

    with pytest.raises(interrupt):
        dispatcher(Pool(fetches=interrupted), Pool("next")).fetch(REQUEST)


# Stores that fail.


def test_a_store_that_can_not_be_read_fails_every_verb_before_anything_is_asked() -> None:
    pool, events, failing = Pool(), list[Event](), FailingStore("get")
    broken = dispatcher(pool, associations=failing, events=events)
    outcomes = broken.fetch(REQUEST), broken.remove(TARGET), broken.move(TARGET, "/vms/2/disk")
    assert [str(outcome.failure()) for outcome in outcomes] == ["the disk is full"] * 3
    assert (pool.asked, events) == ([], [])


def test_what_can_not_be_recorded_is_removed_again_and_no_other_handler_tries() -> None:
    pool, other = Pool(), Pool("other")
    failure = dispatcher(pool, other, associations=FailingStore("put")).fetch(REQUEST).failure()
    assert isinstance(failure, StoreUnavailable)
    assert (pool.verbs, other.verbs) == (["fetch", "remove"], [])
    (_, fetching), (_, removing) = pool.asked
    assert replace(removing, association=None) == fetching


def test_what_can_not_be_recorded_is_removed_as_what_it_is_not_as_what_was_there_before() -> None:
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
def test_what_can_neither_be_recorded_nor_removed_is_an_error_in_the_log(
    removes: Callable[[Work], Result[None, Refusal]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    failure = dispatcher(Pool(removes=removes), associations=FailingStore("put")).fetch(REQUEST).failure()
    assert isinstance(failure, StoreUnavailable)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", f"{TARGET} is there, but recorded nowhere: {reason}")
    ]


def test_what_replaced_something_and_can_not_be_recorded_stays_and_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = Pool()
    failure = dispatcher(pool, associations=FailingStore("put")).fetch(replace(REQUEST, force=True)).failure()
    assert isinstance(failure, StoreUnavailable)
    assert pool.verbs == ["fetch"]
    assert caplog.messages == [f"{TARGET} is there, but recorded nowhere: it replaced what was there"]


def test_what_was_interrupted_while_it_was_recorded_is_removed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, interrupted = Pool(), store()
    monkeypatch.setattr(interrupted, "put", interrupts)
    with pytest.raises(KeyboardInterrupt):
        dispatcher(pool, associations=interrupted).fetch(REQUEST)
    assert pool.verbs == ["fetch", "remove"]


def test_a_removal_that_can_not_be_forgotten_fails_and_may_be_repeated() -> None:
    pool, failing = Pool(), FailingStore("remove", RECORDED)
    outcomes = [dispatcher(pool, associations=failing).remove(TARGET).failure() for _ in range(2)]
    assert [type(each) for each in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert (pool.verbs, list(failing.list())) == (["remove", "remove"], [RECORDED])


def test_a_move_that_can_not_be_recorded_is_moved_back() -> None:
    pool, failing = Pool(), FailingStore("put", RECORDED)
    failure = dispatcher(pool, associations=failing).move(TARGET, "/vms/2/disk").failure()
    assert isinstance(failure, StoreUnavailable)
    assert [work.target for _, work in pool.asked] == [TARGET, "/vms/2/disk"]
    assert (pool.moved_to, list(failing.list())) == (["/vms/2/disk", TARGET], [RECORDED])


@pytest.mark.parametrize(
    ("moves_back", "reason"), [(unavailable, "the pool is away"), (raises, "raised OSError; the debug log has more")]
)
def test_a_move_that_can_neither_be_recorded_nor_moved_back_is_an_error_in_the_log(
    moves_back: Callable[..., Result[Landing, Refusal]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(moves=lambda work, to: moved(work, to) if work.target == TARGET else moves_back(work, to))
    failure = dispatcher(pool, associations=FailingStore("put", RECORDED)).move(TARGET, "/vms/2/disk").failure()
    assert isinstance(failure, StoreUnavailable)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", f"{TARGET} is at /vms/2/disk now, but recorded nowhere: {reason}")
    ]


def test_a_move_whose_source_can_not_be_forgotten_fails_but_is_recorded_where_it_is() -> None:
    pool, failing = Pool(), FailingStore("remove", RECORDED)
    assert isinstance(dispatcher(pool, associations=failing).move(TARGET, "/vms/2/disk").failure(), StoreUnavailable)
    assert (pool.verbs, [each.target for each in failing.list()]) == (["move"], [TARGET, "/vms/2/disk"])


# Removing and moving.


def test_a_removal_goes_to_the_associated_handler_and_forgets_the_target() -> None:
    pool, other, associations, caller = Pool(), Pool("other"), store(RECORDED), Context("u")
    assert dispatcher(other, pool, associations=associations).remove(f" {TARGET} ", caller) == Success(RECORDED)
    assert pool.asked == [("remove", Work(TARGET, RECORDED.image, PLAIN, caller, RECORDED))]
    assert (other.asked, list(associations.list())) == ([], [])


def test_a_forced_removal_is_forced_on_the_handler() -> None:
    pool = Pool()
    dispatcher(pool, associations=store(RECORDED)).remove(TARGET, force=True).unwrap()
    assert [work.force for _, work in pool.asked] == [True]


def test_a_move_goes_to_the_associated_handler_and_keeps_what_is_recorded_but_the_fingerprint() -> None:
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
def test_a_move_to_nowhere_or_to_the_same_place_is_refused_without_asking_the_handler(
    destination: str, reason: str
) -> None:
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
def test_what_is_not_associated_can_neither_be_removed_nor_moved(target: str) -> None:
    pool = Pool()
    empty = dispatcher(pool)
    failures = [empty.remove(target).failure(), empty.move(target, "/vms/2/disk").failure()]
    assert [type(each) for each in failures] == [NotAssociated, NotAssociated]
    assert {str(each) for each in failures} == {f"nothing is recorded for {target.strip() or 'a blank target'}"}
    assert pool.asked == []


def test_what_an_unloaded_handler_put_there_can_neither_be_removed_nor_moved() -> None:
    associations = store(replace(RECORDED, handler="vanished"))
    lacking = dispatcher(Pool(), associations=associations)
    failures = [lacking.remove(TARGET).failure(), lacking.move(TARGET, "/vms/2/disk").failure()]
    assert [type(each) for each in failures] == [HandlerNotLoaded, HandlerNotLoaded]
    assert [each.target for each in associations.list()] == [TARGET]


def test_what_the_handler_refuses_to_remove_or_move_stays_associated() -> None:
    occupied = TargetOccupied("something is there")
    pool, associations = Pool(removes=unavailable, moves=lambda *_: Failure(occupied)), store(RECORDED)
    refusing = dispatcher(pool, associations=associations)
    failures = [refusing.remove(TARGET).failure(), refusing.move(TARGET, "/vms/2/disk").failure()]
    assert [str(each) for each in failures] == [
        f"{TARGET}: pool: the pool is away",
        f"{TARGET}: pool: something is there",
    ]
    assert list(associations.list()) == [RECORDED]


# Catalogs with bugs.


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (KeyError("s3cret"), "the catalog: raised KeyError; the debug log has more"),
        (CatalogUnavailable("HTTP 503"), "HTTP 503"),
        (StoreUnavailable("no http://u:p@host"), "the catalog: no http://***@host"),
    ],
)
@pytest.mark.parametrize("verb", ["find", "locations"])
def test_a_catalog_that_raises_is_a_catalog_that_fails(verb: str, raised: Exception, failure: str) -> None:
    def raises(*_: object) -> Result[Any, Any]:
        raise raised

    catalog = MemoryCatalog([NOBLE])
    setattr(catalog, verb, raises)
    outcome = Dispatcher([Pool()], catalog, store()).fetch(REQUEST).failure()
    assert (type(outcome), str(outcome)) == (CatalogUnavailable, failure)


def test_a_failure_that_cannot_be_shown_is_told_by_its_type() -> None:
    class Mute(StoreUnavailable):
        def __str__(self) -> str:
            raise ValueError

    def raises(_: Work) -> Result[Landing, Refusal]:
        raise Mute("s3cret")

    assert "pool pool://gold/noble: raised Mute; the debug log has more" in str(
        dispatcher(Pool(fetches=raises)).fetch(REQUEST).failure()
    )


def test_a_refusal_is_told_without_the_credentials_in_its_words() -> None:
    def refuses(_: Work) -> Result[Landing, Refusal]:
        return Failure(Unavailable("http://u:p@host/a?sig=b: HTTP 403", kept=3))

    refused = dispatcher(Pool(fetches=refuses)).fetch(REQUEST).failure()
    assert isinstance(refused, NoHandlerAvailable)
    assert refused.attempts[0].refusal == Unavailable("http://***@host/a?***: HTTP 403", kept=3)


def test_what_is_recorded_of_an_image_has_no_credentials_in_its_properties() -> None:
    associations = store()
    image = replace(NOBLE, properties={"copy_from": "http://u:p@host/a", "hw_disk_bus": "virtio"})
    dispatcher(Pool(), image=image, associations=associations).fetch(REQUEST).unwrap()
    recorded = associations.get(TARGET).unwrap()
    assert recorded is not None
    assert recorded.image is not None
    assert recorded.image.properties == {"copy_from": "http://***@host/a", "hw_disk_bus": "virtio"}
