"""What is written in the journal about a transfer under way, so that its end can be found out after it was cut off."""

from collections.abc import Mapping
from typing import Final

from returns.result import Result, Success

from lading.adapters.transfer.partial import facts
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed
from lading.ports.association import Fingerprint
from lading.ports.image import Digest
from lading.ports.journal import Journal

__all__ = ["Notes", "noted_file", "noted_landing"]

_NONSENSE: Final = (KeyError, TypeError, ValueError)


class Notes:
    """The notes on one piece of work. Where it has no intent, nothing is written."""

    def __init__(self, journal: Journal, work: Work) -> None:
        self._journal = journal
        self._work = work
        self._written: dict[str, object] = {}

    @property
    def are_kept(self) -> bool:
        return self._work.intent is not None

    def begun(self, validator: str | None) -> Result[None, Refusal]:
        """Bytes are about to be written to the file at `part_path`."""
        return self._write(part=facts(self._work, validator))

    def landed(self, landing: Landing, file: Fingerprint) -> Result[None, Refusal]:
        """This file, whole, is about to appear at the target, and this will then be so."""
        digest = [landing.digest.algorithm, landing.digest.value] if landing.digest else None
        return self._write(
            landed={
                "file": list(file),
                "method": landing.method,
                "digest": digest,
                "verified": landing.verified,
                "inspected_by": landing.inspected_by,
                "copied_from": landing.copied_from,
            }
        )

    def moving(self, file: Fingerprint, *, intact: bool) -> Result[None, Refusal]:
        """This file is about to be renamed."""
        return self._write(moving=list(file), intact=intact)

    def copied(self, file: Fingerprint) -> Result[None, Refusal]:
        """This copy, whole, is about to appear at the destination."""
        return self._write(copied=list(file))

    def _write(self, **notes: object) -> Result[None, Refusal]:
        if not self.are_kept:
            return Success(None)
        self._written.update(notes)
        written = self._journal.note(self._work.target, self._written)
        return written.alt(lambda failure: TargetFailed(f"what is done can't be written down: {failure}"))


def noted_file(notes: Mapping[str, object], key: str) -> Fingerprint | None:
    """The file that the notes name; None when they name none."""
    noted = notes.get(key)
    if not isinstance(noted, list) or not all(isinstance(each, int) for each in noted):
        return None
    try:
        return Fingerprint(*noted)
    except TypeError:
        return None


def noted_landing(notes: Mapping[str, object]) -> tuple[Landing, Fingerprint] | None:
    """What was about to appear at the target, and which file; None when it had not come that far."""
    noted = notes.get("landed")
    file = noted_file(noted, "file") if isinstance(noted, Mapping) else None
    if file is None or not isinstance(noted, Mapping):
        return None
    try:
        digest = Digest(*noted["digest"]) if noted["digest"] else None
        landing = Landing(
            noted["method"],
            file.size,
            digest,
            bool(noted["verified"]),
            inspected_by=noted["inspected_by"],
            copied_from=noted.get("copied_from"),
        )
    except _NONSENSE:
        return None
    return landing, file
