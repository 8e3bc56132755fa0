"""A volume as a source: attached for as long as it is read, or else a clone of it that is deleted afterwards."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from returns.result import Failure
from typing_extensions import override

from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.handlers.cinder.api import GIBIBYTE, Busy, Cinder, Volume, cinder_errors, quietly
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.connector import Device
from lading.adapters.handlers.cinder.names import HOST, READER, READS, is_left_over, reader, volume_of
from lading.adapters.stream.errors import Refused, returning_refusals, value_or_refuse
from lading.adapters.stream.sources import ResumePoint, StreamSource
from lading.domain.handler import Work
from lading.domain.refusals import Unavailable, Unsupported
from lading.ports.journal import Journal

__all__ = ["VolumeSource", "Volumes", "check"]

_NOTE = "reading"


class VolumeSource(StreamSource):
    """What is on a volume, as many bytes as its image has. It closes `held`, which has it attached, also on failure."""

    def __init__(self, device: Device, held: ExitStack, size: int, start: int) -> None:
        with held:
            super().__init__(device.open(start, size), size, start)
            self._held = held.pop_all()

    @override
    def close(self) -> None:
        try:
            super().close()
        finally:
            self._held.close()


class Volumes:
    """The volumes of images, to be read."""

    def __init__(self, cinder: Cinder, attachments: Attachments, journal: Journal) -> None:
        self._cinder, self._attachments, self._journal = cinder, attachments, journal

    @returning_refusals
    def open(self, work: Work, start: ResumePoint) -> VolumeSource:
        """Attaches the volume and reads from the start on."""
        volume_id = _volume_id(work)
        with cinder_errors():
            return self._opened(work, self._rested(volume_id), start)

    @returning_refusals
    def preview(self, work: Work) -> StreamSource:
        """A source of the size that `open` would give, and without bytes; nothing is attached."""
        volume_id = _volume_id(work)
        with cinder_errors():
            return StreamSource(io.BytesIO(), _size(work, self._rested(volume_id)))

    @returning_refusals
    def sweep(self, work: Work) -> None:
        """Lets go of what an interrupted fetch had attached."""
        if work.intent is None or not work.intent.notes:
            return  # nothing is changed before something is noted
        if work.location is None or isinstance(named := volume_of(work.location), Failure):
            return  # nothing can have been attached
        noted = work.intent.notes.get(_NOTE)
        with cinder_errors():
            self._attachments.sweep(named.unwrap(), [noted] if isinstance(noted, str) and noted else [])

    def _rested(self, volume_id: str) -> Volume:
        """The volume, with nobody at it of whom it is known that they are gone."""
        volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        if any(is_left_over(each.device, self._attachments.host) for each in volume.attachments):
            self._attachments.sweep(volume_id)
            volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        return volume

    def _opened(self, work: Work, volume: Volume, start: ResumePoint) -> VolumeSource:
        size = _size(work, volume)
        self._note(work, "")  # before anything is attached, or cloned to be
        with ExitStack() as held:
            device = held.enter_context(self._attached(volume, lambda attachment: self._note(work, attachment)))
            return VolumeSource(device, held.pop_all(), size, min(start.offset, size))

    @contextmanager
    def _attached(self, volume: Volume, note: Callable[[str], None]) -> Iterator[Device]:
        with ExitStack() as held:
            device = self._tried(volume, note, held)
            if device is None:
                # Who had it may be done by now.
                volume = check(self._cinder.settled(self._cinder.known(volume.id)))
                device = self._tried(volume, note, held) if volume.status == "available" else None
            if device is None:
                clone = held.enter_context(self._cloned(volume))
                device = self._tried(clone, note, held)
                if device is None:
                    raise Refused(Unavailable(f"volume {clone.id}, a clone to be read, cannot be attached"))
            yield device

    def _tried(self, volume: Volume, note: Callable[[str], None], held: ExitStack) -> Device | None:
        """It, attached; None when it cannot be as it is now."""
        try:
            return held.enter_context(self._attachments.reading(volume, note))
        except Busy:
            return None

    @contextmanager
    def _cloned(self, volume: Volume) -> Iterator[Volume]:
        """A clone of a volume that others have attached, while the block runs."""
        host = self._attachments.host
        marks = {HOST: host, READS: volume.id, READER: reader(host)}
        clone: Volume | None = None
        try:
            try:
                clone = self._cinder.clone(volume, f"lading-reads-{volume.id}", volume.size, marks)
                clone = check(self._cinder.settled(clone))
            except Refused as fault:
                told = f"volume {volume.id} is {volume.held}, and cannot be cloned to be read: {fault}"
                raise Refused(Unavailable(told)) from None
            yield clone
        finally:
            # Also what was asked for and of which nobody heard.
            with quietly(f"a clone of volume {volume.id}, made to be read, may be left"):
                for each in [clone] if clone else self._cinder.marked(**marks):
                    self._cinder.delete(each)

    def _note(self, work: Work, attachment: str) -> None:
        """So that it is found again also when it is cut off before it is marked. What was noted before stays."""
        notes = work.intent.notes if work.intent else {}
        write_notes(self._journal, work, {**notes, _NOTE: attachment})


def _volume_id(work: Work) -> str:
    if work.location is None:
        raise Refused(Unsupported("needs a location"))
    return value_or_refuse(volume_of(work.location))


def check(volume: Volume) -> Volume:
    """The volume, if it can be read or cloned. Raises Fault."""
    if volume.is_encrypted:
        raise Refused(Unsupported(f"volume {volume.id} is encrypted, and its key is not for lading"))
    if volume.status not in {"available", "in-use"}:
        raise Refused(Unavailable(f"volume {volume.id} is {volume.held}; expected available, or in-use"))
    return volume


def _size(work: Work, volume: Volume) -> int:
    """Bytes of the image, as the catalog says, or whoever wrote the volume; else all that there are."""
    capacity = volume.size * GIBIBYTE
    promised = work.image.size if work.image else None
    if promised is None:
        written = volume.metadata.get("image_size", "")
        promised = int(written) if written.isdecimal() else capacity
    return min(promised, capacity)
