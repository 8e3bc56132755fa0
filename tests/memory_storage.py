"""Storage that clones, in memory: it fails, or its process is killed, at a step of choice."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from lading import Location, Report, State, TargetFailed, Work
from lading.adapters.destinations.clone.storage import AttachesClones, Clone, CopiesClones, Parent
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.sources import StreamSource
from lading.ports.verified_files import StoredVersion

__all__ = ["DATA", "Broken", "Killed", "MemoryStorage"]

DATA = bytes(1 << 20)


class Broken(Exception):
    """An error of the vendor's own."""


class Killed(BaseException):
    """The process is gone: nothing is cleaned up."""


@dataclass
class MemoryStorage(AttachesClones, CopiesClones):
    """Targets are `mem:NAME`; only a copy reaches `mem:far/NAME`."""

    has_trash: bool = False
    """Whether what is replaced loses its name first, as in Ceph; else both have it for a moment, as in Cinder."""
    fails_at: int = 0
    """The step before or after which something happens; 0: nothing does."""
    failure: type[BaseException] = Broken
    fails_once: bool = False
    """Whether it works again at the next step, not only after a restart."""
    version: StoredVersion | None = None
    """That of the image that is cloned, if its bytes never change."""
    names: dict[str, str] = field(default_factory=dict)
    """Of each object, by identity."""
    trash: set[str] = field(default_factory=set)
    attached: set[str] = field(default_factory=set)
    _made: int = 0
    _is_dead: bool = False

    prefix = "mem:"
    sizes_are_exact = True

    def put(self, name: str) -> str:
        self._made += 1
        identity = str(self._made)
        self.names[identity] = name
        return identity

    def at(self, name: str) -> list[str]:
        return [identity for identity, each in self.names.items() if each == name]

    def restart(self) -> None:
        """Another process begins; the host has lost its attachments."""
        self._is_dead = False
        self.fails_at = 0
        self.attached.clear()

    @contextmanager
    def _step(self) -> Iterator[None]:
        self._maybe_fail()
        yield
        self._maybe_fail()

    def _maybe_fail(self) -> None:
        self.fails_at -= 1
        if self._is_dead or self.fails_at == 0:
            self._is_dead = not self.fails_once
            raise self.failure

    def check_target(self, target: str) -> None: ...

    def check_location(self, location: Location) -> None: ...

    @contextmanager
    def connected(self, target: str) -> Iterator[Self]:
        try:
            yield self
        except Broken:
            raise Refused(TargetFailed("it broke")) from None

    def find(self, name: str) -> Sequence[Clone]:
        with self._step():
            return [Clone(name, each, len(DATA)) for each in self.at(name)]

    def find_parent(self, location: Location, work: Work) -> Parent:
        with self._step():
            return Parent(location, "noble", len(DATA), "clones it", version=self.version)

    def clone(self, parent: Parent, name: str, size: int | None) -> Clone:
        with self._step():
            return Clone(name, self.put(name), size or parent.size)

    def publish(self, clone: Clone, target: str, replaced: Sequence[Clone]) -> None:
        if self.has_trash:
            with self._step():
                for each in replaced:
                    del self.names[each.identity]
                    self.trash.add(each.identity)
        with self._step():
            self.names[clone.identity] = target

    def purge(self, identity: str, target: str) -> None:
        with self._step():
            self.trash.discard(identity)
            self._drop(identity)

    def restore(self, identity: str, target: str) -> bool:
        with self._step():
            if identity not in self.trash:
                return False
            self.trash.remove(identity)
            self.names[identity] = target
            return True

    def rename(self, clone: Clone, target: str) -> None:
        with self._step():
            self.names[clone.identity] = target

    def must_copy(self, clone: Clone, target: str) -> bool:
        return target.startswith("mem:far/")

    def copy(self, clone: Clone, name: str) -> Clone:
        with self._step():
            return Clone(name, self.put(name), clone.size)

    def delete(self, clone: Clone) -> None:
        with self._step():
            self._drop(clone.identity)

    def discard(self, name: str) -> None:
        with self._step():
            for each in self.at(name):
                self._drop(each)

    def open(self, clone: Clone, size: int) -> StreamSource:
        with self._step():
            return StreamSource(io.BytesIO(DATA), size)

    def describe(self, clone: Clone) -> Report:
        return Report(State.INTACT)

    def attach(self, identity: str) -> None:
        with self._step():
            self.attached.add(identity)

    def attachments(self) -> Mapping[str, bool]:
        with self._step():
            return {each: each in self.attached for each in self.names}

    def _drop(self, identity: str) -> None:
        self.names.pop(identity, None)
        self.attached.discard(identity)
