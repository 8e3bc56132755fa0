"""Laws of failures, whatever the refusals are."""

import pickle
from dataclasses import replace
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st
from tests.reference import RecordingCatalog
from tests.strategies import HUSH, TARGET, refusals, urls_with_secrets

from lading import AttemptResult, Dispatcher, FetchRequest, Image, Location, NoHandlerAvailable, Refusal, Scope, Work
from lading.adapters.memory.associations import MemoryAssociations


class LeakingHandler:
    """A handler that takes every location, and raises with its credentials."""

    name = "pool"
    schemes: frozenset[str] | None = frozenset()
    is_local = False

    def fetch(self, work: Work) -> NoReturn:
        raise OSError(f"can't open {work.location and work.location.url}: {work.location}")

    def remove(self, work: Work) -> NoReturn:
        raise NotImplementedError

    def move(self, work: Work, destination: str) -> NoReturn:
        raise NotImplementedError


@given(urls_with_secrets(), refusals())
def test_no_failure_shows_a_secret(url: str, refusal: Refusal) -> None:
    failure = NoHandlerAvailable("noble", TARGET, (AttemptResult("download", Location(url), refusal),))
    assert HUSH not in f"{failure} {failure!r} {failure.args}"


@given(refusals())
def test_refusals_are_values_that_survive_pickling(refusal: Refusal) -> None:
    assert pickle.loads(pickle.dumps(refusal)) == refusal  # noqa: S301 - its own pickle


@given(st.lists(refusals()))
def test_a_refusal_of_the_request_is_decisive_where_it_comes_last(several: list[Refusal]) -> None:
    failure = NoHandlerAvailable("noble", TARGET, tuple(AttemptResult("file", None, each) for each in several))
    if several and several[-1].scope is Scope.REQUEST:
        assert failure.decisive == several[-1]
    if all(each.scope is not Scope.REQUEST for each in several):
        assert failure.decisive in several or not several


@given(refusals())
def test_each_part_of_a_refusal_is_in_its_one_line(refusal: Refusal) -> None:
    whole = replace(refusal, place="place", expected="expected", found="found", advice="advice")
    assert str(whole) == f"place: {refusal.reason}: expected expected, found found; advice"
    assert str(refusal) == refusal.reason


@given(urls_with_secrets())
def test_the_error_of_a_handler_shows_no_secrets_of_its_location(url: str) -> None:
    catalog = RecordingCatalog([Image("1", "noble", locations=[Location(url)])], [])
    failure = Dispatcher([LeakingHandler()], catalog, MemoryAssociations()).fetch(FetchRequest("1", TARGET)).failure()
    assert "raised OSError" in str(failure)
    assert HUSH not in f"{failure} {failure!r}"
