"""Matches handlers with locations, in order."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from lading.domain.cost import cheapest_first
from lading.domain.handler import Handler
from lading.ports.location import Location

__all__ = ["LocationMatcher", "matching"]


class LocationMatcher:
    """Pairs handlers, in configured order or the cheapest first, with the locations they take, in the catalog's order.

    A location is matched by its scheme. Locations are grouped by scheme once, so that pairing H handlers with L
    locations costs O(H + L + pairs) instead of O(H × L).
    """

    def __init__(self, handlers: Iterable[Handler], *, by_cost: bool = False) -> None:
        """`by_cost`: the cheapest handler for each target goes first; handlers of equal cost keep their order."""
        # Schemes are read once: the order of a dispatch is fixed at construction.
        self._handlers = tuple((handler, _lowered(handler.schemes)) for handler in handlers)
        self._by_cost = by_cost

    def independent(self, target: str = "") -> tuple[Handler, ...]:
        """The location-independent handlers, in order."""
        return tuple(handler for handler, schemes in self._in_order(target) if schemes is not None and not schemes)

    def pairs(self, locations: Sequence[Location], target: str = "") -> Iterator[tuple[Handler, Location]]:
        """Yields each handler with each location that it takes, lazily."""
        by_scheme = _by_scheme(locations)
        for handler, schemes in self._in_order(target):
            for location in _taken(locations, by_scheme, schemes):
                yield handler, location

    def _in_order(self, target: str) -> Sequence[tuple[Handler, frozenset[str] | None]]:
        if not self._by_cost:
            return self._handlers
        return sorted(self._handlers, key=lambda each: cheapest_first(each[0], target))


def matching(locations: Sequence[Location], schemes: Collection[str] | None) -> list[Location]:
    """The locations that a handler with these schemes takes: all when there are no schemes, none for None.

    >>> matching([Location("RBD://fsid/pool/image/snap"), Location("http://host/image")], {"rbd"})
    [Location('RBD://fsid/pool/image/snap')]
    """
    return list(_taken(locations, _by_scheme(locations), _lowered(schemes)))


_ByScheme = dict[str, list[int]]


def _lowered(schemes: Collection[str] | None) -> frozenset[str] | None:
    if schemes is None:
        return None
    # Handlers of the original API write ("rbd") for ("rbd",): one scheme, not three letters.
    return frozenset({schemes.lower()} if isinstance(schemes, str) else (scheme.lower() for scheme in schemes))


def _by_scheme(locations: Sequence[Location]) -> _ByScheme:
    positions: _ByScheme = {}
    for position, location in enumerate(locations):
        positions.setdefault(location.scheme, []).append(position)
    return positions


def _taken(locations: Sequence[Location], by_scheme: _ByScheme, schemes: frozenset[str] | None) -> Iterable[Location]:
    if schemes is None:
        return ()
    if not schemes:
        return locations
    found = [by_scheme[scheme] for scheme in schemes & by_scheme.keys()]
    # Of several schemes, the locations go back into the catalog's order.
    positions = found[0] if len(found) == 1 else sorted(position for each in found for position in each)
    return (locations[position] for position in positions)
