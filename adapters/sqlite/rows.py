"""An association as a row of the database: target, handler, document."""

import zlib
from datetime import UTC, datetime
from typing import Final

from lading.adapters.codec.records import (
    MALFORMED,
    decoded,
    encoded,
    image_from_record,
    image_to_record,
    location_from_record,
    location_to_record,
)
from lading.adapters.sqlite.database import Row, as_text, from_text
from lading.ports.association import Association, Fingerprint, Folder
from lading.ports.image import Digest

__all__ = ["association_of", "document_of", "recovered"]

_SEAL: Final = b',"crc32":"%08x"}'
"""How a document ends. SQLite's pages have no checksums (sqlite.org/fileformat2.html), so each row has its own."""


def document_of(association: Association) -> bytes:
    """All of it but its target and its handler, and a checksum of the whole row. Raises one of NONSENSE."""
    document = {
        "landed_at": association.landed_at.astimezone(UTC).isoformat(),
        "method": association.method,
        "size": association.size,
        "digest": [association.digest.algorithm, association.digest.value] if association.digest else None,
        "verified": association.verified,
        "fingerprint": association.fingerprint,
        "folder": association.folder,
        "inspected_by": association.inspected_by,
        "identity": association.identity,
        "copied_from": association.copied_from,
        "location": location_to_record(association.location),
        **image_to_record(association.image),
    }
    return _sealed(as_text(association.target), as_text(association.handler), encoded(document))


def association_of(row: Row) -> Association:
    """Raises one of NONSENSE when the row makes none."""
    target, handler, document = row
    known = decoded(document)
    return Association(
        target=from_text(target),
        handler=from_text(handler),
        image=image_from_record(known),
        location=location_from_record(known["location"]),
        landed_at=datetime.fromisoformat(known["landed_at"]),
        method=known["method"],
        size=known["size"],
        digest=Digest(*known["digest"]) if known["digest"] else None,
        verified=known["verified"],
        fingerprint=Fingerprint(*known["fingerprint"]) if known["fingerprint"] else None,
        inspected_by=known.get("inspected_by"),
        identity=known.get("identity"),
        copied_from=known.get("copied_from"),
        folder=Folder(*known["folder"]) if known.get("folder") else None,
    )


def recovered(row: Row) -> Association | None:
    """What a damaged file holds by this row (target, handler, document), when every byte of it is as it was put."""
    target, handler, document = row
    if not (isinstance(target, bytes) and isinstance(handler, bytes) and isinstance(document, bytes)):
        return None
    body = document[: -len(_SEAL % 0)] + b"}"
    try:
        return association_of(row) if document == _sealed(target, handler, body) else None
    except MALFORMED:
        return None


def _sealed(target: bytes, handler: bytes, document: bytes) -> bytes:
    """The document with a checksum of the row. The lengths are in it, for what moves from one column to the next."""
    body = document.removesuffix(b"}")
    row = b"%d %d %b%b%b" % (len(target), len(handler), target, handler, body)
    return body + _SEAL % zlib.crc32(row)
