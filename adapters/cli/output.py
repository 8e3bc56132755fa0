"""What is printed: plain lines for people, JSON for programs."""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TextIO

import click

from lading.adapters.cli.masking import masked
from lading.adapters.cli.streams import AS_IT_CAME
from lading.adapters.codec.documents import image_to_document
from lading.domain.failures import AttemptResult, NoHandlerAvailable
from lading.domain.handler import Landing
from lading.ports.association import Association
from lading.ports.failures import LadingError
from lading.ports.image import Image
from lading.ports.redaction import redacted_values

__all__ = [
    "as_json",
    "association_record",
    "attempt_records",
    "error_record",
    "image_record",
    "print_error",
    "printable",
    "say",
    "say_row",
    "size_text",
    "time_text",
    "verified_text",
]


_LARGEST: Final = 2**63
"""Bytes that no file or volume has."""


def printable(text: str, stream: TextIO | None = None) -> str:
    r"""The text on one line, its control characters spelt out: strangers' names must not speak to the terminal.

    Judged by the characters that come out of the stream, standard output if not given: two surrogates of PEP 383, each
    a byte of a path, may be one control character there. Bytes that are no text in its encoding stay as they are.

    >>> print(printable("\x1b[31mred\nsecond line"))
    \x1b[31mred\nsecond line
    >>> print(printable("\udcc2\udc9b31m"))
    \x9b31m
    """
    encoding = (stream or sys.stdout).encoding or "utf-8"
    text = text.encode(encoding, AS_IT_CAME).decode(encoding, "surrogateescape")
    return "".join(each if each.isprintable() or _is_byte(each) else ascii(each)[1:-1] for each in text)


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def say(text: str, *, dim: bool = False) -> None:
    """Print a line."""
    text = printable(text)
    click.echo(click.style(text, dim=True) if dim else text)


def say_row(cells: Sequence[str], widths: Sequence[int]) -> None:
    """Print a line of a table: cells at least that wide on a terminal, with tabs between them elsewhere."""
    cells = [printable(cell) for cell in cells]
    if sys.stdout.isatty():
        cells = [*map(str.ljust, cells, widths), *cells[len(widths) :]]
        click.echo("  ".join(cells))
    else:
        click.echo("\t".join(cells))


def print_error(text: str) -> None:
    """Print a line about what went wrong; if even that can't be printed, the exit code has to do."""
    with suppress(OSError):
        click.echo(f"lading: {printable(masked(text), sys.stderr)}", err=True)


def as_json(record: Mapping[str, object], *, indent: int | None = None) -> None:
    """Print one object, on one line unless it is indented. A number that JSON doesn't have is null."""
    click.echo(json.dumps(_finite(record), indent=indent, allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def size_text(size: int | None) -> str:
    """Bytes as people read them; `?` where they are not known, or cannot be.

    >>> size_text(4 << 30), size_text(1536), size_text(None), size_text(10**400)
    ('4.0 GiB', '1.5 KiB', '?', '?')
    """
    if size is None or size >= _LARGEST:
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


def verified_text(found: Landing | Association) -> str:
    """What its bytes were compared with. Anybody can make two files of one MD5 (RFC 6151)."""
    if not found.verified or found.digest is None:
        return "unverified"
    return f"verified {found.digest.algorithm}{' (weak)' if found.digest.algorithm == 'md5' else ''}"


def attempt_records(attempts: Sequence[AttemptResult]) -> list[dict[str, object]]:
    """The attempts as `--json` shows them."""
    return [
        {
            "handler": tried.handler,
            "location": str(tried.location) if tried.location else None,
            "outcome": "refused" if tried.refusal else "handled",
            "reason": masked(tried.refusal.reason) if tried.refusal else None,
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
        "copied_from": association.copied_from,
        "method": association.method,
        "size": association.size,
        "digest": str(association.digest) if association.digest else None,
        "verified": association.verified,
        "inspected_by": association.inspected_by,
        "identity": association.identity,
        "landed_at": association.landed_at.isoformat(),
    }


def image_record(image: Image) -> dict[str, object]:
    """An image's document, without the credentials of any URL in it."""
    return redacted_values(image_to_document(image))


def error_record(failure: LadingError) -> dict[str, object]:
    """A failure as `--json` shows it: its kind, in words, and what was tried."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(failure).__name__).lower()
    record: dict[str, object] = {"error": kind, "message": masked(str(failure))}
    if isinstance(failure, NoHandlerAvailable):
        record["attempts"] = attempt_records(failure.attempts)
    return record
