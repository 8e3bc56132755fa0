"""Cinder volumes as clones, attached to this host. Several may have the same name: their ids are the identities."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.clone.storage import AttachesClones, Clone, Parent
from lading.adapters.destinations.clone.target_state import part_of, target_of
from lading.adapters.handlers.cinder.api import GIBIBYTE, Cinder, Volume, cinder_errors
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.names import DEVICE, HOST, PREFIX, TARGET, volume_of, volume_target
from lading.adapters.handlers.cinder.source import VolumeSource, check
from lading.adapters.stream.errors import Refused, taken, value_or_refuse
from lading.domain.handler import Report, Work
from lading.domain.refusals import Mismatched, TargetFailed
from lading.ports.association import State
from lading.ports.location import Location

__all__ = ["VolumeStorage"]


class VolumeStorage(AttachesClones):
    """The volumes of the credentials' project. Their metadata name the target and the host of each."""

    prefix = PREFIX
    sizes_are_exact = False  # whole GiB, and at least the size of the cloned volume

    def __init__(self, cinder: Cinder, attachments: Attachments) -> None:
        self._cinder = cinder
        self._attachments = attachments

    def check_target(self, target: str) -> None:
        value_or_refuse(volume_target(target))

    def check_location(self, location: Location) -> None:
        value_or_refuse(volume_of(location))

    @contextmanager
    def connected(self, target: str) -> Iterator[Self]:
        with cinder_errors():
            yield self

    def find(self, name: str) -> Sequence[Clone]:
        return [self._clone(name, each) for each in self._cinder.named(_name(name))]

    def find_parent(self, location: Location, work: Work) -> Parent:
        volume = self._source(location)
        name, capacity = f"volume {volume.id}", volume.size * GIBIBYTE
        promised = work.image.size if work.image else None
        if promised is not None and promised > capacity:
            raise Refused(Mismatched(f"{name} has {volume.size} GiB, the catalog promises {exact_size(promised)}"))
        plan = f"clones {name} to one of {_gibibytes(volume, work.form.size)} GiB, and attaches that"
        return Parent(location, name, promised or capacity, plan)

    def clone(self, parent: Parent, name: str, size: int | None) -> Clone:
        source, target = self._source(parent.location), target_of(name)
        marks = {TARGET: target, HOST: self._attachments.host}
        volume = self._cinder.clone(source, _name(name), _gibibytes(source, size), marks)
        volume = self._cinder.settled(volume)
        if volume.status != "available":
            raise Refused(TargetFailed(f"{target} cannot be made: the clone of {parent.name} is {volume.status}"))
        return self._clone(name, volume)

    def publish(self, clone: Clone, target: str, replaced: Sequence[Clone]) -> None:
        if not replaced and self._cinder.named(_name(target)):
            raise Refused(taken(target))
        self._cinder.change(self._volume(clone), name=_name(target))

    def purge(self, identity: str, target: str) -> None:
        if (volume := self._cinder.volume(identity)) is not None:
            self._attachments.delete(volume)

    def rename(self, clone: Clone, target: str) -> None:
        self._cinder.change(self._volume(clone), name=_name(target), **{TARGET: target})

    def delete(self, clone: Clone) -> None:
        self.purge(clone.identity, clone.name)

    def discard(self, name: str) -> None:
        for each in self.find(name):
            if each.is_marked:
                self.delete(each)

    def open(self, clone: Clone, size: int) -> VolumeSource:
        attached = self._attachments.ensure(self._volume(clone))
        with ExitStack() as resources:
            device = resources.enter_context(self._attachments.opened(attached))
            return VolumeSource(device, resources.pop_all(), size, 0)

    def describe(self, clone: Clone) -> Report:
        volume = self._volume(clone)
        others = " and ".join(map(str, self._attachments.elsewhere(volume)))
        details = {
            "volume": volume.id,
            "status": volume.status,
            "bytes": str(clone.size),
            "attached": self._attachments.host,
            "device": volume.metadata.get(DEVICE, ""),
            **({"also attached to": others} if others else {}),
        }
        if self._is_attached(volume):
            return Report(State.INTACT, details)
        del details["device"]
        if self._attachments.attached(volume) is None:
            details["attached"] = "no; lading attaches it again at its next start"
        else:
            details["attached"] = "no, the host was restarted; lading connects it again at its next start"
        return Report(State.DETACHED, details)

    def use_of(self, clone: Clone) -> str | None:
        volume = self._volume(clone)
        is_free = volume.status in {"available", "error"} or self._attachments.attached(volume) is not None
        return None if is_free and not self._attachments.elsewhere(volume) else volume.state_text

    def attach(self, identity: str) -> None:
        self._attachments.ensure(self._cinder.known(identity))

    def attachments(self) -> Mapping[str, bool]:
        own = self._cinder.marked(**{HOST: self._attachments.host})
        return {each.id: self._is_attached(each) for each in own}

    def _clone(self, name: str, volume: Volume) -> Clone:
        target = volume.metadata.get(TARGET, "")
        is_own = volume.metadata.get(HOST) == self._attachments.host
        return Clone(name, volume.id, volume.size * GIBIBYTE, is_own and name in {target, part_of(target)})

    def _volume(self, clone: Clone) -> Volume:
        """The volume as it is now."""
        return self._cinder.known(clone.identity)

    def _source(self, location: Location) -> Volume:
        volume = self._cinder.known(value_or_refuse(volume_of(location)))
        return check(self._cinder.settled(volume))

    def _is_attached(self, volume: Volume) -> bool:
        return self._attachments.attached(volume) is not None and self._attachments.is_connected(volume)


def _name(target: str) -> str:
    return target.removeprefix(PREFIX)


def _gibibytes(source: Volume, size: int | None) -> int:
    """The size of a clone: whole GiB, and at least its source's size."""
    return max(source.size, -(-(size or 0) // GIBIBYTE))
