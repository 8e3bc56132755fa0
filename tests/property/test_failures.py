"""Laws of failures, whatever the refusals are."""

import pickle

from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import HUSH, TARGET, refusals, urls_with_secrets

from lading import AttemptResult, Location, NoHandlerAvailable, Refusal, Scope


@given(urls_with_secrets(), refusals())
def test_no_failure_shows_a_secret(url: str, refusal: Refusal) -> None:
    failure = NoHandlerAvailable("noble", TARGET, (AttemptResult("download", Location(url), refusal),))
    assert HUSH not in f"{failure} {failure!r} {failure.args}"


@given(refusals())
def test_refusals_are_values_that_survive_pickling(refusal: Refusal) -> None:
    assert pickle.loads(pickle.dumps(refusal)) == refusal  # noqa: S301 - its own pickle


@given(st.lists(refusals()))
def test_what_is_decisive_has_the_scope_of_the_request_and_comes_last(several: list[Refusal]) -> None:
    decisive = NoHandlerAvailable(
        "noble", TARGET, tuple(AttemptResult("file", None, each) for each in several)
    ).decisive
    assert decisive == (several[-1] if several and several[-1].scope is Scope.REQUEST else None)
