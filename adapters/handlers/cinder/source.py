"""A volume as a source: it is attached while it is read, or a clone of it is, which is deleted afterwards."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from typing_extensions import override

from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.handlers.cinder.api import GIBIBYTE, Busy, Cinder, Volume, cinder_errors, logged_failures
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.connector import Device
from lading.adapters.handlers.cinder.names import HOST, READER, READS, is_left_over, process_mark, volume_of
from lading.adapters.stream.errors import Refused, returning_refusals, value_or_refuse
from lading.adapters.stream.sources import ResumePoint, StreamSource
from lading.domain.handler import Work
from lading.domain.refusals import Unavailable, Unsupported
from lading.ports.journal import Journal

__all__ = ["VolumeSource", "Volumes", "check"]

_NOTE = "reading"


class VolumeSource(StreamSource):
    """The first bytes of a volume, as many as its image has. `close` closes `resources`, and so does a failure here."""

    def __init__(self, device: Device, resources: ExitStack, size: int, start: int) -> None:
        with resources:
            super().__init__(device.open(start, size), size, start)
            self._resources = resources.pop_all()

    @override
    def close(self) -> None:
        try:
            super().close()
        finally:
            self._resources.close()


class Volumes:
    """Opens the volumes of images."""

    def __init__(self, cinder: Cinder, attachments: Attachments, journal: Journal) -> None:
        self._cinder, self._attachments, self._journal = cinder, attachments, journal

    @returning_refusals
    def open(self, work: Work, start: ResumePoint) -> VolumeSource:
        """Attaches the volume, and opens it from the start point on."""
        volume_id = _volume_id(work)
        with cinder_errors():
            volume = self._settled(volume_id)
            size = _size(work, volume)
            self._note(work, "")  # before anything is attached or cloned
            with ExitStack() as resources:
                device = resources.enter_context(self._attached(volume, partial(self._note, work)))
                return VolumeSource(device, resources.pop_all(), size, min(start.offset, size))

    @returning_refusals
    def preview(self, work: Work) -> StreamSource:
        """A source without bytes, of the size that `open` would return; nothing is attached."""
        volume_id = _volume_id(work)
        with cinder_errors():
            return StreamSource(io.BytesIO(), _size(work, self._settled(volume_id)))

    @returning_refusals
    def sweep(self, work: Work) -> None:
        """Detaches what an interrupted fetch has attached."""
        if work.intent is None or not work.intent.notes or work.location is None:
            return  # nothing is changed before something is noted
        volume_id = volume_of(work.location).value_or(None)
        if volume_id is None:
            return  # nothing can be attached
        attachment = work.intent.notes.get(_NOTE)
        with cinder_errors():
            self._attachments.sweep(volume_id, [attachment] if isinstance(attachment, str) and attachment else [])

    def _settled(self, volume_id: str) -> Volume:
        """The volume in a stable state, without attachments of processes that have ended."""
        volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        if any(is_left_over(each.device, self._attachments.host) for each in volume.attachments):
            self._attachments.sweep(volume_id)
            volume = check(self._cinder.settled(self._cinder.known(volume_id)))
        return volume

    @contextmanager
    def _attached(self, volume: Volume, note: Callable[[str], None]) -> Iterator[Device]:
        """Attaches the volume while the block runs, or a clone of it where others have attached it."""
        with ExitStack() as resources:
            device = self._try_attach(volume, note, resources)
            if device is None:
                # The other user may have detached it by now.
                volume = check(self._cinder.settled(self._cinder.known(volume.id)))
                device = self._try_attach(volume, note, resources) if volume.status == "available" else None
            if device is None:
                clone = resources.enter_context(self._temporary_clone(volume))
                device = self._try_attach(clone, note, resources)
                if device is None:
                    raise Refused(Unavailable(f"volume {clone.id}, a temporary clone, cannot be attached"))
            yield device

    def _try_attach(self, volume: Volume, note: Callable[[str], None], resources: ExitStack) -> Device | None:
        """Attaches the volume; returns None when its state does not allow that now."""
        try:
            return resources.enter_context(self._attachments.temporary(volume, note))
        except Busy:
            return None

    @contextmanager
    def _temporary_clone(self, volume: Volume) -> Iterator[Volume]:
        """Clones a volume that others have attached, and deletes the clone at the end of the block."""
        host = self._attachments.host
        marks = {HOST: host, READS: volume.id, READER: process_mark(host)}
        clone: Volume | None = None
        try:
            try:
                clone = self._cinder.clone(volume, f"lading-reads-{volume.id}", volume.size, marks)
                clone = check(self._cinder.settled(clone))
            except Refused as fault:
                reason = f"volume {volume.id} is {volume.state_text}, and cannot be cloned to be read: {fault}"
                raise Refused(Unavailable(reason)) from None
            yield clone
        finally:
            # Also a clone whose request got no answer.
            with logged_failures(f"a temporary clone of volume {volume.id} may be left"):
                for each in [clone] if clone else self._cinder.marked(**marks):
                    self._cinder.delete(each)

    def _note(self, work: Work, attachment: str) -> None:
        """Notes the attachment: an interrupt may come before it is marked. Earlier notes stay."""
        notes = work.intent.notes if work.intent else {}
        write_notes(self._journal, work, {**notes, _NOTE: attachment})


def _volume_id(work: Work) -> str:
    if work.location is None:
        raise Refused(Unsupported("this handler needs a location"))
    return value_or_refuse(volume_of(work.location))


def check(volume: Volume) -> Volume:
    """Returns the volume, if it can be read or cloned. Raises Refused."""
    if volume.is_encrypted:
        raise Refused(Unsupported(f"volume {volume.id} is encrypted, and lading cannot get its key"))
    if volume.status not in {"available", "in-use"}:
        raise Refused(Unavailable(f"volume {volume.id} is {volume.state_text}; expected available, or in-use"))
    return volume


def _size(work: Work, volume: Volume) -> int:
    """Bytes of the image: by the catalog, else by the volume's metadata, else the volume's whole size."""
    capacity = volume.size * GIBIBYTE
    promised = work.image.size if work.image else None
    if promised is None:
        written = volume.metadata.get("image_size", "")
        promised = int(written) if written.isdecimal() else capacity
    return min(promised, capacity)
