"""A volume as a source: attached for as long as it is read, or else a clone of it that is deleted afterwards."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from returns.result import Failure, Result, Success
from typing_extensions import override

from lading.adapters.handlers.cinder.api import GIBIBYTE, Busy, Cinder, Volume, answering, quietly
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.connector import Device
from lading.adapters.handlers.cinder.names import HOST, READER, READS, is_left_over, reader, volume_of
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.sources import ResumePoint, StreamSource
from lading.domain.handler import Work
from lading.domain.refusals import Refusal, Unavailable, Unsupported

__all__ = ["VolumeSource", "Volumes", "check"]

_NOTE = "reading"


class VolumeSource(StreamSource):
    """What is on a volume, as many bytes as its image has. It takes charge of `held`, which has it attached."""

    def __init__(self, device: Device, held: ExitStack, size: int, start: int) -> None:
        super().__init__(device.open(start, size), size, start)
        self._held = held

    @override
    def close(self) -> None:
        try:
            super().close()
        finally:
            self._held.close()


class Volumes:
    """The volumes of images, to be read."""

    def __init__(self, cinder: Cinder, attaching: Attachments, setup: HandlerSetup) -> None:
        self._cinder, self._attaching, self._setup = cinder, attaching, setup

    def open(self, work: Work, start: ResumePoint) -> Result[StreamSource, Refusal]:
        """Attach it, and read on from the start."""
        return self._named(work).bind(
            lambda volume_id: answering(lambda: self._opened(work, self._rested(volume_id), start))
        )

    def preview(self, work: Work) -> Result[StreamSource, Refusal]:
        """What `open` would give, as far as its size; nothing is attached."""
        return self._named(work).bind(
            lambda volume_id: answering(lambda: StreamSource(io.BytesIO(), _size(work, self._rested(volume_id))))
        )

    def sweep(self, work: Work) -> Result[None, Refusal]:
        """Let go of what was attached to bring this, and by whom nobody knows any more."""
        named = volume_of(work.location) if work.location is not None else None
        if named is None or isinstance(named, Failure):
            return Success(None)  # nothing can have been attached
        noted = work.intent.notes.get(_NOTE) if work.intent else None
        if work.intent is None or not work.intent.notes:
            return Success(None)  # nothing is changed before something is noted
        known = [noted] if isinstance(noted, str) and noted else []
        return answering(lambda: self._attaching.sweep(named.unwrap(), known))

    def _named(self, work: Work) -> Result[str, Refusal]:
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        return volume_of(work.location)

    def _rested(self, volume_id: str) -> Volume:
        """The volume, with nobody at it of whom it is known that they are gone."""
        volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        if any(is_left_over(each.device, self._attaching.host) for each in volume.attachments):
            self._attaching.sweep(volume_id)
            volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        return volume

    def _opened(self, work: Work, volume: Volume, start: ResumePoint) -> StreamSource:
        size = _size(work, volume)
        self._note(work, "")  # before anything is attached, or cloned to be
        with ExitStack() as until_opened:
            held = until_opened.enter_context(ExitStack())
            device = held.enter_context(self._attached(volume, lambda attachment: self._note(work, attachment)))
            source = VolumeSource(device, held, size, min(start.offset, size))
            until_opened.pop_all()  # from here on the source closes it
            return source

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
                    raise Refused(Unavailable(f"volume {clone.id}, a clone to be read, can't be attached"))
            yield device

    def _tried(self, volume: Volume, note: Callable[[str], None], held: ExitStack) -> Device | None:
        """It, attached; None when it can't be as it is now."""
        try:
            return held.enter_context(self._attaching.reading(volume, note))
        except Busy:
            return None

    @contextmanager
    def _cloned(self, volume: Volume) -> Iterator[Volume]:
        """A clone of a volume that others have attached, while the block runs."""
        host = self._attaching.host
        marks = {HOST: host, READS: volume.id, READER: reader(host)}
        clone: Volume | None = None
        try:
            try:
                clone = self._cinder.clone(volume, f"lading-reads-{volume.id}", volume.size, marks)
                clone = check(self._cinder.settled(clone))
            except Refused as fault:
                told = f"volume {volume.id} is {volume.held}, and can't be cloned to be read: {fault}"
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
        noted = self._setup.note(work, {**notes, _NOTE: attachment})
        if isinstance(noted, Failure):
            raise Refused(noted.failure())


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
