"""Cut off at any step and recovered, whatever was done: nothing is under way, and what is recorded is what is there."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given
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
    NoHandlerAvailable,
    Refusal,
    TargetFailed,
    TargetOccupied,
    TargetUnresolved,
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
        """How much of the image an earlier try has left to go on from."""
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


@given(st.lists(deeds(), max_size=8))
def test_whatever_is_cut_off_recovery_leaves_nothing_under_way_and_only_what_is_whole_and_recorded(
    several: list[Deed],
) -> None:
    host = Host()
    for each in several:
        event(f"{each.verb} {'came to its end' if host.do(each) else 'was cut off'}")
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=8))
def test_a_file_that_is_not_the_noted_one_is_touched_by_nothing_but_force(several: list[Deed]) -> None:
    host = Host()
    for each in several:
        before = host.strangers
        host.do(each)
        if each.verb in {"recover", "verify", "move"} or not each.yes:
            assert before.items() <= host.strangers.items()
    before = host.strangers
    host.recover()
    assert before == host.strangers


@given(st.lists(deeds(), max_size=5), deeds(), st.lists(deeds(), max_size=5))
def test_where_nothing_is_mounted_nothing_is_settled_or_forgotten(
    before: list[Deed], cut: Deed, while_unmounted: list[Deed]
) -> None:
    host = Host()
    for each in (*before, cut):
        host.do(each)
    noted = [each for each in host.journal.list() if each.notes]
    recorded, files = list(host.associations.list()), dict(host.disk.files)
    host.disk.is_mounted = False
    for each in while_unmounted:
        if each.verb != "stranger":
            host.do(each)
    left = list(host.journal.list())
    assert all(each in left for each in noted)
    # A move that had been recorded at its destination is done, also here.
    assert list(host.associations.list()) == recorded
    assert host.disk.files == files
    host.disk.is_mounted = True
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=5), deeds(), deeds())
def test_nothing_begins_over_an_unresolved_intent(before: list[Deed], cut: Deed, then: Deed) -> None:
    """The interrupted operation's handler is not loaded any more."""
    host = Host()
    for each in before:
        host.do(each)
    host.recover()
    host.do(cut)
    left = [each for each in host.journal.list() if each.handler == "near" and each.verb is not Verb.REMOVE]
    is_over = any(
        {each.target, each.destination} & {then.target, then.other if then.verb == "move" else then.target}
        for each in left
    )
    if not is_over or then.verb in {"verify", "stranger"}:
        return
    event(f"{then.verb} over the {left[0].verb} that was interrupted")
    before_it = host.all_there_is
    host.do(then._replace(steps=None), loaded=["far"])
    assert host.all_there_is == before_it
    host.recover()
    host.assert_sound()


def ending(dispatcher: Dispatcher, request: FetchRequest) -> object:
    """The handler that a fetch ends with, or its failure."""
    try:
        return dispatcher.fetch_or_raise(request).handler
    except (NoHandlerAvailable, TargetUnresolved) as failure:
        return type(failure), failure.args[:1] if isinstance(failure, TargetUnresolved) else ()


def previewed_ending(dispatcher: Dispatcher, request: FetchRequest) -> object:
    """The handler that a preview says a fetch ends with, or the failure."""
    try:
        previews = dispatcher.preview(request)
    except TargetUnresolved as failure:
        return TargetUnresolved, failure.args[:1]
    return next((each.handler for each in previews if each.would), (NoHandlerAvailable, ()))


@given(st.lists(deeds(), max_size=5), deeds(), st.sets(st.sampled_from(HANDLERS)), st.booleans())
def test_rule_9_whatever_was_interrupted_a_preview_ends_as_the_fetch_ends(
    before: list[Deed], then: Deed, loaded: set[str], is_mounted: bool
) -> None:
    host, unpreviewed = Host(), Host()
    for each in (host, unpreviewed):
        for deed in before:
            each.do(deed)
        each.disk.is_mounted = is_mounted
    request = FetchRequest(then.image.id, then.target, force=then.yes)
    previewed = previewed_ending(host.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    fetched = ending(host.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    event(f"it ends in {fetched}")
    assert previewed == fetched
    assert fetched == ending(unpreviewed.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    assert host.disk.files == unpreviewed.disk.files


@given(st.lists(deeds(), max_size=6), st.sampled_from(TARGETS))
def test_what_is_given_up_is_settled_whatever_it_was(several: list[Deed], target: str) -> None:
    host = Host()
    for each in several:
        host.do(each)
    list(host.dispatcher(Process(None), loaded=[]).recover(target, keep=False, give_up=True))
    assert not [each for each in host.journal.list() if target in {each.target, each.destination}]


@given(st.lists(deeds(), max_size=6), st.sampled_from(TARGETS))
def test_what_is_forgotten_is_known_no_more_and_not_touched(several: list[Deed], target: str) -> None:
    host = Host()
    for each in several:
        host.do(each)
    files, parts = dict(host.disk.files), dict(host.disk.parts)
    host.dispatcher(Process(None), loaded=[]).forget(target)
    assert (host.disk.files, host.disk.parts) == (files, parts)
    assert host.associations.get(target) == Success(None)
    assert not [each for each in host.journal.list() if target in {each.target, each.destination}]


@pytest.mark.parametrize("yes", [False, True], ids=["unforced", "forced"])
def test_with_nothing_recorded_a_removal_is_finished(*, yes: bool) -> None:
    """Whatever came to its place after it was forgotten stays."""
    ends = set()
    for steps in range(STEPS):
        host = Host()
        host.do(deed("fetch"))
        ends.add(host.do(deed("remove", yes=yes, steps=steps)))
        if host.associations.get(HERE) == Success(None):
            host.do(deed("stranger"))
            precious = host.strangers
            host.recover()
            assert host.strangers == precious != {}
            host.assert_sound()
    assert ends == {False, True}


def deed(verb: str, *broken: str, image: Image = IMAGES[0], yes: bool = False, steps: int | None = None) -> Deed:
    return Deed(verb, HERE, THERE, image, yes, frozenset(broken), steps)


BEFORE = {
    "nothing": [],
    "something kept": [deed("fetch", "near", "far")],
    "the image": [deed("fetch")],
    "the other image": [deed("fetch", image=IMAGES[1])],
    "both ends": [deed("fetch"), deed("fetch")._replace(target=THERE)],
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("broken", [[], ["near"], ["near", "far"]], ids=["sound", "one broken", "all broken"])
@pytest.mark.parametrize("yes", [False, True], ids=["unforced", "forced"])
@pytest.mark.parametrize("verb", ["fetch", "move", "remove", "verify", "recover"])
def test_wherever_a_verb_is_cut_off_recovery_makes_it_sound(
    before: list[Deed], broken: list[str], verb: str, *, yes: bool
) -> None:
    """At each step of it, from the first to the last."""
    for steps in range(STEPS):
        host = Host()
        for each in before:
            host.do(each)
        came_to_its_end = host.do(deed(verb, *broken, yes=yes, steps=steps))
        host.recover()
        host.assert_sound()
        if came_to_its_end:
            return
    raise AssertionError(f"it takes more than {STEPS} steps")


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("then", ["fetch", "move", "remove", "verify"])
@pytest.mark.parametrize("verb", ["fetch", "move", "remove"])
def test_whatever_is_done_at_either_end_of_what_was_cut_off_recovery_makes_it_sound(
    before: list[Deed], verb: str, then: str
) -> None:
    for steps in range(STEPS):
        ends = set()
        for here, there in ((HERE, THERE), (THERE, HERE)):
            host = Host()
            for each in before:
                host.do(each)
            ends.add(host.do(deed(verb, steps=steps)))
            host.do(deed(then)._replace(target=here, other=there))
            host.recover()
            host.assert_sound()
        if ends == {True}:
            return
    raise AssertionError(f"it takes more than {STEPS} steps")


@given(st.lists(deeds(), max_size=5), st.lists(st.integers(0, STEPS), max_size=5))
def test_a_recovery_that_is_cut_off_itself_is_no_matter(several: list[Deed], ends: list[int]) -> None:
    host = Host()
    for each in several:
        host.do(each)
    for steps in ends:
        host.do(deed("recover", steps=steps))
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=5), st.integers(0, STEPS))
def test_what_a_fetch_that_was_cut_off_has_brought_is_not_brought_again(before: list[Deed], steps: int) -> None:
    host = Host()
    for each in before:
        host.do(each)
    came_to_its_end = host.do(deed("fetch", steps=steps))
    had_come = 5 if host.disk.parts.get(HERE) == content(IMAGES[0])[:5] else 0
    outcome = host.dispatcher(Process(None), frozenset()).fetch(FetchRequest("a", HERE))
    if isinstance(outcome, Success) and not outcome.unwrap().landing.present and not came_to_its_end:
        assert outcome.unwrap().landing.resumed == had_come


@given(st.lists(deeds(), max_size=6))
def test_what_came_to_its_end_is_not_undone_by_recovery(several: list[Deed]) -> None:
    host = Host()
    for each in several:
        host.do(each._replace(steps=None))
    files, recorded = dict(host.disk.files), list(host.associations.list())
    host.recover()
    assert (host.disk.files, list(host.associations.list())) == (files, recorded)
