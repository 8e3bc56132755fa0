"""The attempt of the associated handler."""

from dataclasses import replace

import pytest
from tests.reference import Event
from tests.strategies import TARGET
from tests.unit.dispatcher.pool import (
    KEYED,
    NOBLE,
    PLAIN,
    RECORDED,
    REQUEST,
    FailingCatalog,
    Pool,
    dispatcher,
    store,
    unavailable,
)

from lading import CatalogUnavailable, Dispatcher, FetchRequest, Image, Work


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
def test_a_forced_name_means_the_image_that_has_it_now(image_id: str, leads: bool) -> None:
    recorded = replace(RECORDED, handler="second")
    plan = dispatcher(Pool("first"), Pool("second"), associations=store(recorded)).plan(
        FetchRequest(image_id, TARGET, force=True)
    )
    assert [attempt.handler.name for attempt in plan] == ["second"] * leads + ["first", "second"]


def test_an_association_matches_its_image_by_id_name_or_href() -> None:
    recorded = replace(RECORDED, image=Image("1", "noble", properties={"self": "/v2/images/1"}))
    of = [reference for reference in ("1", "noble", "/v2/images/1", "2") if recorded.is_of(reference)]
    assert of == ["1", "noble", "/v2/images/1"]
    assert replace(RECORDED, image=None).is_of("2")


def test_an_image_found_by_a_url_does_not_match_its_files_name() -> None:
    """An image of that name in a catalog is another one."""
    url = "https://host/noble.img"
    recorded = replace(RECORDED, image=Image(f"{url}#etag=00", "noble.img", properties={"self": url}))
    assert [each for each in ("noble.img", url, f"{url}#etag=00") if recorded.is_of(each)] == [url, f"{url}#etag=00"]
    assert replace(RECORDED, image=Image("oci://host/noble@sha256:00", "oci://host/noble:1")).is_of(
        "oci://host/noble:1"
    )


def test_an_association_of_an_unloaded_handler_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = replace(RECORDED, handler="vanished")
    assert dispatcher(Pool(), associations=store(recorded)).fetch(REQUEST).unwrap().handler == "pool"
    assert caplog.messages == [f"{TARGET} was put there by the handler 'vanished', which is not loaded (loaded: pool)"]


def test_a_redacted_location_is_taken_from_the_catalog() -> None:
    pool, events = Pool(fetches=unavailable), list[Event]()
    image, recorded = replace(NOBLE, locations=[PLAIN, KEYED]), replace(RECORDED, location=KEYED.redacted())
    dispatcher(pool, image=image, associations=store(recorded), events=events).fetch(REQUEST)
    assert [work.location for _, work in pool.asked] == [KEYED, PLAIN, KEYED]
    assert pool.asked[0][1].image == image


@pytest.mark.parametrize("request_", [REQUEST, FetchRequest(target=TARGET)])
def test_no_handler_gets_a_redacted_location_that_the_catalog_lost(
    request_: FetchRequest,
) -> None:
    """Its turn is its own: a handler can still remove what it fetched from there."""
    pool, recorded = Pool(fetches=unavailable), replace(RECORDED, location=KEYED.redacted())
    asking = dispatcher(pool, associations=store(recorded))
    assert asking.plan(request_)[0].location == KEYED.redacted()
    assert "credentials" in str(asking.fetch(request_).failure())
    assert KEYED.redacted() not in [work.location for _, work in pool.asked]


def test_a_redacted_location_still_leads_when_the_catalog_fails() -> None:
    pool, recorded = Pool(), replace(RECORDED, location=KEYED.redacted())
    failing = Dispatcher([pool], FailingCatalog(CatalogUnavailable("HTTP 503")), store(recorded))
    assert next(failing.attempts(REQUEST)).location == KEYED.redacted()
    assert str(failing.fetch(REQUEST).failure()) == "HTTP 503"
    assert pool.asked == []
