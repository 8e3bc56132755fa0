"""What was fetched from a remote leads back to the same remote."""

from dataclasses import replace

import pytest
from tests.strategies import LANDED_AT, TARGET
from tests.unit.dispatcher.pool import KEYED, NOBLE, PLAIN, Pool, unavailable

from lading import Dispatcher, FetchRequest, Image, Intent, Outcome, Recovered, Verb
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.catalogs.remotes import RoutingCatalog, of_remote
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal

HERE = replace(NOBLE, locations=[PLAIN])
THERE = replace(NOBLE, locations=[KEYED])


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def dispatcher(pool: Pool) -> Dispatcher:
    """Its catalog and its remote have an image of the same id and name."""
    catalog = RoutingCatalog(MemoryCatalog([HERE]), {"lab": lambda: MemoryCatalog([THERE])})
    return Dispatcher([pool], catalog, MemoryAssociations(), journal=MemoryJournal())


def test_the_record_names_the_remote_and_its_credentials_come_from_there(dispatcher: Dispatcher, pool: Pool) -> None:
    fetched = dispatcher.fetch(FetchRequest("lab:noble", TARGET)).unwrap()
    assert (fetched.image, fetched.location) == (of_remote("lab", THERE), KEYED)
    again = dispatcher.fetch(FetchRequest("lab:1", TARGET)).unwrap()
    assert (again.image, again.location) == (of_remote("lab", THERE), KEYED)
    assert [work.location for _, work in pool.asked] == [KEYED, KEYED]


@pytest.mark.parametrize(("reference", "leads"), [("lab:noble", True), ("lab:1", True), ("noble", False), ("1", False)])
def test_only_the_remote_s_own_references_are_the_recorded_image(
    dispatcher: Dispatcher, reference: str, *, leads: bool
) -> None:
    dispatcher.fetch(FetchRequest("lab:noble", TARGET)).unwrap()
    first = next(iter(dispatcher.attempts(FetchRequest(reference, TARGET))))
    assert (first.work.image == of_remote("lab", THERE)) is leads


def test_a_fetch_from_a_remote_is_resumed_from_the_remote(dispatcher: Dispatcher, pool: Pool) -> None:
    intent = Intent(TARGET, Verb.FETCH, "pool", LANDED_AT, of_remote("lab", THERE).redacted(), KEYED.redacted())
    assert dispatcher.resume(Recovered(intent, Outcome.KEPT, kept=5)).outcome is Outcome.FINISHED
    assert [work.location for _, work in pool.asked] == [KEYED]


def test_a_target_is_found_by_the_remote_s_references(dispatcher: Dispatcher) -> None:
    dispatcher.fetch(FetchRequest("lab:noble", TARGET)).unwrap()
    assert [each.target for each in dispatcher.holders("lab:noble")] == [TARGET]
    pool = Pool(fetches=unavailable)
    other = Dispatcher([pool], MemoryCatalog([Image("lab:1", "lab:noble")]), MemoryAssociations())
    assert other.plan(FetchRequest("lab:noble", TARGET)) == (), "a program's own catalog has any names"
