"""What a fetch gives and records, and attempts that are driven by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from returns.result import Success
from tests.reference import RecordingCatalog
from tests.strategies import LANDED_AT, TARGET
from tests.unit.dispatcher.pool import (
    KEYED,
    NOBLE,
    PLAIN,
    PRINT,
    RECORDED,
    REQUEST,
    FailingStore,
    Pool,
    dispatcher,
    store,
    unavailable,
)

from lading import (
    Association,
    AttemptResult,
    Context,
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Image,
    Landing,
    Location,
    NoHandlerAvailable,
    StoreUnavailable,
    Unavailable,
    Unsettled,
    Work,
)
from lading.ports.observer import NullObserver

SHA = Digest("sha256", "ab" * 32)

# What a fetch gives and records.


def test_a_fetch_is_recorded_without_locations_and_credentials() -> None:
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


def test_the_result_of_a_fetch_has_every_attempt() -> None:
    landing = Landing("clone", 10)
    pools = Pool("first", fetches=unavailable), Pool("second", fetches=lambda _: Success(landing))
    attempts = (AttemptResult("first", PLAIN, Unavailable("the pool is away")), AttemptResult("second", PLAIN))
    staged = FetchResult(NOBLE, TARGET, "second", PLAIN, landing, attempts)
    assert dispatcher(*pools).fetch(REQUEST) == Success(staged)


def test_the_first_256_locations_of_an_image_are_tried(caplog: pytest.LogCaptureFixture) -> None:
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


def test_without_a_clock_the_time_of_landing_is_recorded_in_utc() -> None:
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


def test_an_image_that_was_present_is_not_recorded_again() -> None:
    associations = store(RECORDED)
    outcome = dispatcher(
        Pool(fetches=lambda _: Success(Landing("check", present=True))), associations=associations
    ).fetch(REQUEST)
    assert outcome.unwrap().landing.present
    assert list(associations.list()) == [RECORDED]


@pytest.mark.parametrize("target", ["", " \n", None])
def test_without_a_target_a_fetch_is_neither_looked_up_nor_recorded(target: str) -> None:
    pool, associations = Pool(), FailingStore("get")
    outcome = dispatcher(pool, associations=associations).fetch(FetchRequest("1", target))
    assert (outcome.unwrap().target, pool.asked[0][1].target) == ("", "")
    assert list(associations.list()) == []


def test_a_handler_gets_all_of_the_request() -> None:
    pool, observer, caller = Pool(), NullObserver(), Context("u", "p", object())
    other = replace(RECORDED, image=Image("2"))
    request = FetchRequest(" 1 ", f" {TARGET}\n", caller, force=True, reverify=True, observer=observer)
    dispatcher(pool, associations=store(other)).fetch(request)
    [(_, work)] = pool.asked
    assert work == Work(TARGET, NOBLE, PLAIN, caller, other, force=True, reverify=True)
    assert work.observer is observer


def test_handlers_may_not_share_a_name() -> None:
    with pytest.raises(ValueError, match="handlers share a name: pool, pool"):
        dispatcher(Pool(), Pool())


# Attempts, driven by hand.


def test_a_plan_calls_no_handler_and_records_nothing() -> None:
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


def test_an_attempt_that_cannot_be_recorded_is_undone() -> None:
    pool = Pool()
    attempt = next(dispatcher(pool, associations=FailingStore("put")).attempts(REQUEST))
    with pytest.raises(StoreUnavailable):
        attempt.settle(Success(Landing()))
    assert (pool.verbs, attempt.landing, attempt.refusal) == (["remove"], None, Unsettled())


def test_an_attempt_settled_with_no_result_stays_unsettled() -> None:
    attempt = next(dispatcher(Pool()).attempts(REQUEST))
    attempt.settle("done")  # type: ignore[arg-type]  # the bug that is meant
    assert (attempt.landing, attempt.refusal) == (None, Unsettled())


def test_the_repr_of_an_attempt_tells_how_it_went_but_no_secrets() -> None:
    attempt = dispatcher(Pool(), image=replace(NOBLE, locations=[KEYED])).plan(REQUEST)[0]
    assert repr(attempt) == ("Attempt(pool pool://***@gold/noble?***: not settled)")
