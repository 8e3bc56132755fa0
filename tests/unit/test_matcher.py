"""Matching by example."""

from collections.abc import Sequence
from typing import cast

import pytest
from tests.reference import ScriptedHandler, Spec

from lading import Location, LocationMatcher
from lading.domain.cost import Cost
from lading.domain.matcher import matching

LOCATIONS = [Location("rbd://1"), Location("HTTP://2"), Location("https://3"), Location("rbd://4"), Location("plain")]


def handler(name: str, schemes: frozenset[str] | None) -> ScriptedHandler:
    return ScriptedHandler(Spec(name, schemes), [], iter(()))


def pairs(handlers: Sequence[ScriptedHandler], locations: list[Location]) -> list[tuple[str, str]]:
    return [(each.name, location.url) for each, location in LocationMatcher(handlers).pairs(locations)]


@pytest.mark.parametrize(
    ("schemes", "taken"),
    [
        ({"rbd"}, ["rbd://1", "rbd://4"]),
        ({"RBD"}, ["rbd://1", "rbd://4"]),
        ({"rbd", "http"}, ["rbd://1", "HTTP://2", "rbd://4"]),
        ({"https", "http", "rbd"}, ["rbd://1", "HTTP://2", "https://3", "rbd://4"]),
        ({"cinder"}, []),
        (set(), ["rbd://1", "HTTP://2", "https://3", "rbd://4", "plain"]),
        (None, []),
        # As the original API's handlers wrote their only scheme.
        ("rbd", ["rbd://1", "rbd://4"]),
        ("RBD", ["rbd://1", "rbd://4"]),
        # A location is taken once, however often its scheme is spelt.
        (["RBD", "rbd"], ["rbd://1", "rbd://4"]),
    ],
)
def test_a_handler_takes_the_locations_of_its_schemes(schemes: set[str] | None, taken: list[str]) -> None:
    assert [each.url for each in matching(LOCATIONS, schemes)] == taken


def test_pairs_are_in_the_handlers_order_and_then_in_the_locations() -> None:
    handlers = [handler("web", frozenset({"https", "http"})), handler("rbd", frozenset({"rbd"}))]
    assert pairs(handlers, LOCATIONS[:3]) == [("web", "HTTP://2"), ("web", "https://3"), ("rbd", "rbd://1")]


def test_a_location_that_is_listed_twice_is_paired_twice() -> None:
    assert pairs([handler("rbd", frozenset({"rbd"}))], LOCATIONS[:1] * 2) == [("rbd", "rbd://1")] * 2


def test_the_very_locations_are_given() -> None:
    keyed = Location("rbd://1", {"store": "gold"})
    [(_, location)] = LocationMatcher([handler("rbd", frozenset({"rbd"}))]).pairs([keyed])
    assert location is keyed


def test_pairs_are_made_one_by_one() -> None:
    found = LocationMatcher([handler("any", frozenset())]).pairs(LOCATIONS)
    assert [next(found)[1].url, next(found)[1].url] == ["rbd://1", "HTTP://2"]


def test_the_independent_are_those_with_no_schemes_in_order() -> None:
    handlers = [
        handler("b", frozenset()),
        handler("none", None),
        handler("rbd", frozenset({"rbd"})),
        handler("a", frozenset()),
    ]
    assert [each.name for each in LocationMatcher(handlers).independent()] == ["b", "a"]


def test_schemes_are_read_when_the_matcher_is_built_and_not_again() -> None:
    changing = handler("web", frozenset({"http"}))
    matcher = LocationMatcher([changing])
    changing.schemes = frozenset({"rbd"})
    assert [location.url for _, location in matcher.pairs(LOCATIONS)] == ["HTTP://2"]


def test_handlers_may_come_from_an_iterator_and_pairs_be_asked_for_again() -> None:
    matcher = LocationMatcher(iter([handler("rbd", frozenset({"rbd"}))]))
    assert len(list(matcher.pairs(LOCATIONS))) == len(list(matcher.pairs(LOCATIONS))) == 2


def test_a_handler_whose_schemes_are_a_text_takes_that_scheme() -> None:
    written_so = handler("rbd", cast("frozenset[str]", "rbd"))
    assert [location.url for _, location in LocationMatcher([written_so]).pairs(LOCATIONS)] == ["rbd://1", "rbd://4"]


def test_handlers_keep_their_order_unless_it_is_to_go_by_cost() -> None:
    class Costing(ScriptedHandler):
        def cost(self, target: str) -> Cost:
            return Cost.DOWNLOAD if self.name == "dear" else Cost.CLONE

    handlers = [Costing(Spec(name, frozenset({"rbd"})), [], iter(())) for name in ("dear", "cheap")]
    assert pairs(handlers, LOCATIONS[:1]) == [("dear", "rbd://1"), ("cheap", "rbd://1")]
    by_cost = LocationMatcher(handlers, by_cost=True).pairs(LOCATIONS[:1])
    assert [each.name for each, _ in by_cost] == ["cheap", "dear"]
