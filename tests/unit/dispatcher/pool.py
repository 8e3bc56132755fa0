"""A handler that answers as told, its Dispatcher, and a store and a catalog that fail."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from returns.result import Failure, Result, Success
from tests.reference import Event, RecordingCatalog
from tests.strategies import LANDED_AT, TARGET

from lading import (
    Association,
    AssociationStore,
    Context,
    Digest,
    Dispatcher,
    FetchRequest,
    Fingerprint,
    Image,
    Landing,
    Location,
    Refusal,
    StoreUnavailable,
    Unavailable,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.ports.failures import CatalogFailure

PLAIN = Location("pool://gold/noble")
KEYED = Location("pool://user:word@gold/noble?sig=abc", {"store": "gold"})
NOBLE = Image("1", "noble", size=10, disk_format="raw", locations=[PLAIN])
RECORDED = Association(TARGET, "pool", replace(NOBLE, locations=()), PLAIN, LANDED_AT, "clone", size=10)
PRINT = Fingerprint(1, 2, 10, 3, 4)


def landed(_: Work) -> Result[Landing, Refusal]:
    return Success(Landing())


def removed(_: Work) -> Result[None, Refusal]:
    return Success(None)


def moved(_: Work, __: str) -> Result[Landing, Refusal]:
    return Success(Landing())


def raises(*_: object) -> Any:  # noqa: ANN401 - it never returns
    raise OSError("no route to pool")


def unavailable(*_: object) -> Result[Any, Refusal]:
    return Failure(Unavailable("the pool is away"))


@dataclass
class Pool:
    """A handler that does what it is told, and keeps what it was asked."""

    name: str = "pool"
    schemes: frozenset[str] | None = frozenset({"pool"})
    fetches: Callable[[Work], Result[Landing, Refusal]] = landed
    removes: Callable[[Work], Result[None, Refusal]] = removed
    moves: Callable[[Work, str], Result[Landing, Refusal]] = moved
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


class FailingStore:
    """Holds what it is given, but fails at one verb."""

    def __init__(self, verb: str, *associations: Association) -> None:
        self._verb = verb
        self._kept = store(*associations)

    def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
        return self._fail() if self._verb == "get" else self._kept.get(target)

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        return self._fail() if self._verb == "put" else self._kept.put(association)

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        return self._fail() if self._verb == "remove" else self._kept.remove(target)

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        return self._kept.list(handler=handler, image_id=image_id, digest=digest)

    @staticmethod
    def _fail() -> Result[Any, StoreUnavailable]:
        return Failure(StoreUnavailable("the disk is full"))


class FailingCatalog:
    """Fails to find, or else to tell locations."""

    def __init__(self, failure: CatalogFailure, *, finds: bool = False) -> None:
        self._failure = failure
        self._finds = finds

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return Success(NOBLE) if self._finds else Failure(self._failure)

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        return Failure(self._failure)


def store(*associations: Association) -> MemoryAssociations:
    associated = MemoryAssociations()
    for association in associations:
        associated.put(association)
    return associated


def dispatcher(
    *handlers: Pool,
    image: Image = NOBLE,
    associations: AssociationStore | None = None,
    events: list[Event] | None = None,
) -> Dispatcher:
    catalog = RecordingCatalog([image], [] if events is None else events)
    return Dispatcher(handlers, catalog, store() if associations is None else associations, clock=lambda: LANDED_AT)


REQUEST = FetchRequest("1", TARGET)
