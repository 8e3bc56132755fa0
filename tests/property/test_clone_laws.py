"""What is true of clones as targets, whichever step of the storage fails, and wherever the process is killed."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Final

import pytest
from returns.result import Failure, Result, Success
from tests.memory_storage import DATA, Broken, Killed, MemoryStorage

from lading import (
    Association,
    Digest,
    Image,
    Landing,
    Location,
    Mismatched,
    PartialData,
    Refusal,
    TargetOccupied,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.clone.target_state import part_of
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.rules import Rules
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.form import Form
from lading.ports.journal import Intent, Verb
from lading.ports.verified_files import StoredVersion

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE: Final = Image("noble", size=len(DATA), disk_format="raw")
DIGEST: Final = Digest("sha256", hashlib.sha256(DATA).hexdigest())
VERSION: Final = StoredVersion("mem:noble@1", len(DATA))
TARGET: Final = "mem:1"
OPENER: Final = SourceOpener(lambda _: Failure(Unavailable("a clone is not read")))

at_every_step = pytest.mark.parametrize("step", range(31))
"""More than an operation has; at step 0 nothing happens."""
at_every_target = pytest.mark.parametrize(("has_trash", "is_occupied"), list(product([False, True], repeat=2)))
killed_or_interrupted = pytest.mark.parametrize("cleans_up", [False, True], ids=["killed", "interrupted"])
to_every_destination = pytest.mark.parametrize("destination", ["mem:2", "mem:far/2"])


class World:
    """A storage with an object that is nobody's business, and a target that is free or occupied."""

    def __init__(self, storage: MemoryStorage, *, is_occupied: bool = False) -> None:
        self.storage = storage
        self.bystander = storage.put("mem:bystander")
        self.old = storage.put(TARGET) if is_occupied else None
        self.journal = MemoryJournal()
        self.verified = MemoryVerifiedFiles()
        self.clones = CloneDestination(storage, self.journal, Rules(), self.verified)
        self.work = Work(TARGET, IMAGE, Location("mem://noble"), force=is_occupied)

    def begun(self, verb: Verb, destination: str | None = None) -> Work:
        self.journal.begin(Intent(TARGET, verb, "mem", NOW, self.work.image, destination=destination))
        return self.pending()

    def pending(self) -> Work:
        return replace(self.work, intent=self.journal.pending(TARGET).unwrap())

    def recovered(self) -> Landing | PartialData:
        self.storage.restart()
        return self.clones.recover(self.pending(), keep=True).unwrap()

    def own(self) -> dict[str, str]:
        """Every object but the bystander, which is as it was."""
        own = dict(self.storage.names)
        assert own.pop(self.bystander) == "mem:bystander"
        assert self.storage.trash == set()
        return own


@at_every_step
@at_every_target
@killed_or_interrupted
def test_a_fetch_killed_at_any_step_is_finished_or_undone(
    step: int, has_trash: bool, is_occupied: bool, cleans_up: bool
) -> None:
    storage = MemoryStorage(has_trash, failure=Killed, fails_once=cleans_up)
    world = World(storage, is_occupied=is_occupied)
    storage.fails_at = step
    with suppress(Killed):
        world.clones.fetch(world.begun(Verb.FETCH), OPENER)
    found = world.recovered()
    if isinstance(found, Landing):
        assert world.own() == {found.identity: TARGET}
        assert storage.attached == {found.identity}
    else:
        assert world.own() == ({world.old: TARGET} if world.old else {})


@at_every_step
def test_a_clone_of_a_verified_version_is_verified_even_after_a_crash(step: int) -> None:
    storage = MemoryStorage(failure=Killed, version=VERSION)
    world = World(storage)
    world.verified.remember(VERSION, DIGEST)
    world.work = replace(world.work, image=replace(IMAGE, digest=DIGEST))
    begun = world.begun(Verb.FETCH)
    storage.fails_at = step
    with suppress(Killed):
        landing = world.clones.fetch(begun, OPENER).unwrap()
        assert (landing.digest, landing.verified) == (DIGEST, True)
    found = world.recovered()
    assert isinstance(found, PartialData) or (found.digest, found.verified) == (DIGEST, True)


def test_only_a_clone_of_a_verified_version_is_made_where_verification_is_required() -> None:
    world = World(MemoryStorage(version=VERSION))
    strict = CloneDestination(world.storage, world.journal, Rules(allow_unverified=False), world.verified)
    work = replace(world.work, image=replace(IMAGE, digest=DIGEST))
    refused = strict.fetch(work, OPENER).failure()
    assert "landing.allow_unverified is false" in str(refused)
    world.verified.remember(VERSION, DIGEST)
    assert "allow_unverified" in str(strict.fetch(replace(work, reverify=True), OPENER).failure())
    assert isinstance(strict.preview(work, OPENER), Success)
    assert strict.fetch(work, OPENER).unwrap().verified


def test_a_version_that_is_known_to_be_another_image_is_not_cloned() -> None:
    world = World(MemoryStorage(version=VERSION))
    world.verified.remember(VERSION, replace(DIGEST, value="ab" * 32))
    work = replace(world.work, image=replace(IMAGE, digest=DIGEST))
    for outcome in (world.clones.preview(work, OPENER), world.clones.fetch(work, OPENER)):
        assert isinstance(outcome.failure(), Mismatched)
    assert world.own() == {}


@at_every_step
@at_every_target
def test_a_fetch_that_fails_at_any_step_leaves_everything_as_it_was(
    step: int, has_trash: bool, is_occupied: bool
) -> None:
    storage = MemoryStorage(has_trash, failure=Broken, fails_once=True)
    world = World(storage, is_occupied=is_occupied)
    storage.fails_at = step
    outcome = world.clones.fetch(world.work, OPENER)
    if isinstance(outcome, Failure):
        assert world.own() == ({world.old: TARGET} if world.old else {})
        assert storage.attached == set()
    else:
        assert storage.names[str(outcome.unwrap().identity)] == TARGET


@at_every_step
@at_every_target
def test_a_second_attempt_succeeds_whatever_the_first_has_left(step: int, has_trash: bool, is_occupied: bool) -> None:
    storage = MemoryStorage(has_trash, failure=Broken)
    world = World(storage, is_occupied=is_occupied)
    storage.fails_at = step
    first = world.clones.fetch(world.begun(Verb.FETCH), OPENER)
    storage.restart()
    if isinstance(first, Failure):
        landing = world.clones.fetch(world.pending(), OPENER).unwrap()
        assert world.own() == {landing.identity: TARGET}


@at_every_step
@to_every_destination
@killed_or_interrupted
def test_a_move_killed_at_any_step_is_finished_or_undone(step: int, destination: str, cleans_up: bool) -> None:
    storage = MemoryStorage(failure=Killed, fails_once=cleans_up)
    world = World(storage, is_occupied=True)
    storage.fails_at = step
    with suppress(Killed):
        world.clones.move(world.begun(Verb.MOVE, destination), destination)
    found = world.recovered()
    if isinstance(found, Landing):
        assert world.own() == {found.identity: destination}
    else:
        assert world.own() == {world.old: TARGET}


@at_every_step
@to_every_destination
def test_a_move_that_fails_at_any_step_leaves_one_clone_of_the_image(step: int, destination: str) -> None:
    storage = MemoryStorage(failure=Broken, fails_once=True)
    world = World(storage, is_occupied=True)
    storage.fails_at = step
    world.clones.move(world.begun(Verb.MOVE, destination), destination)
    world.recovered()
    assert len(world.own()) == 1


@pytest.mark.parametrize("has_trash", [False, True])
def test_what_replaces_something_counts_though_the_old_cannot_be_removed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, has_trash: bool
) -> None:
    storage = MemoryStorage(has_trash)
    world = World(storage, is_occupied=True)

    def broken(*_: object) -> None:
        raise Broken

    monkeypatch.setattr(storage, "purge", broken)
    landing = world.clones.fetch(world.work, OPENER).unwrap()
    assert storage.names[str(landing.identity)] == TARGET
    assert f"{TARGET}: the replaced {world.old} may be left" in caplog.text


@pytest.mark.parametrize("replaced", ["2", ["2"]])
def test_notes_of_an_earlier_version_are_recovered(replaced: object) -> None:
    """One identity, not a list, and no part where the clone only was noted."""
    storage = MemoryStorage(has_trash=True)
    world = World(storage)
    storage.trash.add("2")
    notes = {"part": "1.lading-part", "clone": "9", "size": 5, "inspected_by": None, "replaced": replaced}
    intent = Intent(TARGET, Verb.FETCH, "mem", NOW, notes=notes)
    assert world.clones.recover(replace(world.work, intent=intent), keep=True) == Success(PartialData())
    assert world.own() == {"2": TARGET}


def test_a_part_that_nothing_notes_is_not_touched() -> None:
    storage = MemoryStorage()
    world = World(storage)
    foreign = storage.put(f"{TARGET}.lading-part")
    refused = world.clones.fetch(world.begun(Verb.FETCH), OPENER).failure()
    assert isinstance(refused, TargetOccupied)
    assert "exists, and lading has no record of it" in str(refused)
    assert world.recovered() == PartialData()
    assert world.own() == {foreign: f"{TARGET}.lading-part"}


RESERVED: Final = part_of(TARGET)
OPERATIONS: Final[dict[str, Callable[[CloneDestination, Work], Result[object, Refusal]]]] = {
    "fetch": lambda clones, work: clones.fetch(work, OPENER),
    "preview": lambda clones, work: clones.preview(work, OPENER),
    "remove": lambda clones, work: clones.remove(work),
    "move from it": lambda clones, work: clones.move(work, "mem:2"),
    "move to it": lambda clones, work: clones.move(replace(work, target=TARGET), RESERVED),
    "verify": lambda clones, work: clones.verify(work),
    "report": lambda clones, work: clones.report(work),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_name_of_an_unfinished_clone_is_no_target(operation: str) -> None:
    world = World(MemoryStorage(), is_occupied=True)
    foreign = world.storage.put(RESERVED)
    recorded = Association(RESERVED, "mem", IMAGE, world.work.location, NOW, identity=foreign)
    work = replace(world.work, target=RESERVED, association=recorded)
    refused = OPERATIONS[operation](world.clones, work).failure()
    assert isinstance(refused, Unsupported)
    assert refused.reason.startswith(f"{RESERVED} has a name that lading reserves")
    assert world.own() == {world.old: TARGET, foreign: RESERVED}


@pytest.mark.parametrize(("size", "exact", "is_present"), [(None, True, True), (5, True, False), (5, False, True)])
def test_a_clone_larger_than_wished_for_is_the_image_where_sizes_are_rounded(
    size: int | None, exact: bool, is_present: bool
) -> None:
    storage = MemoryStorage()
    storage.sizes_are_exact = exact
    world = World(storage)
    landing = world.clones.fetch(world.work, OPENER).unwrap()
    recorded = landing.recorded_in(Association(TARGET, "mem", IMAGE, world.work.location, NOW))
    again = world.clones.fetch(replace(world.work, association=recorded, form=Form(size=size)), OPENER)
    assert isinstance(again, Success) is is_present


def test_what_a_restart_has_detached_is_attached_again_and_nothing_else_is_asked() -> None:
    storage = MemoryStorage()
    world = World(storage)
    world.clones.fetch(world.work, OPENER)
    (identity,) = storage.at(TARGET)
    recorded = Association(TARGET, "mem", IMAGE, world.work.location, NOW, identity=identity)
    storage.restart()
    world.clones.prepare([replace(recorded, target="/vms/1")])
    assert storage.attached == set()
    world.clones.prepare([recorded, replace(recorded, target="mem:gone", identity="gone")])
    assert storage.attached == {identity}
