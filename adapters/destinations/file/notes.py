"""The notes in the journal by which an interrupted fetch or move is recovered."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from lading.adapters.codec.associations import shipped_field, shipped_from_field
from lading.adapters.codec.proofs import signer_field, signer_from_field
from lading.adapters.destinations.file.partial import facts, noted_file
from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.stream.safe_open import folder_identity
from lading.domain.handler import Landing, Work
from lading.ports.association import Fingerprint, Folder
from lading.ports.form import Form
from lading.ports.image import Digest
from lading.ports.journal import Journal

__all__ = ["Notes", "noted_file", "noted_folder", "noted_landing"]

_MALFORMED: Final = (KeyError, TypeError, ValueError)


class Notes:
    """The notes on one fetch or move. Without an intent nothing is written. All methods raise Refused."""

    def __init__(self, journal: Journal, work: Work) -> None:
        self._journal = journal
        self._work = work
        # Recovery still needs the notes of an earlier attempt.
        self._written: dict[str, object] = dict(work.intent.notes) if work.intent else {}

    @property
    def are_kept(self) -> bool:
        return self._work.intent is not None

    def announce(
        self, file: Fingerprint | None, *, part: str, resumable: bool = False, validator: str | None = None
    ) -> None:
        """Notes the file that is about to appear at the path `part`; None: a new one that is about to be made there.

        `resumable`: it will hold the image's first bytes; `validator` is their origin's.
        """
        known = {"part": facts(self._work, validator)} if resumable else {}
        self._written = {key: note for key, note in self._written.items() if key not in {"part", "landed", "made"}}
        temporary = None if file is None else list(file)
        self._write(temporary=temporary, temporary_name=os.path.basename(part), **known)

    def announce_made(self, file: Fingerprint | None, *, part: str) -> None:
        """Notes the file for what is made of the image, that is about to appear at the path `part`; None: a new one."""
        made = self._written.get("made")
        known = made if isinstance(made, Mapping) else {}
        self._write(made={**known, os.path.basename(part): None if file is None else list(file)})

    def landed(self, landing: Landing, file: Fingerprint) -> None:
        """Notes the whole file that is about to be published at the target, and its landing."""
        digest = [landing.digest.algorithm, landing.digest.value] if landing.digest else None
        self._write(
            landed={
                "file": list(file),
                "method": landing.method,
                "digest": digest,
                "verified": landing.verified,
                "inspected_by": landing.inspected_by,
                "copied_from": landing.copied_from,
                "format": landing.format,
                "virtual_size": landing.virtual_size,
                "shipped": shipped_field(landing.shipped),
                "converted_by": landing.converted_by,
                "form": asdict(landing.form),
                "signed_by": signer_field(landing.signed_by),
            }
        )

    def moving(self, file: Fingerprint, destination: str, *, intact: bool) -> None:
        """Notes the file that is about to be renamed to the destination, or copied there."""
        there = folder_identity(os.path.dirname(destination))
        self._write(moving=list(file), intact=intact, destination_folder=list(there) if there else None)

    def copied(self, file: Fingerprint) -> None:
        """Notes the whole copy that is about to be published at the destination."""
        self._write(copied=list(file))

    def _write(self, **notes: object) -> None:
        if not self.are_kept:
            return
        folder = folder_identity(os.path.dirname(self._work.target))
        self._written.update(notes, folder=list(folder) if folder else None)
        write_notes(self._journal, self._work, self._written)


def noted_folder(notes: Mapping[str, object], key: str) -> Folder | None:
    """The folder that the notes name; None when they name none."""
    match notes.get(key):
        case [int(device), int(inode), int() | None as birth]:
            return Folder(device, inode, birth)
    return None


def noted_landing(notes: Mapping[str, object]) -> tuple[Landing, Fingerprint] | None:
    """The landing and the file that were about to be published; None when the fetch did not get that far."""
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
            # The following are not in what earlier versions wrote.
            format=noted.get("format"),
            virtual_size=noted.get("virtual_size"),
            shipped=shipped_from_field(noted.get("shipped")),
            converted_by=noted.get("converted_by"),
            form=Form(**noted.get("form", {})),
            signed_by=signer_from_field(noted.get("signed_by")),
        )
    except _MALFORMED:
        return None
    return landing, file
