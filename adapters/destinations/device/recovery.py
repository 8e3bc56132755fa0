"""Recovery of interrupted fetches to devices: finished, undone before anything was written, or incomplete."""

import os

from lading.adapters.destinations.device.block_device import HEAD, BlockDevice
from lading.adapters.destinations.device.notes import Notes, has_noted_head, is_noted, names_device, noted_landing
from lading.adapters.destinations.device.target_state import is_incomplete
from lading.adapters.destinations.file.partial import is_resumable
from lading.adapters.stream.errors import Refused, system_errors
from lading.domain.handler import Landing, PartialData, Work
from lading.domain.refusals import TargetFailed, Unsupported
from lading.ports.journal import Journal, Verb

__all__ = ["recover"]


def recover(work: Work, journal: Journal, *, keep: bool, verify: bool) -> Landing | PartialData:
    """Reports how far the fetch `work.intent` got; see `SupportsRecovery`. Raises Refused.

    It reads and writes the head only. A head that was written before all was read back is zeroed again.
    """
    intent = work.intent
    if intent is None or intent.verb is Verb.REMOVE:
        raise Refused(Unsupported("no interrupted fetch is noted"))
    if intent.verb is Verb.MOVE or not names_device(intent.notes):
        return PartialData()  # a device is not moved, and nothing is written before something is noted
    if not os.path.exists(work.target):
        raise Refused(TargetFailed(f"the device {work.target} is not there now"))
    with system_errors(work.target, "examined"), BlockDevice(work.target, write=True) as device:
        if not is_noted(intent.notes, device):
            reason = f"{work.target} is another device than the one that was being written to: {device.identity}"
            raise Refused(TargetFailed(reason))
        head = device.read(0, HEAD)
        if has_noted_head(intent.notes, head) and (landing := noted_landing(intent.notes, device)) is not None:
            return landing
        if not is_incomplete(device, intent.notes):
            return PartialData()  # somebody else has written to it since
        if any(head):
            device.zero(0, min(HEAD, device.size))
            device.flush()
        flushed = intent.notes.get("flushed")
        if not isinstance(flushed, int) or not is_resumable(work, intent.notes.get("part"), verify=verify):
            return PartialData(incomplete=True)
        if not keep:
            Notes(journal, work).begin(device)  # what was written is not resumed any more
        return PartialData(flushed if keep else 0, incomplete=True)
