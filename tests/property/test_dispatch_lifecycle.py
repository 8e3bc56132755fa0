"""Fetch, move, remove and restart in any order: what is remembered is what is there."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from returns.result import Failure, Result, Success
from tests.reference import Event, RecordingCatalog

from lading import (
    Association,
    AssociationStore,
    Dispatcher,
    FetchRequest,
    HandlerNotLoaded,
    HandlerRefused,
    Image,
    Landing,
    Location,
    NoHandlerAvailable,
    NotAssociated,
    Refusal,
    TargetOccupied,
    Unavailable,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.domain.failures import TargetFailure

IMAGES = {
    image.id: image
    for image in (
        Image("1", "near and far", locations=[Location("far://1"), Location("near://1")]),
        Image("2", "far alone", locations=[Location("far://2")]),
        Image("3", "nowhere"),
    )
}
CARRIES = {"near": {"1"}, "far": {"1", "2"}, "any": {"1", "2", "3"}}
SCHEMES = {"near": frozenset({"near"}), "far": frozenset({"FAR"}), "any": frozenset[str]()}
TARGETS = ["/vms/1/disk", "/vms/2/disk", "/vms/3/disk"]

images = st.sampled_from(sorted(IMAGES))
paths = st.sampled_from(TARGETS)
handler_names = st.sampled_from(sorted(SCHEMES))


class ShelfHandler:
    """Fetches to a dict of targets, which it shares with others; refuses while it is down."""

    is_local = False

    def __init__(self, name: str, shelf: dict[str, str], down: set[str], events: list[Event]) -> None:
        self.name = name
        self.schemes = SCHEMES[name]
        self._shelf = shelf
        self._down = down
        self._events = events

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self._events.append(("fetch", self.name))
        there = self._shelf.get(work.target)
        if self.name in self._down or work.image is None:
            return Failure(Unavailable("down"))
        if there == work.image.id and not work.force:
            return Success(Landing(present=True))
        if there is not None and not work.force:
            return Failure(TargetOccupied("another image is there"))
        self._shelf[work.target] = work.image.id
        return Success(Landing())

    def remove(self, work: Work) -> Result[None, Refusal]:
        self._events.append(("remove", self.name))
        if self.name in self._down:
            return Failure(Unavailable("down"))
        self._shelf.pop(work.target, None)
        return Success(None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        self._events.append(("move", self.name))
        if self.name in self._down:
            return Failure(Unavailable("down"))
        if destination in self._shelf:
            return Failure(TargetOccupied("an image is there"))
        self._shelf[destination] = self._shelf.pop(work.target)
        return Success(Landing())


class Host(RuleBasedStateMachine):
    """The model is `here`: target → image and handler."""

    def __init__(self) -> None:
        super().__init__()
        self.here: dict[str, tuple[str, str]] = {}
        self.loaded: list[str] = []
        self.down: set[str] = set()
        self.shelf: dict[str, str] = {}
        self.events: list[Event] = []
        self.store: AssociationStore = MemoryAssociations()
        self.journal = MemoryJournal()

    def reopen(self) -> None:
        """What a restart does to the store. The memory store lives as long as its process, and here that is long."""

    @initialize(loaded=st.permutations(sorted(SCHEMES)))
    def start(self, loaded: list[str]) -> None:
        self.loaded = loaded
        handlers = [ShelfHandler(name, self.shelf, self.down, self.events) for name in loaded]
        catalog = RecordingCatalog(IMAGES.values(), self.events)
        self.dispatcher = Dispatcher(handlers, catalog, self.store, journal=self.journal)

    @rule(loaded=st.permutations(sorted(SCHEMES)), count=st.integers(1, len(SCHEMES)))
    def restart(self, loaded: list[str], count: int) -> None:
        """With the handlers in another order, perhaps not all of them."""
        self.reopen()
        self.start(loaded[:count])

    @rule(name=handler_names)
    def break_down_or_recover(self, name: str) -> None:
        self.down ^= {name}

    @rule(image_id=images, path=paths, force=st.booleans())
    def fetch(self, image_id: str, path: str, force: bool) -> None:
        outcome = self.dispatcher.fetch(FetchRequest(image_id, path, force=force))
        there, taker = self.here.get(path), self.taker(image_id, path)
        occupied = there is not None and there[0] != image_id and not force
        if taker is None or occupied:
            assert isinstance(outcome.failure(), NoHandlerAvailable)
        else:
            assert outcome.unwrap().handler == taker
        if taker and (there is None or force):
            self.here[path] = (image_id, taker)

    @rule(image_id=images, path=paths)
    def drive_and_leave(self, image_id: str, path: str) -> None:
        """Whoever drives the attempts stops at the first that landed: no operation is left unfinished."""
        there, taker = self.here.get(path), self.taker(image_id, path)
        try:
            for attempt in self.dispatcher.attempts(FetchRequest(image_id, path)):
                attempt.settle(attempt.handler.fetch(attempt.work))
                if attempt.landing is not None:
                    assert attempt.handler.name == taker
                    break
        except NoHandlerAvailable:
            assert taker is None or (there is not None and there[0] != image_id)
        if taker and there is None:
            self.here[path] = (image_id, taker)

    @rule(path=paths)
    def forget(self, path: str) -> None:
        """And take what is left off the shelf by hand."""
        recorded = self.here.pop(path, None)
        self.events.clear()
        outcome = self.dispatcher.forget(path)
        assert self.events == []
        if recorded is None:
            assert isinstance(outcome.failure(), NotAssociated)
        else:
            association = outcome.unwrap().association
            assert association is not None
            assert association.handler == recorded[1]
            assert self.shelf.pop(path) == recorded[0]

    @rule(path=paths)
    def fetch_again(self, path: str) -> None:
        """It goes to the same handler first, which finds it there; no catalog is asked, and no other handler."""
        image_id, handler = self.here.get(path, ("", ""))
        if handler in self.loaded and handler not in self.down:
            self.events.clear()
            staged = self.dispatcher.fetch(FetchRequest(image_id, path)).unwrap()
            assert (staged.handler, staged.landing.present) == (handler, True)
            assert self.events == [("fetch", handler)]

    @rule(path=paths)
    def remove(self, path: str) -> None:
        recorded = self.here.get(path)
        self.events.clear()
        outcome = self.dispatcher.remove(path)
        if self.answers(outcome, recorded, "remove", refused=False):
            del self.here[path]

    @rule(source=paths, destination=paths)
    def move(self, source: str, destination: str) -> None:
        recorded = self.here.get(source)
        self.events.clear()
        outcome = self.dispatcher.move(source, destination)
        if source == destination and recorded and recorded[1] in self.loaded:
            assert isinstance(outcome.failure(), HandlerRefused)
            assert self.events == []
        elif self.answers(outcome, recorded, "move", refused=destination in self.here):
            self.here[destination] = self.here.pop(source)

    @invariant()
    def nothing_is_under_way(self) -> None:
        assert list(self.journal.list()) == []

    @invariant()
    def the_store_lists_what_is_here(self) -> None:
        listed = [(each.target, each.image.id, each.handler) for each in self.store.list() if each.image]
        assert listed == [(target, *of) for target, of in sorted(self.here.items())]

    @invariant()
    def the_store_knows_each_target(self) -> None:
        recorded = {target: self.store.get(target).unwrap() for target in TARGETS}
        assert {target: each.handler for target, each in recorded.items() if each} == {
            target: handler for target, (_, handler) in self.here.items()
        }

    @invariant()
    def what_is_here_is_on_the_shelf(self) -> None:
        assert self.shelf == {target: image_id for target, (image_id, _) in self.here.items()}

    def taker(self, image_id: str, target: str) -> str | None:
        """The first handler that is up, of the associated one and then those that can carry the image."""
        there, leading = self.here.get(target, ("", ""))
        turns = [leading] if there == image_id and leading in self.loaded else []
        turns += [name for name in self.loaded if image_id in CARRIES[name]]
        return next((name for name in turns if name not in self.down), None)

    def answers(
        self, outcome: Result[Association, TargetFailure], recorded: tuple[str, str] | None, verb: str, *, refused: bool
    ) -> bool:
        """Whether the associated handler, and no other, was to do it, and did."""
        if recorded is None:
            assert isinstance(outcome.failure(), NotAssociated)
            assert self.events == []
        elif recorded[1] not in self.loaded:
            assert isinstance(outcome.failure(), HandlerNotLoaded)
            assert self.events == []
        else:
            assert self.events == [(verb, recorded[1])]
            if not refused and recorded[1] not in self.down:
                assert outcome.unwrap().handler == recorded[1]
                return True
            assert isinstance(outcome.failure(), HandlerRefused)
        return False


class HostWithFiles(Host):
    """A restart opens the same database anew."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.open()

    def open(self) -> None:
        self.database = Database(self.folder / "lading.db")
        self.store = FileAssociations(self.database)

    def reopen(self) -> None:
        self.database.close()
        self.open()

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)


def play(host: type[Host], share: int) -> None:
    """As many runs as this share of a property's examples."""
    runs = settings(max_examples=settings().max_examples // share, stateful_step_count=20)
    run_state_machine_as_test(host, settings=runs)


def test_the_memory_store_remembers_what_is_there_whatever_happens() -> None:
    play(Host, share=1)


def test_the_file_store_remembers_what_is_there_whatever_happens() -> None:
    play(HostWithFiles, share=4)
