"""The plain reference: a model of the order that is a law, and a world that writes down what really happens.

The model is the origin's algorithm: a double loop with urlparse on each location. It shares no code with domain/, whose
nouns only the world below speaks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import urlparse, urlsplit

from returns.result import Failure, Result, Success

from lading import (
    Association,
    Context,
    Cost,
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Image,
    ImageNotFound,
    Landing,
    Location,
    NoHandlerAvailable,
    Refusal,
    StoreUnavailable,
    Unavailable,
    Unsupported,
    Work,
)
from lading.ports.failures import CatalogFailure

Event = tuple[str, ...]
"""A deed and what it was done with, such as ("fetch", "pool", "pool://gold/noble"). No location is `NOWHERE`."""
NOWHERE: Final = "(no location)"
DECLINED: Final = Unsupported("nothing more is scripted")
WITHHELD: Final = Unavailable("its credentials are not recorded, and the catalog no longer has this location")
"""What a fetch makes of a location that lost its credentials: no handler is asked."""


class Spec(NamedTuple):
    """A handler, as far as the order goes."""

    name: str
    schemes: frozenset[str] | None


@dataclass(frozen=True)
class Case:
    """A request, all that surrounds it, and how the handlers answer."""

    handlers: tuple[Spec, ...]
    image: Image
    """The only one that the catalog has."""
    image_id: str | None
    """As requested, and so is the target."""
    target: str
    recorded: Association | None = None
    """The only one that the store has."""
    answers: tuple[Landing | Refusal, ...] = ()
    """The nth attempt is answered with the nth; attempts beyond are DECLINED."""


class Course(NamedTuple):
    """How a case went."""

    events: list[Event]
    """All that was done, in order; of repeated questions to the catalog only the first."""
    tried: list[tuple[str, str, Refusal | None]]
    """Handler, location, and the refusal, or None when it handled."""
    end: str
    """`staged`, `no handler` or `no image`."""


# The model.


def takes(handler: Spec, url: str) -> bool:
    if handler.schemes is None:
        return False
    return not handler.schemes or urlparse(url).scheme in {scheme.lower() for scheme in handler.schemes}


def shown(url: str) -> str:
    """A well-formed URL without its credentials."""
    scheme, parts = url.partition("://")[0], urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    return f"{scheme}://{'***' if userinfo else ''}{at}{host}{parts.path}{'?***' if parts.query else ''}"


def pairs(case: Case) -> list[tuple[str, str]]:
    """The law's rule 2: handlers in configured order, within a handler the locations in the catalog's order."""
    found = []
    for handler in case.handlers:
        for location in case.image.locations:
            if takes(handler, location.url):
                found.append((handler.name, location.url))  # noqa: PERF401 - the plain double loop that is meant
    return found


def independent(case: Case) -> list[tuple[str, str]]:
    """The law's rule 3: the last turns, of those who need no location."""
    return [(handler.name, NOWHERE) for handler in case.handlers if handler.schemes == frozenset()]


def led_by(case: Case) -> tuple[str, str] | None:
    """Handler and URL of the associated attempt, if there is one; a URL with `***` stands for the catalog's."""
    target, wanted, recorded = case.target.strip(), (case.image_id or "").strip(), case.recorded
    if recorded is None or not target or recorded.target != target:
        return None
    if recorded.handler not in [handler.name for handler in case.handlers]:
        return None
    if wanted and recorded.image is not None and wanted not in (recorded.image.id, recorded.image.name):
        return None
    return recorded.handler, recorded.location.url if recorded.location else NOWHERE


def steps(case: Case) -> list[Event]:
    """Everything that would be done if every attempt refused its location and no more."""
    target, wanted = case.target.strip(), (case.image_id or "").strip()
    known = wanted in (case.image.id, case.image.name)
    ask = [("ask", wanted)] if wanted else []
    done: list[Event] = [("recall", target)] if target else []

    led = led_by(case)
    if led is not None and "***" in led[1]:
        done += ask
        usable = [each.url for each in case.image.locations if known and shown(each.url) == led[1]]
        led = (led[0], usable[0]) if usable else led
    if led is not None:
        done.append(("fetch", *led))

    done += ask
    if wanted and not known:
        return [*done, ("not found", wanted)]
    if wanted:
        done += [("fetch", *pair) for pair in pairs(case)]
    return done + [("fetch", *turn) for turn in independent(case)]


def course(case: Case) -> Course:
    """The steps, as far as the answers let it come."""
    answers = iter(case.answers)
    ruled_out = set()
    went = Course([], [], "no handler")
    for step in steps(case):
        if step[0] == "not found":
            return Course(went.events, [], "no image")
        if step[0] != "fetch":
            went.events.extend([] if step in went.events else [step])
            continue
        _, handler, url = step
        if handler in ruled_out:
            continue
        if "***" in url:
            went.tried.append((handler, url, WITHHELD))
            continue
        went.events.append(step)
        answer = next(answers, DECLINED)
        if isinstance(answer, Landing):
            went.tried.append((handler, url, None))
            if case.target.strip() and not answer.present:
                went.events.append(("record", case.target.strip(), handler))
            return went._replace(end="staged")
        went.tried.append((handler, url, answer))
        if answer.scope == "handler":
            ruled_out.add(handler)
        if answer.scope == "request":
            break
    return went


def asked_before(turns: int, steps: Iterable[Event]) -> list[Event]:
    """What may have been asked of the store and the catalog by the time that so many attempts are given out."""
    asked: list[Event] = []
    for step in steps:
        if turns == 0:
            break
        if step[0] == "fetch":
            turns -= 1
        elif step not in asked:
            asked.append(step)
    return asked


def origin(case: Case) -> list[tuple[str, str]]:
    """The attempts of the origin, which knew only one kind of refusal, and no credentials to withhold."""
    answers = iter(case.answers)
    made: list[tuple[str, str]] = []

    def handled(handler: str, url: str) -> bool:
        made.append((handler, url))
        return isinstance(next(answers, DECLINED), Landing)

    associated = case.recorded
    if associated and handled(associated.handler, associated.location.url if associated.location else NOWHERE):
        return made
    for handler in case.handlers:
        for location in case.image.locations:
            if takes(handler, location.url) and handled(handler.name, location.url):
                return made
    for handler in case.handlers:
        if handler.schemes is not None and not handler.schemes and handled(handler.name, NOWHERE):
            return made
    return made


def loaded(names: Iterable[str], fates: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """The names that give a handler and those that are skipped; `fates` says of the available ones who can be built."""
    kept: list[str] = []
    skipped: list[str] = []
    for raw in names:
        name = raw.strip()
        if name:
            (kept if name not in kept and fates.get(name) else skipped).append(name)
    return kept, skipped


# The world.


class ScriptedHandler:
    """Writes down that it was called, and answers as scripted."""

    is_local = False

    def __init__(self, spec: Spec, events: list[Event], answers: Iterator[Landing | Refusal]) -> None:
        self.name, self.schemes = spec
        self._events = events
        self._answers = answers

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self._events.append(("fetch", self.name, work.location.url if work.location else NOWHERE))
        answer = next(self._answers, DECLINED)
        return Success(answer) if isinstance(answer, Landing) else Failure(answer)

    def preview(self, work: Work) -> Result[str, Refusal]:
        """As it would fetch, were that its turn now."""
        self._events.append(("preview", self.name, work.location.url if work.location else NOWHERE))
        answer = next(self._answers, DECLINED)
        return Success("would") if isinstance(answer, Landing) else Failure(answer)

    def remove(self, work: Work) -> Result[None, Refusal]:
        self._events.append(("remove", self.name, work.target))
        return Success(None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        self._events.append(("move", self.name, work.target, destination))
        return Success(Landing())


class PricedHandler(ScriptedHandler):
    """One that declines everything, and tells what it costs."""

    def __init__(self, spec: Spec, price: Callable[[str], Cost]) -> None:
        super().__init__(spec, [], iter(()))
        self.cost = price


class RecordingCatalog:
    """Writes down what it is asked. It finds an image without its locations, as Glance does."""

    def __init__(self, images: Iterable[Image], events: list[Event]) -> None:
        self._images = list(images)
        self._events = events

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        self._events.append(("ask", reference))
        for image in self._images:
            if reference in (image.id, image.name):
                return Success(replace(image, locations=()))
        return Failure(ImageNotFound(reference, "the recording catalog"))

    def locations(self, image: Image, context: Context) -> Result[Sequence[Location], CatalogFailure]:
        return Success(next(each.locations for each in self._images if each.id == image.id))


class RecordingStore:
    """A store in a dict that writes down what it is asked and told."""

    def __init__(self, associations: Iterable[Association], events: list[Event]) -> None:
        self.by_target = {association.target: association for association in associations}
        self._events = events

    def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
        self._events.append(("recall", target))
        return Success(self.by_target.get(target))

    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        self._events.append(("record", association.target, association.handler))
        self.by_target[association.target] = association
        return Success(None)

    def remove(self, target: str) -> Result[None, StoreUnavailable]:
        self._events.append(("forget", target))
        self.by_target.pop(target, None)
        return Success(None)

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        for association in sorted(self.by_target.values(), key=lambda association: association.target):
            if handler in (None, association.handler) and image_id is None and digest is None:
                yield association


class World:
    """Where a case is really played."""

    def __init__(self, case: Case) -> None:
        self.events: list[Event] = []
        self.store = RecordingStore([case.recorded] if case.recorded else [], self.events)
        answers = iter(case.answers)
        self.dispatcher = Dispatcher(
            [ScriptedHandler(spec, self.events, answers) for spec in case.handlers],
            RecordingCatalog([case.image], self.events),
            self.store,
        )
        self.request = FetchRequest(case.image_id, case.target)

    def course(self) -> Course:
        """How a fetch really goes."""
        outcome = self.dispatcher.fetch(self.request)
        match outcome:
            case Success(FetchResult(attempts=attempts)):
                end = "staged"
            case Failure(NoHandlerAvailable(attempts=attempts)):
                end = "no handler"
            case Failure(ImageNotFound()):
                attempts, end = (), "no image"
            case unforeseen:
                raise AssertionError(unforeseen)
        tried = [(each.handler, each.location.url if each.location else NOWHERE, each.refusal) for each in attempts]
        return Course(self.told(), tried, end)

    def told(self) -> list[Event]:
        """The events, without repeated questions to the catalog: the law says when it is asked, not how often."""
        return [event for n, event in enumerate(self.events) if event[0] != "ask" or event not in self.events[:n]]

    def preview(self) -> Course:
        """How a fetch is said to go, up to the attempt that it is said to end with."""
        try:
            seen = self.dispatcher.preview(self.request)
        except ImageNotFound:
            return Course(self.told(), [], "no image")
        last = next((number for number, each in enumerate(seen, 1) if each.would), len(seen))
        tried = [
            (each.handler, each.location.url if each.location else NOWHERE, each.outcome.swap().value_or(None))
            for each in seen[:last]
        ]
        return Course(self.told(), tried, "staged" if any(each.would for each in seen) else "no handler")

    def plan(self) -> list[tuple[str, str]]:
        """Handler and URL of every attempt, none of them made."""
        return [
            (attempt.handler.name, attempt.location.url if attempt.location else NOWHERE)
            for attempt in self.dispatcher.plan(self.request)
        ]
