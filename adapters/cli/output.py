"""The output: plain lines for people, JSON for programs."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TextIO

import click

from lading.adapters.cli.masking import masked
from lading.adapters.cli.streams import OUTPUT_ERRORS
from lading.adapters.codec.documents import image_to_document
from lading.adapters.codec.proofs import signer_field
from lading.adapters.codec.sizes import size_text
from lading.domain.failures import AttemptResult, HandlerRefused, NoHandlerAvailable
from lading.domain.handler import Landing
from lading.domain.refusals import Refusal
from lading.ports.association import Association, Check, Shipped
from lading.ports.association_store import HostTarget
from lading.ports.failures import LadingError
from lading.ports.image import GIVEN, UNPROVEN, Image
from lading.ports.redaction import redacted_values

__all__ = [
    "age_text",
    "as_json",
    "association_record",
    "attempt_records",
    "check_record",
    "error_record",
    "form_record",
    "image_record",
    "last_state",
    "print_error",
    "printable",
    "proof_record",
    "proof_text",
    "say",
    "say_parts",
    "shipped_text",
    "terminal_width",
    "time_text",
    "verified_text",
    "when_text",
]


_USUAL_WIDTH: Final = 80
_AGES: Final = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
"""Units of ages, with their seconds."""


def printable(text: str, stream: TextIO | None = None) -> str:
    r"""Returns the text on one line, with control characters escaped: a name must not control the terminal.

    It is checked as the characters that the stream (by default standard output) writes: two surrogates of PEP 383,
    each a byte of a path, may be one control character there. Bytes that are not text in its encoding stay unchanged.

    >>> print(printable("\x1b[31mred\nsecond line"))
    \x1b[31mred\nsecond line
    >>> print(printable("\udcc2\udc9b31m"))
    \x9b31m
    """
    if text.isascii() and text.isprintable():  # most texts: a list may have a hundred thousand lines
        return text
    encoding = (stream or sys.stdout).encoding or "utf-8"
    text = text.encode(encoding, OUTPUT_ERRORS).decode(encoding, "surrogateescape")
    return "".join(each if each.isprintable() or _is_byte(each) else ascii(each)[1:-1] for each in text)


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def say_parts(parts: Sequence[str]) -> None:
    """Prints the parts of a line; at a terminal that is too narrow for it, each part on a line of its own."""
    line = " ".join(parts)
    is_too_long = sys.stdout.isatty() and len(line) > terminal_width(sys.stdout)
    for each in [parts[0], *(f"  {part}" for part in parts[1:])] if is_too_long else [line]:
        say(each)


def terminal_width(stream: TextIO) -> int:
    """Returns the columns of the stream's terminal; $COLUMNS goes first, and 80 is taken for an unknown width."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


def say(text: str, *, dim: bool = False) -> None:
    """Prints a line; dimmed on a terminal, unless colours are turned off (no-color.org, bixense.com/clicolors)."""
    text = printable(text)
    click.echo(click.style(text, dim=True) if dim and _has_styles() else text)


def _has_styles() -> bool:
    environ = os.environ
    is_off = environ.get("NO_COLOR") or environ.get("TERM") == "dumb" or environ.get("CLICOLOR") == "0"
    return sys.stdout.isatty() and not is_off


def print_error(message: str, *hints: str) -> None:
    """Prints an error on one line, and below it what to do, one line each. The exit code must suffice if this fails."""
    lines = [f"lading: {message}", *(f"  {hint}" for hint in hints)]
    with suppress(OSError):
        click.echo("\n".join(printable(masked(line), sys.stderr) for line in lines), err=True)


def as_json(record: Mapping[str, object], *, indent: int | None = None) -> None:
    """Prints one object, on one line unless it is indented. Infinity and NaN, which JSON does not have, become null."""
    try:
        text = json.dumps(record, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(record), indent=indent, allow_nan=False)
    click.echo(text)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def shipped_text(shipped: Shipped) -> str:
    """Returns the size and the formats of an image as it was shipped.

    >>> shipped_text(Shipped("xz, qcow2", 4 << 20))
    '4.0 MiB xz → qcow2'
    """
    return f"{size_text(shipped.size)} {shipped.format.replace(', ', ' → ')}"


def time_text(moment: datetime) -> str:
    """Returns the time in the local time zone, to the second."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")


def age_text(moment: datetime) -> str:
    """Returns the time that has passed since the moment, in its largest unit: `5 min`, `3 d`."""
    seconds = max(int((datetime.now(UTC) - moment).total_seconds()), 0)
    for unit, length in _AGES:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return "0 s"


def when_text(moment: datetime) -> str:
    """Returns the age for a table on a terminal, and elsewhere the time, which stays the same."""
    return age_text(moment) if sys.stdout.isatty() else time_text(moment)


def last_state(target: Association | HostTarget) -> str:
    """Returns the state that the last verification found, or else whether the fetch compared the digest."""
    if target.checked is not None:
        return target.checked.state
    return "verified" if target.verified else "unverified"


def verified_text(result: Landing | Association) -> str:
    """Returns the verified digest's algorithm, or `unverified`.

    MD5 and SHA-1 are weak: two files can have the same (RFC 6151, RFC 6194). Where only the disk in a packed image was
    verified, the target's digest may be another than the catalog's.

    >>> verified_text(Landing(verified=True, shipped=Shipped("xz, raw", 9)))
    'verified'
    """
    digest = result.shipped.digest if result.shipped else result.digest
    if not result.verified or (digest is None and result.shipped is None):
        return "unverified"
    if digest is None:
        return "verified"
    return f"verified {digest.algorithm}{' (weak)' if digest.algorithm in {'md5', 'sha1'} else ''}"


def proof_text(result: Landing | Association, image: Image | None) -> str:
    """Returns what was proven of a target, and by whom: the digest, the document that it is from, the signer.

    >>> proof_text(Landing(verified=True, shipped=Shipped("xz, raw", 9)), Image("a"))
    'verified'
    """
    proof, signer = image.proof if image else UNPROVEN, result.signed_by
    source = proof.digest_from if result.verified and proof.digest_from != GIVEN else None
    by = f" by {source}" if source else ""
    if signer is not None:
        return f"{verified_text(result)}{by}, signed by {signer.key} in {signer.found_in} ({signer.tool})"
    # Where the catalog itself has the digest, there is no document that could be signed.
    return f"{verified_text(result)}{by}{', no signature was checked' if source else ''}"


def proof_record(result: Landing | Association, image: Image | None) -> dict[str, object]:
    """Returns what was proven of a target as `--json` prints it."""
    return {
        "verified": result.verified,
        "digest_from": image.proof.digest_from if image else None,
        "signed_by": signer_field(result.signed_by),
    }


def attempt_records(attempts: Sequence[AttemptResult]) -> list[dict[str, object]]:
    """Returns the attempts as `--json` prints them."""
    return [
        {
            "handler": attempt.handler,
            "location": str(attempt.location) if attempt.location else None,
            "outcome": "refused" if attempt.refusal else "handled",
            "code": attempt.refusal.code if attempt.refusal else None,
            "reason": masked(str(attempt.refusal)) if attempt.refusal else None,
        }
        for attempt in attempts
    ]


def association_record(association: Association) -> dict[str, object]:
    """Returns an association as `--json` prints it."""
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
        **proof_record(association, image),
        **form_record(association),
        "inspected_by": association.inspected_by,
        "identity": association.identity,
        "landed_at": association.landed_at.isoformat(),
        "checked": check_record(association.checked),
    }


def form_record(result: Landing | Association) -> dict[str, object]:
    """Returns the form of a target, and what was shipped, as `--json` prints them."""
    shipped = result.shipped
    return {
        "format": result.format,
        "virtual_size": result.virtual_size,
        "shipped": shipped
        and {
            "format": shipped.format,
            "size": shipped.size,
            "digest": str(shipped.digest) if shipped.digest else None,
        },
        "converted_by": result.converted_by,
    }


def check_record(check: Check | None) -> dict[str, object] | None:
    """Returns the last verification as `--json` prints it."""
    return {"state": check.state, "at": check.at.isoformat()} if check else None


def image_record(image: Image) -> dict[str, object]:
    """Returns an image's document, with the credentials in URLs masked."""
    return redacted_values(image_to_document(image))


def error_record(failure: LadingError, hints: Sequence[str] = ()) -> dict[str, object]:
    """Returns a failure as `--json` prints it: its kind, the code of the decisive refusal, the message in parts.

    `hints` are next steps that follow the failure's own advice.
    """
    refusal = _decisive(failure)
    explanation = failure.explanation
    record: dict[str, object] = {
        "error": failure.code,
        "code": refusal.code if refusal else failure.code,
        "message": masked(str(failure)),
        **{part: masked(getattr(explanation, part)) or None for part in ("reason", "place", "expected", "found")},
        "advice": masked("; ".join(filter(None, (explanation.advice, *hints)))) or None,
    }
    if isinstance(failure, NoHandlerAvailable):
        record["attempts"] = attempt_records(failure.attempts)
    return record


def _decisive(failure: LadingError) -> Refusal | None:
    """The refusal that decided the failure, if one did."""
    match failure:
        case NoHandlerAvailable():
            return failure.decisive
        case HandlerRefused():
            return failure.refusal
    return None
