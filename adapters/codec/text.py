"""Text and JSON as bytes, so that any Python text comes back exactly: also a path that is not UTF-8."""

import json
from typing import Any, Final

__all__ = ["MALFORMED", "as_text", "from_text", "json_object", "to_json"]

MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Errors of encoding what JSON does not know, and of decoding what was not encoded here."""


def as_text(text: str) -> bytes:
    r"""The text in UTF-8. A path that is not UTF-8 holds lone surrogates, which become three bytes each.

    These bytes sort as Python's strings do.

    >>> as_text("/vms/\udce9")
    b'/vms/\xed\xb3\xa9'
    """
    return text.encode("utf-8", "surrogatepass")


def from_text(stored: object) -> str:
    """The text of these bytes. Raises ValueError when they are something else."""
    if not isinstance(stored, bytes):
        raise ValueError(f"expected text, got {stored!r}")  # noqa: TRY004 - a damaged file is no caller's bug
    return stored.decode("utf-8", "surrogatepass")


def to_json(value: object) -> bytes:
    """The value as JSON without line breaks. Raises one of MALFORMED when JSON does not know it.

    >>> to_json({"a": [1, None]})
    b'{"a":[1,null]}'
    """
    return as_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def json_object(data: object) -> dict[str, Any]:
    """The JSON object of these bytes. Raises one of MALFORMED when they are none."""
    known = json.loads(from_text(data))
    if not isinstance(known, dict):
        raise ValueError(f"expected an object, got {type(known).__name__}")  # noqa: TRY004 - a damaged file is no caller's bug
    return known
