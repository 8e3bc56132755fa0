"""An association as a JSON document: for every store that keeps bytes, such as a row, a record or a key-value server.

A document decodes to exactly the association that was encoded. It holds no credentials, because the Dispatcher removes
them from an association before it is put into a store. Documents have no checksum: the store adds its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from lading.adapters.codec.fields import image_fields, image_from_fields, location_field, location_from_field
from lading.adapters.codec.proofs import signer_field, signer_from_field
from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.ports.association import Association, Check, Fingerprint, Folder, Shipped, State
from lading.ports.form import Form
from lading.ports.image import Digest

__all__ = [
    "association_from_document",
    "association_to_document",
    "check_field",
    "check_from_field",
    "decode_association",
    "encode_association",
    "shipped_field",
    "shipped_from_field",
]


def encode_association(association: Association) -> bytes:
    """The document in UTF-8, on one line, `target` and `handler` first.

    Raises ValueError when it would come back changed: properties and metadata may hold only what JSON knows.
    """
    try:
        data = to_json(association_to_document(association))
        decoded = decode_association(data)
    except MALFORMED as error:
        raise ValueError(str(error)) from error
    for each in fields(association):
        if getattr(association, each.name) != getattr(decoded, each.name):
            raise ValueError(
                f"its {each.name} would come back changed; properties and metadata may hold what JSON does (strings,"
                " numbers, lists, string-keyed dicts, …)"
            )
    return data


def decode_association(data: bytes) -> Association:
    """The association of an encoded document. Raises one of MALFORMED when the bytes are none."""
    return association_from_document(json_object(data))


def association_to_document(association: Association) -> dict[str, object]:
    """The association as JSON has it; times are ISO 8601 in UTC."""
    return {
        "target": association.target,
        "handler": association.handler,
        "landed_at": association.landed_at.astimezone(UTC).isoformat(),
        "method": association.method,
        "size": association.size,
        "digest": _digest_field(association.digest),
        "verified": association.verified,
        "fingerprint": association.fingerprint,
        "folder": association.folder,
        "inspected_by": association.inspected_by,
        "identity": association.identity,
        "copied_from": association.copied_from,
        "checked": check_field(association.checked),
        "format": association.format,
        "virtual_size": association.virtual_size,
        "shipped": shipped_field(association.shipped),
        "converted_by": association.converted_by,
        "form": asdict(association.form),
        "signed_by": signer_field(association.signed_by),
        "location": location_field(association.location),
        **image_fields(association.image),
    }


def association_from_document(document: Mapping[str, Any]) -> Association:
    """The association of a document; one of an earlier version may lack the newer keys.

    Raises one of MALFORMED when it describes none.
    """
    return Association(
        target=document["target"],
        handler=document["handler"],
        image=image_from_fields(document),
        location=location_from_field(document["location"]),
        landed_at=datetime.fromisoformat(document["landed_at"]),
        method=document["method"],
        size=document["size"],
        digest=_digest_from_field(document["digest"]),
        verified=document["verified"],
        fingerprint=Fingerprint(*document["fingerprint"]) if document["fingerprint"] else None,
        inspected_by=document.get("inspected_by"),
        identity=document.get("identity"),
        copied_from=document.get("copied_from"),
        folder=Folder(*document["folder"]) if document.get("folder") else None,
        checked=check_from_field(document.get("checked")),
        format=document.get("format"),
        virtual_size=document.get("virtual_size"),
        shipped=shipped_from_field(document.get("shipped")),
        converted_by=document.get("converted_by"),
        form=Form(**document.get("form", {})),
        signed_by=signer_from_field(document.get("signed_by")),
    )


def shipped_field(shipped: Shipped | None) -> dict[str, object] | None:
    """The image as shipped, as JSON has it."""
    if shipped is None:
        return None
    return {"format": shipped.format, "size": shipped.size, "digest": _digest_field(shipped.digest)}


def shipped_from_field(known: Mapping[str, Any] | None) -> Shipped | None:
    """The image as shipped of this field. Raises one of MALFORMED when it describes none."""
    return Shipped(known["format"], known["size"], _digest_from_field(known["digest"])) if known else None


def _digest_field(digest: Digest | None) -> list[str] | None:
    return [digest.algorithm, digest.value] if digest else None


def _digest_from_field(known: Sequence[Any] | None) -> Digest | None:
    return Digest(*known) if known else None


def check_field(check: Check | None) -> dict[str, object] | None:
    """The check as JSON has it."""
    return {"state": check.state, "at": check.at.astimezone(UTC).isoformat()} if check else None


def check_from_field(known: Mapping[str, Any] | None) -> Check | None:
    """The check of this field. Raises one of MALFORMED when it describes none."""
    return Check(State(known["state"]), datetime.fromisoformat(known["at"])) if known else None
