"""Many processes at one database of associations, each with a plan that anybody can look up."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.ports.association import Association
from lading.ports.image import Image

OWN: Final = 24
"""Targets that one process alone writes."""
SHARED: Final = 8
COUNTERS: Final = 4
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
# What a process does, and how often of a hundred times.
KINDS: Final = {
    "put its own": 28,
    "remove its own": 12,
    "get its own": 14,
    "list its own": 6,
    "put a shared one": 12,
    "remove a shared one": 5,
    "get a shared one": 11,
    "list all": 2,
    "count": 10,
}


class Step(NamedTuple):
    """What a process does next."""

    kind: str
    target: str


class Plan(NamedTuple):
    """What every one of the processes does: the same whenever it is asked, so that no process need tell."""

    seed: int
    processes: int
    operations: int
    """Of each process."""

    def step(self, me: int, number: int) -> Step:
        random = Random(f"{self.seed}/{me}/{number}")
        (kind,) = random.choices(list(KINDS), list(KINDS.values()))
        if kind == "count":
            return Step(kind, counter(random.randrange(COUNTERS)))
        if "its own" in kind:
            return Step(kind, f"/own/{me}/{random.randrange(OWN)}")
        return Step(kind, f"/shared/{random.randrange(SHARED)}")

    def value(self, me: int, number: int) -> Association:
        """What the process puts by this operation. Some of them take more than a page of the database."""
        target = self.step(me, number).target
        method = "x" * (9000 if number % 50 == 0 else number % 400)
        image, landed_at = Image(f"image-{number % 7}"), EPOCH + timedelta(seconds=number)
        return Association(target, f"process {me}", image, None, landed_at, method, number)

    def own(self, me: int, done: int) -> dict[str, Association]:
        """What the process's own targets hold after so many of its operations."""
        held: dict[str, Association] = {}
        for number in range(done):
            kind, target = self.step(me, number)
            if kind == "put its own":
                held[target] = self.value(me, number)
            elif kind == "remove its own":
                held.pop(target, None)
        return held

    def last_of_shared(self, me: int, done: int) -> dict[str, Association | None]:
        """What the process did last with each shared target: nobody else's word can be older than its own."""
        last: dict[str, Association | None] = {}
        for number in range(done):
            kind, target = self.step(me, number)
            if kind == "put a shared one":
                last[target] = self.value(me, number)
            elif kind == "remove a shared one":
                last[target] = None
        return last

    def counted(self, me: int, done: int) -> list[str]:
        """The counters that it counted up, each as often as it did."""
        return [target for kind, target in (self.step(me, number) for number in range(done)) if kind == "count"]

    def was_put(self, found: Association) -> bool:
        """Whether it is, in all its parts, what some process puts by some operation."""
        me, number = int(found.handler.removeprefix("process ")), found.size
        return number is not None and self.step(me, number).kind.startswith("put") and found == self.value(me, number)


def counter(number: int) -> str:
    return f"/counter/{number}"


def fresh_counters(associations: FileAssociations) -> None:
    for number in range(COUNTERS):
        associations.put(Association(counter(number), "counter", None, None, EPOCH, size=0)).unwrap()


class Porter:
    """One of the processes. It goes on where its journal, a byte for each operation that was done, ends."""

    def __init__(self, plan: Plan, me: int, associations: FileAssociations, folder: Path) -> None:
        self.plan = plan
        self.me = me
        self.associations = associations
        self.folder = folder
        self.done = acknowledged(folder, me)
        self.held = plan.own(me, self.done)

    def look_around(self) -> None:
        """What was done is there. Of what was begun last, before a kill, either outcome is right."""
        begun = self.plan.step(self.me, self.done)
        found = {each.target: each for each in self.associations.list() if each.target in self._mine()}
        held = dict(self.held)
        if begun.kind in ("put its own", "remove its own"):
            either = (held.pop(begun.target, None), self._outcome(begun.kind))
            assert found.pop(begun.target, None) in either, f"{begun} left something else"
        assert found == held, "something else than the last operation is lost"

    def _mine(self) -> set[str]:
        return {f"/own/{self.me}/{number}" for number in range(OWN)}

    def _outcome(self, kind: str) -> Association | None:
        return self.plan.value(self.me, self.done) if kind.startswith("put") else None

    def go_on(self, journal: int) -> None:
        while self.done < self.plan.operations:
            self._do(*self.plan.step(self.me, self.done))
            os.write(journal, b".")
            self.done += 1

    def _do(self, kind: str, target: str) -> None:
        match kind.partition(" ")[0]:
            case "put":
                value = self.plan.value(self.me, self.done)
                self.associations.put(value).unwrap()
                if kind == "put its own":
                    self.held[target] = value
            case "remove":
                self.associations.remove(target).unwrap()
                self.held.pop(target, None)
            case "get":
                found = self.associations.get(target).unwrap()
                if kind == "get its own":
                    assert found == self.held.get(target)
                assert found is None or self.plan.was_put(found)
            case "list":
                self._list(handler=f"process {self.me}" if kind == "list its own" else None)
            case _:
                self._count(target)

    def _list(self, handler: str | None) -> None:
        found = [each for each in self.associations.list(handler=handler) if each.handler != "counter"]
        targets = [each.target for each in found]
        assert targets == sorted(set(targets))
        assert {each.target: each for each in found if each.target in self._mine()} == self.held
        assert all(map(self.plan.was_put, found))

    def _count(self, target: str) -> None:
        """Read, add one, write. The store promises that each of its verbs is atomic; two of them take a lock."""
        with locked(self.folder / target.removeprefix("/counter/")):
            found = self.associations.get(target).unwrap()
            assert found is not None
            assert found.size is not None
            self.associations.put(replace(found, size=found.size + 1)).unwrap()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A lock that ends with its process (flock(2))."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def journal_of(folder: Path, me: int) -> Path:
    return folder / f"{me}.journal"


def acknowledged(folder: Path, me: int) -> int:
    """How many of its operations the process has seen done."""
    try:
        return journal_of(folder, me).stat().st_size
    except FileNotFoundError:
        return 0


def take_part(plan: Plan, me: int, path: str, folder: str) -> None:
    with closing(Database(path)) as database:
        porter = Porter(plan, me, FileAssociations(database), Path(folder))
        porter.look_around()
        journal = os.open(journal_of(porter.folder, me), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            porter.go_on(journal)
        finally:
            os.close(journal)
