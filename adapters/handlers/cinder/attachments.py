"""Volumes attached to this host: for as long as they are read, or until they are let go."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from lading.adapters.handlers.cinder.api import Attachment, Busy, Cinder, Volume, quietly
from lading.adapters.handlers.cinder.connector import Device, HostConnector, is_userland, userland_name
from lading.adapters.handlers.cinder.names import (
    DEVICE,
    HOST,
    READER,
    READS,
    START,
    boot,
    holder,
    is_left_over,
    reader,
    this_host,
)
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import TargetFailed, Unavailable

__all__ = ["Attachments", "Held"]

_PATIENCE: Final = 10.0
"""Seconds for which another process of this host is given time to attach a volume of lading's."""


class Held(NamedTuple):
    """A volume that is attached here, and stays so."""

    info: Mapping[str, Any]
    """How it is reached."""
    device: str
    """A path, or what QEMU calls it."""


class Attachments:
    """Attaches, and undoes what it attached whatever happens. Raises Fault; Busy where a volume cannot be attached."""

    def __init__(self, cinder: Cinder, settings: CinderHandlerSettings) -> None:
        self.host = this_host(settings.host)
        self._cinder = cinder
        self._bricks = HostConnector(settings)

    # To read

    @contextmanager
    def reading(self, volume: Volume, note: Callable[[str], None]) -> Iterator[Device]:
        """Attached, read-only, while the block runs; its attachment is noted before anything else is done."""
        attachment = self._reserved(volume)
        with ExitStack() as held:
            held.callback(self._release, volume, attachment)
            note(attachment)
            device = self._bricks.connect(self._connect(attachment, reader(self.host), "ro"))
            held.callback(_disconnect, volume, device)
            self._cinder.complete(attachment)
            yield device

    def sweep(self, volume_id: str, noted: Iterable[str] = ()) -> None:
        """Let go of what processes of this host that are gone had attached to read the volume; and of what is noted."""
        volume = self._cinder.volume(volume_id)
        left = (each.id for each in volume.attachments if is_left_over(each.device, self.host)) if volume else ()
        for each in {*noted, *left}:
            self._let_go(each, None)
        for clone in self._cinder.marked(**{HOST: self.host, READS: volume_id}):
            if is_left_over(clone.metadata.get(READER, ""), self.host):
                self.delete(clone)

    # To stay

    def attach(self, volume: Volume) -> Held:
        """Attached until it is let go, and marked so."""
        attachment = self._cinder.reserve(volume.id, "rw")
        with ExitStack() as until_done:
            until_done.callback(self._release, volume, attachment)
            info = self._connect(attachment, holder(self.host), "rw")
            if is_userland(info):
                held = Held(info, userland_name(info))
            else:
                device = self._bricks.connect(info)
                until_done.callback(_disconnect, volume, device)
                held = Held(info, device.path)
            self._cinder.complete(attachment)
            self._cinder.change(volume, **{START: boot(), DEVICE: held.device})
            until_done.pop_all()
            return held

    def attached(self, volume: Volume) -> Attachment | None:
        """How it is attached to this host to stay, if it is."""
        return next((each for each in volume.attachments if each.device == holder(self.host)), None)

    def is_connected(self, volume: Volume) -> bool:
        """Whether it still is what it was connected as: nothing of it is in a kernel, or in one that has run since."""
        device = volume.metadata.get(DEVICE, "")
        is_same_start = bool(boot()) and volume.metadata.get(START) == boot()
        return bool(device) and (not device.startswith("/") or is_same_start)

    def ensure(self, volume: Volume) -> Held:
        """Attached and connected, again where it is not any more."""
        volume = self._rested(volume)
        attachment = self.attached(volume)
        if attachment is None:
            try:
                return self.attach(volume)
            except Busy:
                raise Refused(Unavailable(f"volume {volume.id} cannot be attached: it is {volume.held}")) from None
        info = self._cinder.connection(attachment.id) or {}
        if self.is_connected(volume):
            return Held(info, volume.metadata[DEVICE])
        device = userland_name(info) if is_userland(info) else self._bricks.connect(info).path
        self._cinder.change(volume, **{START: boot(), DEVICE: device})
        return Held(info, device)

    def _rested(self, volume: Volume) -> Volume:
        """The volume when nobody is attaching it: whoever was cut off on the way is helped out."""
        try:
            return self._cinder.settled(volume, within=_PATIENCE)
        except Refused:
            volume = self._cinder.known(volume.id)
            if volume.status not in {"reserved", "attaching"}:
                raise
            complete = {each.id for each in volume.attachments}
            for attachment, server in self._cinder.attachments(volume.id):
                if server is None and attachment not in complete:
                    self._let_go(attachment, None)
            return self._cinder.settled(self._cinder.known(volume.id))

    @contextmanager
    def looking(self, held: Held) -> Iterator[Device]:
        """Open to be read, while the block runs, what is attached to stay."""
        if not is_userland(held.info):
            yield Device(self._bricks, held.info, {"path": held.device})
            return
        device = self._bricks.connect(held.info)
        try:
            yield device
        finally:
            device.disconnect()

    def elsewhere(self, volume: Volume) -> tuple[Attachment, ...]:
        """Who else has it attached."""
        ours = holder(self.host)
        return tuple(
            each for each in volume.attachments if each.device != ours and not is_left_over(each.device, self.host)
        )

    def delete(self, volume: Volume) -> None:
        """Detach a volume that lading made from this host, and delete it. Not one that is attached elsewhere too."""
        if others := self.elsewhere(volume):
            by = " and ".join(map(str, others))
            raise Refused(TargetFailed(f"volume {volume.id} is attached to {by} too; it must be detached there first"))
        for attachment, server in self._cinder.attachments(volume.id):
            if server:
                raise Refused(TargetFailed(f"volume {volume.id} is about to be attached to server {server}"))
            self._let_go(attachment, volume.metadata.get(DEVICE))
        self._cinder.delete(volume)

    def _reserved(self, volume: Volume) -> str:
        try:
            return self._cinder.reserve(volume.id, "ro")
        except (Busy, Refused):
            raise
        except BaseException:
            # Whether Cinder has made one nobody heard. One that is being made, and no server's, would be that.
            with quietly(f"volume {volume.id} may stay reserved"):
                complete = {each.id for each in volume.attachments}
                found = [each for each, server in self._cinder.attachments(volume.id) if server is None]
                for each in {*found} - complete if len(found) == 1 else ():
                    self._cinder.release(each)
            raise

    def _connect(self, attachment: str, mark: str, mode: str) -> Mapping[str, Any]:
        connector = self._bricks.connector(self.host, self._cinder.address())
        return self._cinder.connect(attachment, {**connector, "mode": mode, "mountpoint": mark})

    def _let_go(self, attachment: str, device: str | None) -> None:
        info = self._cinder.connection(attachment)
        if info is None:
            return
        if info and not is_userland(info):
            self._bricks.disconnect(info, {"type": "block", "path": device} if device else None)
        self._cinder.release(attachment)

    def _release(self, volume: Volume, attachment: str) -> None:
        with quietly(f"volume {volume.id} may stay attached to this host, by attachment {attachment}"):
            self._cinder.release(attachment)


def _disconnect(volume: Volume, device: Device) -> None:
    with quietly(f"volume {volume.id} may stay connected to this host"):
        device.disconnect()
