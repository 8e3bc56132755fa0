"""The state of a device: free, incomplete, or with something that must stay."""

from collections.abc import Callable, Iterator, Mapping

from lading.adapters.destinations.device.block_device import HEAD, BlockDevice
from lading.adapters.destinations.device.content import content_text
from lading.adapters.destinations.device.notes import is_noted, may_be_noted_head
from lading.adapters.formats.audit import Audit, digest_mismatch, size_mismatch
from lading.adapters.stream import pipeline
from lading.adapters.stream.errors import Refused, occupied, value_or_refuse
from lading.adapters.stream.pipeline import Chunk
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Mismatched, TargetFailed, TargetNotWritable
from lading.ports.association import Association
from lading.ports.form import Form
from lading.ports.observer import Observer

__all__ = ["DeviceBytes", "another_device", "check_target", "compare", "is_incomplete"]


class DeviceBytes:
    """The first bytes of a device, as a supply of chunks."""

    def __init__(self, device: BlockDevice, size: int, start: int = 0) -> None:
        self._device, self._start, self._size = device, start, size

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        return self._device.chunks(free, self._start, self._size)


def check_target(
    work: Work, form: Form, device: BlockDevice, notes: Mapping[str, object], *, read: bool
) -> Landing | None:
    """The landing of the image that is on the device already; None when the device is free. Raises Refused and OSError.

    The device is free when its head is zeros, or when it is incomplete. `read`: whether the image is there is found
    out by reading it; else the record decides.
    """
    if device.is_read_only:
        raise Refused(TargetNotWritable(f"{work.target} is read-only"))
    if device.size == 0:
        raise Refused(TargetFailed(f"{work.target} has no size: no disk is in it, or no file is attached"))
    if work.force or is_incomplete(device, notes):
        return None
    recorded = work.association
    if recorded is not None and recorded.identity != device.identity:
        raise Refused(occupied(another_device(recorded, device)))
    if recorded is not None and not recorded.is_for(work.image):
        other = recorded.image.id if recorded.image else "another image"
        raise Refused(occupied(f"{work.target} holds another image: {other}"))
    if recorded is not None:
        present = Landing.already(recorded)
        if not present.is_in(form):
            raise Refused(occupied(f"{work.target} holds the image in another form"))
        if read:
            _require_unchanged(work, recorded, device)
        return present
    if any(device.read(0, HEAD)):
        raise Refused(occupied(f"{work.target} has {content_text(work.target)}"))
    return None


def is_incomplete(device: BlockDevice, notes: Mapping[str, object]) -> bool:
    """Returns True when the notes are on this device, and nobody else has written a head since.

    The head is zeros, or the image's, or a part of the image's.
    """
    if not is_noted(notes, device) or notes.get("wipe"):
        return False
    return may_be_noted_head(notes, device.read(0, HEAD), device.sector)


def another_device(recorded: Association, device: BlockDevice) -> str:
    """The text that says that the device is not the recorded one."""
    return f"{recorded.target} is {device.identity} now, and what was fetched went to {recorded.identity}"


def _require_unchanged(work: Work, recorded: Association, device: BlockDevice) -> None:
    try:
        compare(recorded, device, work.observer, inspect=False)
    except Refused as refused:
        if isinstance(refused.refusal, Mismatched):
            raise Refused(occupied(f"{work.target} was changed since it was fetched")) from refused
        raise


def compare(recorded: Association, device: BlockDevice, observer: Observer, *, inspect: bool) -> Landing:
    """Reads what was fetched from the device, and compares it with the record. Returns it as it is now.

    Raises Refused and OSError.
    """
    if recorded.size is None or recorded.digest is None or recorded.size > device.size:
        raise Refused(size_mismatch(recorded.size or 0, device.size))
    size = recorded.size
    image = recorded.image if recorded.shipped is None else None  # else the device has other bytes
    audit = value_or_refuse(Audit.of(image, verify=True, inspect=inspect, digest=recorded.digest))
    pipeline.run(DeviceBytes(device, size), (audit.take,), lambda done: observer.progress(done, size))
    if audit.digest != recorded.digest:
        raise Refused(digest_mismatch(recorded.digest, audit.digest))
    audited = value_or_refuse(audit.verdict(size))
    return Landing(
        recorded.method, size, audit.digest, recorded.verified, identity=device.identity,
        inspected_by=audited.inspected_by,
    )  # fmt: skip
