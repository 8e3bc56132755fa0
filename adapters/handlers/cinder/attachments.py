"""Attachments of volumes to this host: temporary ones, to read, and permanent ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from lading.adapters.handlers.cinder.api import Attachment, Busy, Cinder, Volume, logged_failures
from lading.adapters.handlers.cinder.connector import Device, HostConnector, is_userland, userland_name
from lading.adapters.handlers.cinder.names import (
    DEVICE,
    HOST,
    READER,
    READS,
    START,
    boot,
    is_left_over,
    permanent_mark,
    process_mark,
    this_host,
)
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import TargetFailed, Unavailable

__all__ = ["AttachedVolume", "Attachments"]

_PATIENCE: Final = 10.0
"""Seconds to wait until another process of this host has attached the volume."""


class AttachedVolume(NamedTuple):
    """A permanently attached volume."""

    info: Mapping[str, Any]
    """Cinder's connection info."""
    device: str
    """A path, or QEMU's name for it."""


class Attachments:
    """Attaches volumes. A failed attachment is undone. Raises Refused; Busy where a volume cannot be attached now."""

    def __init__(self, cinder: Cinder, settings: CinderHandlerSettings) -> None:
        self.host = this_host(settings.host)
        self._cinder = cinder
        self._connector = HostConnector(settings)

    # Temporary attachments

    @contextmanager
    def temporary(self, volume: Volume, note: Callable[[str], None]) -> Iterator[Device]:
        """Attaches the volume read-only while the block runs. Calls `note` with the attachment before it is used."""
        attachment = self._reserve(volume)
        with ExitStack() as cleanup:
            cleanup.callback(self._release, volume, attachment)
            note(attachment)
            device = self._connector.connect(self._connect(attachment, process_mark(self.host), "ro"))
            cleanup.callback(_disconnect, volume, device)
            self._cinder.complete(attachment)
            yield device

    def sweep(self, volume_id: str, noted: Iterable[str] = ()) -> None:
        """Removes the noted attachments, and those and the temporary clones of ended processes of this host."""
        volume = self._cinder.volume(volume_id)
        left = (each.id for each in volume.attachments if is_left_over(each.device, self.host)) if volume else ()
        for each in {*noted, *left}:
            self._detach(each, None)
        for clone in self._cinder.marked(**{HOST: self.host, READS: volume_id}):
            if is_left_over(clone.metadata.get(READER, ""), self.host):
                self.delete(clone)

    # Permanent attachments

    def attach(self, volume: Volume) -> AttachedVolume:
        """Attaches the volume permanently, and marks the attachment."""
        attachment = self._cinder.reserve(volume.id, "rw")
        with ExitStack() as undo:
            undo.callback(self._release, volume, attachment)
            info = self._connect(attachment, permanent_mark(self.host), "rw")
            if is_userland(info):
                attached = AttachedVolume(info, userland_name(info))
            else:
                device = self._connector.connect(info)
                undo.callback(_disconnect, volume, device)
                attached = AttachedVolume(info, device.path)
            self._cinder.complete(attachment)
            self._cinder.change(volume, **{START: boot(), DEVICE: attached.device})
            undo.pop_all()
            return attached

    def attached(self, volume: Volume) -> Attachment | None:
        """The permanent attachment of the volume to this host; None: there is none."""
        return next((each for each in volume.attachments if each.device == permanent_mark(self.host)), None)

    def is_connected(self, volume: Volume) -> bool:
        """Returns True when the volume's device still is valid: it is in userland, or of this boot's kernel."""
        device = volume.metadata.get(DEVICE, "")
        is_same_start = bool(boot()) and volume.metadata.get(START) == boot()
        return bool(device) and (not device.startswith("/") or is_same_start)

    def ensure(self, volume: Volume) -> AttachedVolume:
        """Attaches and connects the volume where it is not."""
        volume = self._settled(volume)
        attachment = self.attached(volume)
        if attachment is None:
            try:
                return self.attach(volume)
            except Busy:
                reason = f"volume {volume.id} cannot be attached: it is {volume.state_text}"
                raise Refused(Unavailable(reason)) from None
        info = self._cinder.connection(attachment.id) or {}
        if self.is_connected(volume):
            return AttachedVolume(info, volume.metadata[DEVICE])
        device = userland_name(info) if is_userland(info) else self._connector.connect(info).path
        self._cinder.change(volume, **{START: boot(), DEVICE: device})
        return AttachedVolume(info, device)

    def _settled(self, volume: Volume) -> Volume:
        """The volume in a stable state. An attachment that another process has not completed is removed."""
        try:
            return self._cinder.settled(volume, within=_PATIENCE)
        except Refused:
            volume = self._cinder.known(volume.id)
            if volume.status not in {"reserved", "attaching"}:
                raise
            complete = {each.id for each in volume.attachments}
            for attachment, server in self._cinder.attachments(volume.id):
                if server is None and attachment not in complete:
                    self._detach(attachment, None)
            return self._cinder.settled(self._cinder.known(volume.id))

    @contextmanager
    def opened(self, attached: AttachedVolume) -> Iterator[Device]:
        """Yields the device of a permanently attached volume, to read it while the block runs."""
        if not is_userland(attached.info):
            yield Device(self._connector, attached.info, {"path": attached.device})
            return
        device = self._connector.connect(attached.info)
        try:
            yield device
        finally:
            device.disconnect()

    def elsewhere(self, volume: Volume) -> tuple[Attachment, ...]:
        """The attachments that are not this host's permanent one, nor left over."""
        ours = permanent_mark(self.host)
        return tuple(
            each for each in volume.attachments if each.device != ours and not is_left_over(each.device, self.host)
        )

    def delete(self, volume: Volume) -> None:
        """Detaches a volume that lading made, and deletes it. Raises Refused where it is attached elsewhere too."""
        if others := self.elsewhere(volume):
            by = " and ".join(map(str, others))
            raise Refused(TargetFailed(f"volume {volume.id} is attached to {by} too; it must be detached there first"))
        for attachment, server in self._cinder.attachments(volume.id):
            if server:
                raise Refused(TargetFailed(f"volume {volume.id} is about to be attached to server {server}"))
            self._detach(attachment, volume.metadata.get(DEVICE))
        self._cinder.delete(volume)

    def _reserve(self, volume: Volume) -> str:
        try:
            return self._cinder.reserve(volume.id, "ro")
        except (Busy, Refused):
            raise
        except BaseException:
            # Cinder may have made an attachment, without an answer. A single incomplete one, of no server, is it.
            with logged_failures(f"volume {volume.id} may stay reserved"):
                complete = {each.id for each in volume.attachments}
                found = [each for each, server in self._cinder.attachments(volume.id) if server is None]
                for each in {*found} - complete if len(found) == 1 else ():
                    self._cinder.release(each)
            raise

    def _connect(self, attachment: str, mark: str, mode: str) -> Mapping[str, Any]:
        connector = self._connector.properties(self.host, self._cinder.address())
        return self._cinder.connect(attachment, {**connector, "mode": mode, "mountpoint": mark})

    def _detach(self, attachment: str, device: str | None) -> None:
        info = self._cinder.connection(attachment)
        if info is None:
            return
        if info and not is_userland(info):
            self._connector.disconnect(info, {"type": "block", "path": device} if device else None)
        self._cinder.release(attachment)

    def _release(self, volume: Volume, attachment: str) -> None:
        with logged_failures(f"volume {volume.id} may stay attached to this host, by attachment {attachment}"):
            self._cinder.release(attachment)


def _disconnect(volume: Volume, device: Device) -> None:
    with logged_failures(f"volume {volume.id} may stay connected to this host"):
        device.disconnect()
