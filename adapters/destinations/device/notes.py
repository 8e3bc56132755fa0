"""The notes in the journal by which an interrupted fetch to a device is known, and resumed."""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

from returns.result import Success

from lading.adapters.codec.associations import shipped_field, shipped_from_field
from lading.adapters.codec.proofs import signer_field, signer_from_field
from lading.adapters.destinations.device.block_device import HEAD, BlockDevice
from lading.adapters.destinations.file.partial import facts
from lading.adapters.destinations.intent_notes import write_notes
from lading.domain.handler import Landing, Work
from lading.ports.form import Form
from lading.ports.image import Digest
from lading.ports.journal import Journal

__all__ = ["Notes", "has_noted_head", "is_noted", "may_be_noted_head", "names_device", "noted_landing"]

_MALFORMED: Final = (KeyError, TypeError, ValueError)


class Notes:
    """The notes on one operation. Without an intent nothing is written. All methods that write raise Refused.

    An earlier attempt of the same request may have written to the device: what counts is what the journal holds now.
    """

    def __init__(self, journal: Journal, work: Work) -> None:
        self._journal = journal
        self._work = work

    @property
    def now(self) -> Mapping[str, object]:
        """The notes in the journal."""
        if self._work.intent is None:
            return {}
        match self._journal.pending(self._work.target):
            case Success(None):
                return {}
            case Success(intent):
                notes: Mapping[str, object] = intent.notes
                return notes
        return self._work.intent.notes

    def begin(self, device: BlockDevice) -> None:
        """Notes that the device is about to become incomplete."""
        self._write(_of(device))

    def flushed(self, device: BlockDevice, offset: int, validator: str | None) -> None:
        """Notes that the image's bytes between the device's head and the offset are safe. `validator`: of all."""
        self._write({**_of(device), "part": facts(self._work, validator), "flushed": offset})

    def sealing(self, device: BlockDevice, head: bytes) -> None:
        """Notes that all but the head is written, and the head is about to be."""
        sectors = [zlib.crc32(each) for each in _sectors(head.ljust(HEAD, b"\0"), device.sector)]
        self._write({**self.now, **_of(device), "head": _digest(head), "head_sectors": sectors})

    def landed(self, landing: Landing) -> None:
        """Notes that the device was read back, and holds the image."""
        digest = [landing.digest.algorithm, landing.digest.value] if landing.digest else None
        noted = {
            "method": landing.method, "size": landing.size, "digest": digest, "verified": landing.verified,
            "inspected_by": landing.inspected_by, "copied_from": landing.copied_from, "format": landing.format,
            "virtual_size": landing.virtual_size, "shipped": shipped_field(landing.shipped),
            "form": asdict(landing.form), "converted_by": landing.converted_by,
            "signed_by": signer_field(landing.signed_by),
        }  # fmt: skip
        self._write({**self.now, "landed": noted})

    def wiping(self, device: BlockDevice) -> None:
        """Notes that the device's signatures are about to be wiped."""
        self._write({**_of(device), "wipe": True})

    def _write(self, notes: Mapping[str, object]) -> None:
        write_notes(self._journal, self._work, notes)


def names_device(notes: Mapping[str, object]) -> bool:
    """Returns True when the notes are on a device: before they are, nothing is written to it."""
    return isinstance(notes.get("device"), str)


def is_noted(notes: Mapping[str, object], device: BlockDevice) -> bool:
    """Returns True when the notes are on this device, with this size."""
    return (notes.get("device"), notes.get("device_size")) == (device.identity, device.size)


def has_noted_head(notes: Mapping[str, object], head: bytes) -> bool:
    """Returns True when the head is the noted one: that of the image."""
    return notes.get("head") == _digest(head)


def may_be_noted_head(notes: Mapping[str, object], head: bytes, sector: int) -> bool:
    """Returns True when each sector of the head is zeros, or that of the noted head: it may be partly written."""
    noted = notes.get("head_sectors")
    sums = noted if isinstance(noted, list) else []
    return all(
        not any(each) or (number < len(sums) and zlib.crc32(each) == sums[number])
        for number, each in enumerate(_sectors(head, sector))
    )


def noted_landing(notes: Mapping[str, object], device: BlockDevice) -> Landing | None:
    """The landing of a fetch that was complete, and is not recorded yet; None when it did not get that far."""
    noted = notes.get("landed")
    if not isinstance(noted, Mapping):
        return None
    try:
        digest = Digest(*noted["digest"]) if noted["digest"] else None
        shipped, form = shipped_from_field(noted["shipped"]), Form(**noted["form"])
        signed_by = signer_from_field(noted.get("signed_by"))
        known = {
            "digest": digest, "identity": device.identity, "shipped": shipped, "form": form, "signed_by": signed_by,
        }  # fmt: skip
        return Landing(**{**noted, **known})
    except _MALFORMED:
        return None


def _of(device: BlockDevice) -> dict[str, object]:
    return {"device": device.identity, "device_size": device.size}


def _sectors(head: bytes, sector: int) -> Iterator[bytes]:
    return (head[start : start + sector] for start in range(0, len(head), sector))


def _digest(head: bytes) -> str:
    """The digest of a head as the device has it: an image may be shorter."""
    return hashlib.sha256(head.ljust(HEAD, b"\0")).hexdigest()
