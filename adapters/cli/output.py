"""What is printed: plain lines for people, JSON for programs."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import click

from lading.adapters.documents import image_to_document
from lading.domain.failures import NoHandlerAvailable, Tried
from lading.ports.association import Association
from lading.ports.failures import LadingError
from lading.ports.image import Image

__all__ = [
    "as_json",
    "association_record",
    "attempt_records",
    "error_record",
    "image_record",
    "local_target",
    "say",
    "size_text",
    "time_text",
]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


def say(text: str, *, dim: bool = False) -> None:
    """Print a line."""
    click.echo(click.style(text, dim=True) if dim else text)


def as_json(record: Mapping[str, object]) -> None:
    """Print one object on one line."""
    click.echo(json.dumps(record))


def local_target(text: str) -> str:
    """A target as associations know it: a path of this host made absolute, `scheme:…` as it is.

    >>> local_target("rbd:vms/disk"), local_target("/vms/../vms/1")
    ('rbd:vms/disk', '/vms/1')
    """
    text = text.strip()
    if not text:
        raise click.BadParameter("a target must not be blank")
    return text if _SCHEME.match(text) else os.path.abspath(text)  # noqa: PTH100 - pathlib would resolve symlinks


def size_text(size: int | None) -> str:
    """Bytes as people read them.

    >>> size_text(4 << 30), size_text(1536), size_text(None)
    ('4.0 GiB', '1.5 KiB', '?')
    """
    if size is None:
        return "?"
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004 - the step between two units
            return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"
        value /= 1024
    return f"{value:.1f} TiB"


def time_text(moment: datetime) -> str:
    """In the local time zone, to the second."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def attempt_records(attempts: Sequence[Tried]) -> list[dict[str, object]]:
    """The attempts as `--json` shows them."""
    return [
        {
            "handler": tried.handler,
            "location": str(tried.location) if tried.location else None,
            "outcome": "refused" if tried.refusal else "handled",
            "reason": tried.refusal.reason if tried.refusal else None,
        }
        for tried in attempts
    ]


def association_record(association: Association) -> dict[str, object]:
    """An association as `--json` shows it."""
    image = association.image
    return {
        "target": association.target,
        "image": image.id if image else None,
        "name": image.name if image else None,
        "handler": association.handler,
        "location": str(association.location) if association.location else None,
        "method": association.method,
        "size": association.size,
        "digest": str(association.digest) if association.digest else None,
        "verified": association.verified,
        "landed_at": association.landed_at.isoformat(),
    }


def image_record(image: Image) -> dict[str, object]:
    """An image's document, its locations without credentials."""
    document = image_to_document(image)
    if image.locations:
        document["locations"] = [{"url": str(each), "metadata": dict(each.metadata)} for each in image.locations]
    return document


def error_record(failure: LadingError) -> dict[str, object]:
    """A failure as `--json` shows it: its kind, in words, and what was tried."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(failure).__name__).lower()
    record: dict[str, object] = {"error": kind, "message": str(failure)}
    if isinstance(failure, NoHandlerAvailable):
        record["attempts"] = attempt_records(failure.attempts)
    return record
