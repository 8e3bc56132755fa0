"""A model of a host: a disk, a handler of two steps, and processes that end at any of them."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from returns.result import Failure, Result, Success
from tests.faulty_stores import through
from tests.reference import RecordingCatalog

from lading import (
    Dispatcher,
    FetchRequest,
    Fingerprint,
    Image,
    Landing,
    Location,
    Refusal,
    TargetFailed,
    TargetOccupied,
    Unavailable,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.domain.handler import PartialData
from lading.ports.journal import Journal, Verb

TARGETS = HERE, THERE = "/vms/1/disk", "/vms/2/disk"
IMAGES = [Image(name, size=10, locations=[Location(f"pool://{name}")]) for name in "ab"]
HANDLERS = ["near", "far"]
STEPS = 40
"""More than any one verb takes."""


class Killed(BaseException):
    """The process is gone."""


class Process:
    """Counts the steps of a process, and ends it at one of them."""

    def __init__(self, steps: int | None) -> None:
        self._left = steps

    def step(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the act gives
        """Do it, unless the end comes before it; it may come right after it, too. Nothing is done after the end."""
        self._count()
        given = act()
        self._count()
        return given

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed


class File(NamedTuple):
    """What is at a path."""

    inode: int
    content: str

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(0, self.inode, len(self.content), 0, 0)


class Disk:
    """What outlives every process."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.parts: dict[str, str] = {}
        """Target → as much of an image as has come."""
        self.inodes = count(1)
        self.is_mounted = True


UNMOUNTED: Result[Any, Refusal] = Failure(TargetFailed("is it not mounted?"))
PRECIOUS = "precious"
"""What strangers' files hold."""


def content(image: Image) -> str:
    return image.id * 10


class ShelfHandler:
    """Brings an image in two halves, and publishes it in one step, as the contract has it."""

    schemes = frozenset({"pool"})
    is_local = True

    def __init__(self, name: str, disk: Disk, journal: Journal, process: Process, *, breaks: bool) -> None:
        self.name = name
        self._disk, self._journal, self._step, self._breaks = disk, journal, process.step, breaks

    def preview(self, work: Work) -> Result[str, Refusal]:
        found = self._found(work)
        if self._breaks and found == Success(None):
            return Failure(Unavailable("it would break off"))
        return found.map(lambda landing: "is there already" if landing else "comes in two halves")

    def _found(self, work: Work) -> Result[Landing | None, Refusal]:
        """What is at the target, if it is the image; None where the target is free."""
        assert work.image is not None
        if not self._disk.is_mounted:
            return UNMOUNTED
        there, recorded = self._disk.files.get(work.target), work.association
        if there is None or work.force:
            return Success(None)
        is_it = recorded is not None and recorded.fingerprint == there.fingerprint
        is_same = is_it and there.content == content(work.image)
        return Success(Landing(present=True)) if is_same else Failure(TargetOccupied("something is there"))

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        assert work.image is not None
        match self._found(work):
            case Success(Landing() as landing):
                return Success(landing)
            case Failure(refusal):
                return Failure(refusal)
        resumed = self._resumed(work, work.image)
        if not resumed:
            half = content(work.image)[:5]
            # Before it is noted what is there: it may be another image's.
            self._step(lambda: self._disk.parts.pop(work.target, None))
            self._note(work, part=work.image.id)
            self._step(lambda: self._disk.parts.update({work.target: half}))
        if self._breaks:
            return Failure(Unavailable("it broke off", kept=5))
        file = File(next(self._disk.inodes), self._disk.parts[work.target] + content(work.image)[5:])
        self._note(work, part=work.image.id, landed=list(file.fingerprint))
        self._step(lambda: self._publish(work.target, file))
        return Success(Landing(size=10, fingerprint=file.fingerprint, resumed=resumed))

    def _resumed(self, work: Work, image: Image | None) -> int:
        """Bytes of partial data that an earlier attempt has left."""
        notes = work.intent.notes if work.intent else {}
        is_of_it = image is not None and notes.get("part") == image.id
        return len(self._disk.parts.get(work.target, "")) if is_of_it else 0

    def _publish(self, target: str, file: File) -> None:
        self._disk.parts.pop(target, None)
        self._disk.files[target] = file

    def remove(self, work: Work) -> Result[None, Refusal]:
        if not self._disk.is_mounted:
            return UNMOUNTED
        there, recorded = self._disk.files.get(work.target), work.association
        if there is not None and recorded is not None and not work.force and recorded.fingerprint != there.fingerprint:
            return Failure(TargetOccupied("another file is there"))
        self._step(lambda: self._disk.files.pop(work.target, None))
        return Success(None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        if not self._disk.is_mounted:
            return UNMOUNTED
        file = self._disk.files.get(work.target)
        if file is None or destination in self._disk.files:
            return Failure(TargetOccupied("there is nothing to move, or no place for it"))
        self._note(work, moving=list(file.fingerprint))

        def rename() -> None:
            self._disk.files[destination] = self._disk.files.pop(work.target)

        self._step(rename)
        return Success(Landing(fingerprint=file.fingerprint))

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        intent = work.intent
        assert intent is not None
        if not intent.notes:
            return Success(PartialData())
        if not self._disk.is_mounted:
            return UNMOUNTED
        where, noted = (intent.target, "landed") if intent.verb is Verb.FETCH else (intent.destination or "", "moving")
        file = self._disk.files.get(where)
        if file is not None and list(file.fingerprint) == intent.notes.get(noted):
            return Success(Landing(size=10, fingerprint=file.fingerprint))
        if keep and (resumed := self._resumed(work, intent.image)):
            return Success(PartialData(resumed))
        self._step(lambda: self._disk.parts.pop(intent.target, None))
        return Success(PartialData())

    def _note(self, work: Work, **notes: object) -> None:
        self._journal.note(work.target, notes).unwrap()


class Deed(NamedTuple):
    """Something that is done, by a process of its own."""

    verb: str
    target: str
    other: str
    """The destination of a move."""
    image: Image
    yes: bool
    """Whether it is forced, or kept."""
    broken: frozenset[str]
    """The handlers whose source breaks off."""
    steps: int | None
    """When the process ends; None when it comes to the end of its work."""


def deeds() -> SearchStrategy[Deed]:
    return st.builds(
        Deed,
        verb=st.sampled_from(["fetch", "fetch", "move", "remove", "verify", "recover", "stranger"]),
        target=st.sampled_from(TARGETS),
        other=st.sampled_from(TARGETS),
        image=st.sampled_from(IMAGES),
        yes=st.booleans(),
        broken=st.frozensets(st.sampled_from(HANDLERS)),
        steps=st.none() | st.integers(0, STEPS),
    )


class Host:
    """A disk and what is remembered, and processes that come and go."""

    def __init__(self) -> None:
        self.disk, self.associations, self.journal = Disk(), MemoryAssociations(), MemoryJournal()

    def dispatcher(
        self, process: Process, broken: frozenset[str] = frozenset(), loaded: Sequence[str] = HANDLERS
    ) -> Dispatcher:
        """Of a new process: locks die with the old one."""

        def by_way(_: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the store answers
            return process.step(act)

        journal = through(self.journal, by_way)
        handlers = [ShelfHandler(each, self.disk, journal, process, breaks=each in broken) for each in loaded]
        associations = through(self.associations, by_way)
        return Dispatcher(handlers, RecordingCatalog(IMAGES, []), associations, journal=journal, locks=MemoryLocks())

    def do(self, deed: Deed, loaded: Sequence[str] = HANDLERS) -> bool:
        """Whether it came to its end."""
        dispatcher = self.dispatcher(Process(deed.steps), deed.broken, loaded)
        try:
            match deed.verb:
                case "stranger":
                    self.disk.files.setdefault(deed.target, File(next(self.disk.inodes), PRECIOUS))
                case "fetch":
                    dispatcher.fetch(FetchRequest(deed.image.id, deed.target, force=deed.yes))
                case "move":
                    dispatcher.move(deed.target, deed.other)
                case "remove":
                    dispatcher.remove(deed.target, force=deed.yes)
                case "verify":
                    dispatcher.verify(deed.target)
                case _:
                    list(dispatcher.recover(keep=deed.yes))
        except Killed:
            return False
        return True

    def recover(self) -> None:
        list(self.dispatcher(Process(None)).recover(keep=False))

    @property
    def strangers(self) -> dict[str, File]:
        return {target: file for target, file in self.disk.files.items() if file.content == PRECIOUS}

    @property
    def all_there_is(self) -> object:
        disk = self.disk
        return dict(disk.files), dict(disk.parts), list(self.associations.list()), list(self.journal.list())

    def assert_sound(self) -> None:
        """No operation is open, each of lading's files is whole and recorded, and there is no other."""
        assert list(self.journal.list()) == []
        assert self.disk.parts == {}
        recorded = {each.target: each for each in self.associations.list()}
        ours = {target: file for target, file in self.disk.files.items() if target not in self.strangers}
        assert recorded.keys() == ours.keys()
        for target, file in ours.items():
            image = recorded[target].image
            assert image is not None
            assert file.content == content(image)
            assert recorded[target].fingerprint == file.fingerprint


def deed(verb: str, *broken: str, image: Image = IMAGES[0], yes: bool = False, steps: int | None = None) -> Deed:
    return Deed(verb, HERE, THERE, image, yes, frozenset(broken), steps)
