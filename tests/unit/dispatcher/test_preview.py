"""A preview gives the results that a fetch would report."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from returns.result import Failure, Result, Success
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

from lading import CatalogUnavailable, Dispatcher, Faulted, Location, NoHandlerAvailable, Refusal, Unavailable, Work


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
def test_a_handler_that_previews_nonsense_is_faulted(answer: Any) -> None:  # noqa: ANN401 - the bug that is meant
    first, second = dispatcher(Seer("buggy", foresees=lambda _: answer), Seer()).preview(REQUEST)
    assert isinstance(first.outcome.failure(), Faulted)
    assert second.would


def test_the_preview_of_a_handler_that_raises_shows_no_secret() -> None:
    def leak(work: Work) -> Result[str, Refusal]:
        raise OSError(f"can't open {work.location and work.location.url}")

    [previewed] = dispatcher(Seer(foresees=leak), image=replace(NOBLE, locations=[KEYED])).preview(REQUEST)
    assert isinstance(previewed.outcome.failure(), Faulted)
    assert "word" not in f"{previewed}"


def test_a_preview_calls_no_handler_with_a_redacted_location() -> None:
    recorded = replace(RECORDED, location=Location("pool://***@gone/noble"))
    led, other = dispatcher(Seer(), associations=store(recorded)).preview(REQUEST)
    assert isinstance(led.outcome.failure(), Unavailable)
    assert (other.location, other.would) == (PLAIN, True)


def test_a_preview_by_the_associated_handler_needs_no_catalog() -> None:
    failing = Dispatcher([Seer()], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    assert [each.would for each in failing.preview(REQUEST)] == [True]
    refusing = Dispatcher([Seer(foresees=unavailable)], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    with pytest.raises(CatalogUnavailable):
        refusing.preview(REQUEST)


def test_a_preview_shows_no_credentials_in_a_method_or_a_reason() -> None:
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
