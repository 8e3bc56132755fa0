"""An intent as a JSON document, for every journal that keeps bytes. It decodes to exactly what was encoded."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from lading.adapters.codec.associations import association_from_document, association_to_document
from lading.adapters.codec.fields import image_fields, image_from_fields, location_field, location_from_field
from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.ports.form import Form
from lading.ports.journal import Intent, Verb

__all__ = ["decode_intent", "encode_intent", "encode_notes", "intent_from_document", "intent_to_document"]


def encode_intent(intent: Intent) -> bytes:
    """The document in UTF-8, on one line, `target`, `destination` and `notes` first.

    Raises ValueError when it would come back changed.
    """
    try:
        data = to_json(intent_to_document(intent))
        decoded = decode_intent(data)
    except MALFORMED as error:
        raise ValueError(str(error)) from error
    for each in fields(intent):
        if getattr(intent, each.name) != getattr(decoded, each.name):
            raise ValueError(f"its {each.name} would come back changed")
    return data


def decode_intent(data: bytes) -> Intent:
    """The intent of an encoded document. Raises one of MALFORMED when the bytes are none."""
    return intent_from_document(json_object(data))


def encode_notes(notes: Mapping[str, object]) -> bytes:
    """The notes as JSON. Raises ValueError when they would come back changed."""
    try:
        data = to_json(dict(notes))
        is_kept = json_object(data) == notes
    except MALFORMED as error:
        raise ValueError(str(error)) from error
    if not is_kept:
        raise ValueError("it would come back changed")
    return data


def intent_to_document(intent: Intent) -> dict[str, object]:
    """The intent as JSON has it; times are ISO 8601 in UTC."""
    return {
        "target": intent.target,
        "destination": intent.destination,
        "notes": dict(intent.notes),
        "verb": intent.verb,
        "handler": intent.handler,
        "began_at": intent.began_at.astimezone(UTC).isoformat(),
        "force": intent.force,
        "even_if_in_use": intent.even_if_in_use,
        "form": asdict(intent.form),
        "recorded": association_to_document(intent.recorded) if intent.recorded else None,
        "location": location_field(intent.location),
        **image_fields(intent.image),
    }


def intent_from_document(document: Mapping[str, Any]) -> Intent:
    """The intent of a document. Raises one of MALFORMED when it describes none."""
    return Intent(
        target=document["target"],
        verb=Verb(document["verb"]),
        handler=document["handler"],
        began_at=datetime.fromisoformat(document["began_at"]),
        image=image_from_fields(document),
        location=location_from_field(document["location"]),
        destination=document["destination"],
        force=document["force"],
        # The following three are not in what earlier versions wrote.
        even_if_in_use=document.get("even_if_in_use", False),
        recorded=association_from_document(document["recorded"]) if document.get("recorded") else None,
        form=Form(**document.get("form", {})),
        notes=document["notes"],
    )
