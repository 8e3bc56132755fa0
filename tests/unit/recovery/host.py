"""A host whose stores outlive a Dispatcher, handlers that answer as told, and what is recorded."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from returns.result import Failure, Result, Success
from tests.reference import RecordingCatalog
from tests.strategies import LANDED_AT, TARGET

from lading import (
    Association,
    AssociationStore,
    Digest,
    Dispatcher,
    FetchRequest,
    Fingerprint,
    Image,
    ImageCatalog,
    Landing,
    Location,
    Refusal,
    SupportsReport,
    TargetOccupied,
    Unavailable,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.domain.handler import PartialData
from lading.ports.journal import Intent, Journal, Verb
from lading.ports.locks import Locks

GUARD = 30.0
"""Seconds after which something hangs."""
ELSEWHERE = "/vms/2/disk"
PLAIN = Location("pool://gold/noble")
NOBLE = Image("1", "noble", size=10, locations=[PLAIN])
BARE = replace(NOBLE, locations=())
RECORDED = Association(TARGET, "pool", BARE, PLAIN, LANDED_AT, "clone", size=10)
PRINT = Fingerprint(1, 2, 10, 3, 4)
WHOLE = Landing("clone", 10, Digest("sha256", "ab" * 32), verified=True, fingerprint=PRINT)
FETCHING = Intent(TARGET, Verb.FETCH, "pool", LANDED_AT, BARE, PLAIN)
REMOVING = replace(FETCHING, verb=Verb.REMOVE)
MOVING = replace(FETCHING, verb=Verb.MOVE, destination=ELSEWHERE)
REQUEST = FetchRequest("1", TARGET)
KEEPING = Unavailable("it broke off", kept=5)


def landed(*_: object) -> Result[Landing, Refusal]:
    return Success(Landing())


def removed(*_: object) -> Result[None, Refusal]:
    return Success(None)


def away(*_: object) -> Result[Any, Refusal]:
    return Failure(Unavailable("the pool is away"))


def occupied(*_: object) -> Result[Any, Refusal]:
    return Failure(TargetOccupied("another file is there"))


def broke_off(*_: object) -> Result[Any, Refusal]:
    return Failure(KEEPING)


def raises(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise OSError("no route to pool")


def interrupted(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise KeyboardInterrupt


def answers_text(*_: object) -> Any:  # noqa: ANN401 - the bug that is meant
    return "done"


def nothing_kept(_: Work) -> Result[Landing | PartialData, Refusal]:
    return Success(PartialData())


def answers(value: object) -> Callable[..., Any]:
    return lambda *_: Success(value)


@dataclass
class Pool:
    """A handler that does what it is told, keeps what it was asked, and can neither recover nor verify."""

    name: str = "pool"
    fetches: Callable[[Work], Result[Landing, Refusal]] = landed
    removes: Callable[[Work], Result[None, Refusal]] = removed
    moves: Callable[[Work, str], Result[Landing, Refusal]] = landed
    schemes: frozenset[str] | None = frozenset({"pool"})
    is_local: bool = False
    asked: list[tuple[str, Work]] = field(default_factory=list)
    moved_to: list[str] = field(default_factory=list)

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self.asked.append(("fetch", work))
        return self.fetches(work)

    def remove(self, work: Work) -> Result[None, Refusal]:
        self.asked.append(("remove", work))
        return self.removes(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        self.asked.append(("move", work))
        self.moved_to.append(destination)
        return self.moves(work, destination)

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@dataclass
class CarefulPool(Pool):
    """One that can recover and verify."""

    recovers: Callable[[Work], Result[Landing | PartialData, Refusal]] = nothing_kept
    verifies: Callable[[Work], Result[Landing, Refusal]] = landed
    kept: list[bool] = field(default_factory=list)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        self.asked.append(("recover", work))
        self.kept.append(keep)
        return self.recovers(work)

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        self.asked.append(("verify", work))
        return self.verifies(work)


@dataclass
class Host:
    """What outlives a Dispatcher, and the Dispatchers over it."""

    associations: AssociationStore = field(default_factory=MemoryAssociations)
    journal: Journal = field(default_factory=MemoryJournal)
    locks: Locks = field(default_factory=MemoryLocks)
    catalog: ImageCatalog = field(default_factory=lambda: RecordingCatalog([NOBLE], []))

    def dispatcher(self, *handlers: Pool, files: SupportsReport | None = None) -> Dispatcher:
        return Dispatcher(
            handlers,
            self.catalog,
            self.associations,
            journal=self.journal,
            locks=self.locks,
            files=files,
            clock=lambda: LANDED_AT,
        )

    def cut_off(self, *intents: Intent) -> "Host":
        for each in intents:
            self.journal.begin(each)
        return self

    def recorded(self, *associations: Association) -> "Host":
        for each in associations:
            self.associations.put(each)
        return self

    @property
    def under_way(self) -> list[Intent]:
        return list(self.journal.list())

    @property
    def known(self) -> list[Association]:
        return list(self.associations.list())


VERBS: dict[str, Callable[[Dispatcher], Result[Any, Any]]] = {
    "fetch": lambda each: each.fetch(REQUEST),
    "remove": lambda each: each.remove(TARGET),
    "move": lambda each: each.move(TARGET, ELSEWHERE),
    "verify": lambda each: each.verify(TARGET),
}
CHANGING = ("fetch", "remove", "move")


def is_free(locks: Locks, target: str) -> bool:
    with locks.hold(f"target {target}", wait=False) as held:
        return held


THERE = replace(RECORDED, target=ELSEWHERE, fingerprint=PRINT)
LANDED = WHOLE.recorded_in(Association(TARGET, "pool", BARE, PLAIN, LANDED_AT))
RAISED = "raised OSError; the debug log has more"
