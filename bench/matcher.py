"""Measures the time of matching: LocationMatcher compared with a plain double loop.

    python bench/matcher.py [--rounds N] [--json FILE]

All variants return the same pairs of handlers and locations, which is checked, and are timed in turns within one run.
The locations are parsed beforehand, as a catalog does, except where a variant's name says otherwise.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlparse

from returns.result import Failure, Result, Success

from lading import Landing, Location, LocationMatcher, Refusal, Unsupported, Work

SCHEMES: Final = [f"scheme{n}" for n in range(40)]
ROUND_SECONDS: Final = 0.02
"""The time for which each variant is repeated in a round; long enough for the clock's resolution."""

_Key = TypeVar("_Key")
Pairs = Iterator[tuple["Carrier", Location]]


@dataclass(frozen=True)
class Carrier:
    """A handler for matching only: it refuses each fetch."""

    name: str
    schemes: frozenset[str]
    is_local: bool = False

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return Failure(Unsupported("only matched"))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return Success(None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return Failure(Unsupported("only matched"))


@dataclass(frozen=True)
class Figure:
    """The time of one variant: the median of the rounds, in microseconds for each request."""

    handlers: int
    locations: int
    pairs: int
    variant: str
    microseconds: float
    ratio: float
    """The ratio to the figure that the table's title names."""


def urlparsed_loop(handlers: Sequence[Carrier], locations: Sequence[Location]) -> Pairs:
    for handler in handlers:
        for location in locations:
            if urlparse(location.url).scheme in handler.schemes:
                yield handler, location


def preparsed_loop(handlers: Sequence[Carrier], locations: Sequence[Location]) -> Pairs:
    for handler in handlers:
        for location in locations:
            if location.scheme in handler.schemes:
                yield handler, location


def carriers(count: int, chance: random.Random, schemes: Sequence[str] = SCHEMES) -> list[Carrier]:
    """Handlers with one to three schemes each."""
    return [Carrier(f"carrier{n}", frozenset(chance.sample(schemes, 1 + n % 3))) for n in range(count)]


def places(count: int) -> list[Location]:
    """Locations, distributed evenly over the schemes."""
    return [Location(f"{SCHEMES[n % len(SCHEMES)]}://host/gold/image-{n}") for n in range(count)]


def by_matcher(matcher: LocationMatcher, locations: Sequence[Location]) -> None:
    deque(matcher.pairs(locations), maxlen=0)


def by_parsing_and_matcher(matcher: LocationMatcher, urls: Sequence[str]) -> None:
    deque(matcher.pairs([Location(url) for url in urls]), maxlen=0)


def by_preparsed_loop(handlers: Sequence[Carrier], locations: Sequence[Location]) -> None:
    deque(preparsed_loop(handlers, locations), maxlen=0)


def by_urlparsed_loop(handlers: Sequence[Carrier], locations: Sequence[Location]) -> None:
    deque(urlparsed_loop(handlers, locations), maxlen=0)


def medians(variants: dict[_Key, Callable[[], None]], rounds: int) -> dict[_Key, float]:
    """The median microseconds of one call of each variant. Each round runs all variants."""
    calls = {name: _calls_in_a_round(variant) for name, variant in variants.items()}
    samples: dict[_Key, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            samples[name].append(_seconds(variant, calls[name]) / calls[name] * 1e6)
    return {name: statistics.median(each) for name, each in samples.items()}


def _calls_in_a_round(variant: Callable[[], None]) -> int:
    return max(1, round(ROUND_SECONDS / max(_seconds(variant, 3) / 3, 1e-9)))


def _seconds(variant: Callable[[], None], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        variant()
    return time.perf_counter() - started


def comparison(handler_count: int, location_count: int, rounds: int) -> list[Figure]:
    handlers, locations = carriers(handler_count, random.Random(0)), places(location_count)  # noqa: S311 - a fixed draw
    urls = [location.url for location in locations]
    matcher = LocationMatcher(handlers)
    expected = list(preparsed_loop(handlers, locations))
    if not list(matcher.pairs(locations)) == expected == list(urlparsed_loop(handlers, locations)):
        raise AssertionError("the variants differ")
    costs = medians(
        {
            "LocationMatcher.pairs": partial(by_matcher, matcher, locations),
            "parsing and LocationMatcher.pairs": partial(by_parsing_and_matcher, matcher, urls),
            "double loop, schemes parsed before": partial(by_preparsed_loop, handlers, locations),
            "double loop, urlparse in the test": partial(by_urlparsed_loop, handlers, locations),
        },
        rounds,
    )
    least = costs["LocationMatcher.pairs"]
    return [
        Figure(handler_count, location_count, len(expected), name, cost, cost / least) for name, cost in costs.items()
    ]


def scaling(handler_count: int, location_count: int, rounds: int) -> list[Figure]:
    """Measures twice the handlers, twice the locations, and twice both, always with a single matching pair.

    So the time depends on H + L only. `ratio` compares with the first row of the same variant.
    """
    variants: dict[tuple[str, int, int], Callable[[], None]] = {}
    for h, n in [(1, 1), (2, 1), (1, 2), (2, 2)]:
        handlers, locations = _with_a_single_pair(handler_count * h, location_count * n)
        size = len(handlers), len(locations)
        variants["LocationMatcher.pairs", *size] = partial(by_matcher, LocationMatcher(handlers), locations)
        variants["double loop, schemes parsed before", *size] = partial(by_preparsed_loop, handlers, locations)
    costs = medians(variants, rounds)
    return [
        Figure(h, n, 1, name, cost, cost / costs[name, handler_count, location_count])
        for (name, h, n), cost in sorted(costs.items())
    ]


def _with_a_single_pair(handler_count: int, location_count: int) -> tuple[list[Carrier], list[Location]]:
    elsewhere = [f"other{n}" for n in range(40)]
    handlers = carriers(handler_count - 1, random.Random(0), elsewhere)  # noqa: S311 - a fixed draw
    rare = Carrier("rare", frozenset({"rare"}))
    return [*handlers, rare], [*places(location_count - 1), Location("rare://host/gold/image")]


def table(title: str, figures: Sequence[Figure]) -> str:
    lines = [title, f"{'H':>5} {'L':>6} {'pairs':>6}  {'variant':<36} {'µs':>10} {'ratio':>7}"]
    for each in figures:
        size = f"{each.handlers:>5} {each.locations:>6} {each.pairs:>6}"
        lines.append(f"{size}  {each.variant:<36} {each.microseconds:>10.1f} {each.ratio:>7.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the time of matching for each request.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds for the medians (default 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()

    compared = [figure for count in (100, 1_000) for figure in comparison(20, count, options.rounds)]
    scaled = scaling(20, 1_000, options.rounds)
    print(table("Medians; `ratio` compares with LocationMatcher.pairs.", compared), end="\n\n")
    print(table("Scaling, with a single pair; `ratio` compares with the variant's first row.", scaled))
    if options.json:
        figures = {"compared": [asdict(each) for each in compared], "scaled": [asdict(each) for each in scaled]}
        about = {"python": platform.python_version(), "machine": platform.platform(), "rounds": options.rounds}
        options.json.write_text(json.dumps(about | figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
