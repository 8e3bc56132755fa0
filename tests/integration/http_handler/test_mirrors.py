"""The locations of an image are mirrors."""

from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure, Success
from tests.faulty_server import CUT, RESET, STALL, FaultyServer, Reply, Then, busy
from tests.integration.http_handler.served import DATA, IMAGE, MEBIBYTE, WHOLE, dispatch, dispatch_by, fetch, handler

from lading import Dispatcher, FetchRequest, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions, Origin


@pytest.mark.parametrize("then", [CUT, RESET, STALL])
def test_a_mirror_resumes_where_another_broke_off(server: FaultyServer, target: Path, then: Then) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=then))
    second = server.answer("/second", WHOLE)
    assert isinstance(fetch(target, first, second, stall=0.3), Success)
    assert target.read_bytes() == DATA
    assert [request.range for request in server.requests_for("/second")] == [f"bytes={MEBIBYTE}-"]


def test_a_mirror_stands_in_for_one_that_has_nothing(server: FaultyServer, target: Path) -> None:
    first, second = server.answer("/first", Reply(b"", status=404)), server.answer("/second", WHOLE)
    staged = dispatch(target, first, second).unwrap()
    assert staged.location == Location(second)
    assert len(server.requests) == 2


def test_a_mirror_of_another_size_is_not_mixed_in(server: FaultyServer, target: Path) -> None:
    first = server.answer("/first", Reply(DATA, after=MEBIBYTE, then=CUT), WHOLE)
    second = server.answer("/second", Reply(DATA[:-1]))
    third = server.answer("/third", WHOLE)
    assert isinstance(fetch(target, first, second, third), Success)
    assert target.read_bytes() == DATA


def test_an_attempt_asks_for_its_own_location_first(server: FaultyServer, target: Path) -> None:
    """So that what is recorded is where the bytes came from, and a thousand dead locations are asked once each."""
    urls = [server.answer(f"/{number}", Reply(b"", status=404)) for number in range(20)]
    assert isinstance(dispatch(target, *urls), Failure)
    assert len(server.requests) <= 20 + 8


@pytest.mark.parametrize(("given", "is_first"), [(0, False), (len(DATA) - 1000, True)])
def test_the_location_of_most_bytes_is_recorded(
    server: FaultyServer, target: Path, given: int, *, is_first: bool
) -> None:
    urls = server.answer("/first", Reply(DATA, after=given)), server.answer("/second", WHOLE)
    image = replace(IMAGE, locations=[Location(url) for url in urls])
    associations = MemoryAssociations()
    dispatcher = Dispatcher([handler()], MemoryCatalog([image]), associations)
    staged = dispatcher.fetch(FetchRequest(image.id, str(target))).unwrap()
    [recorded] = associations.list()
    assert staged.location == recorded.location == Location(urls[0] if is_first else urls[1])


def test_each_of_many_locations_is_read_once(target: Path) -> None:
    """Else a few thousand locations, which a stranger may write, keep a host busy for minutes."""
    read: list[str] = []

    class Counting(HttpHandler):
        def origin(self, location: Location) -> Origin:
            read.append(location.url)
            return super().origin(location)

    image = replace(IMAGE, locations=[Location(f"http://127.0.0.1:1/{number}") for number in range(200)])
    counting = Counting(HttpOptions(5, 5), FileDestination(MemoryVerifiedFiles()), first_wait=0.001)
    assert isinstance(dispatch_by(counting, target, image), Failure)
    assert len(read) == 200 + 7


def test_the_last_attempt_comes_back_to_a_busy_mirror(server: FaultyServer, target: Path) -> None:
    first, second = server.answer("/first", busy(), busy(), WHOLE), server.answer("/second", Reply(b"", status=404))
    assert isinstance(dispatch(target, first, second), Success)
