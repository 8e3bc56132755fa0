"""One Dispatcher for all threads."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from returns.result import Failure, Result, Success

from lading import (
    Dispatcher,
    FetchRequest,
    FetchResult,
    Image,
    Landing,
    Location,
    Refusal,
    Unavailable,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.domain.failures import FetchFailure

THREADS = 8
DISPATCHES = 1_000
Dispatched = dict[str, tuple[str, Result[FetchResult, FetchFailure]]]
"""Target → the image that was asked for, and what came of it."""
IMAGES = [Image(str(n), locations=[Location(f"away://{n}"), Location(f"pool://{n}")]) for n in range(50)]


class EchoHandler:
    """Says in its landing what it was asked for."""

    is_local = False

    def __init__(self, name: str, *schemes: str) -> None:
        self.name = name
        self.schemes = frozenset(schemes)

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        said = f"{work.image and work.image.id} {work.location and work.location.url} {work.target}"
        return Success(Landing(said)) if "pool" in self.schemes else Failure(Unavailable(said))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return Success(None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return Success(Landing())


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def test_a_thousand_dispatches_in_each_of_eight_threads_keep_to_themselves() -> None:
    store, start = MemoryAssociations(), threading.Barrier(THREADS)
    dispatcher = Dispatcher([EchoHandler("away", "away"), EchoHandler("pool", "pool")], MemoryCatalog(IMAGES), store)

    def dispatch(thread: int) -> Dispatched:
        start.wait()
        outcomes: Dispatched = {}
        for n in range(DISPATCHES):
            image_id, target = str((n + thread) % len(IMAGES)), f"/vms/{thread}-{n}/disk"
            outcomes[target] = image_id, dispatcher.fetch(FetchRequest(image_id, target))
        return outcomes

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = {target: of for each in pool.map(dispatch, range(THREADS)) for target, of in each.items()}

    assert len(outcomes) == THREADS * DISPATCHES
    for target, (image_id, outcome) in outcomes.items():
        staged = outcome.unwrap()
        assert (staged.handler, staged.target) == ("pool", target)
        assert staged.location == Location(f"pool://{image_id}")
        assert [str(each) for each in staged.attempts] == [
            f"away away://{image_id}: {image_id} away://{image_id} {target}",
            f"pool pool://{image_id}: done",
        ]
        assert staged.landing == Landing(f"{image_id} pool://{image_id} {target}")
    recorded = {each.target: (each.image and each.image.id, each.method) for each in store.list()}
    assert recorded == {
        target: (image_id, f"{image_id} pool://{image_id} {target}") for target, (image_id, _) in outcomes.items()
    }


def test_threads_that_fetch_move_and_remove_each_their_own_leave_nothing() -> None:
    store, start = MemoryAssociations(), threading.Barrier(THREADS)
    dispatcher = Dispatcher([EchoHandler("pool", "pool")], MemoryCatalog(IMAGES), store)

    def live(thread: int) -> set[str]:
        start.wait()
        left = set()
        for n in range(100):
            here, there = f"/vms/{thread}-{n}/disk", f"/vms/{thread}-{n}/moved"
            dispatcher.fetch(FetchRequest("1", here)).unwrap()
            left.add(dispatcher.move(here, there).unwrap().target)
            left.remove(dispatcher.remove(there).unwrap().target)
        return left

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(live, range(THREADS))) == [set()] * THREADS
    assert list(store.list()) == []
