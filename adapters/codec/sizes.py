"""Sizes as people write them."""

import re
from typing import Final

__all__ = ["Bytes", "bytes_from", "exact_size", "exact_text", "share_text", "size_text"]

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
"""The step between two units."""
_LARGEST: Final = 2**63
"""Bytes that no file or volume has."""
_BYTES: Final = re.compile(r"([1-9][0-9]{0,18})([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Bytes(int):
    """A number of bytes. A setting of this type is a whole number, or a text like `20G`."""


def bytes_from(text: str) -> int:
    """Bytes, or KiB, MiB, GiB, TiB by their first letter, as qemu-img and rbd have them. Raises ValueError.

    >>> bytes_from("20G"), bytes_from("512")
    (21474836480, 512)
    """
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; expected bytes, or a number and K, M, G or T: 20G")
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def size_text(size: int | None) -> str:
    """Returns a number of bytes with one decimal, in the largest unit; `?` for an unknown or impossible number.

    >>> size_text(4 << 30), size_text(1536), size_text(None), size_text(10**400)
    ('4.0 GiB', '1.5 KiB', '?', '?')
    """
    if size is None or size >= _LARGEST:
        return "?"
    unit = _unit(size)
    return f"{_number(size, unit)} {_UNITS[unit]}"


def exact_text(size: int) -> str:
    """Bytes as `bytes_from` reads them: in the largest unit of which they are a multiple.

    >>> exact_text(2 << 40), exact_text(1000)
    ('2T', '1000')
    """
    units = [(number, unit) for number, unit in enumerate(" KMGT") if size and size % (1 << 10 * number) == 0]
    number, unit = units[-1] if units else (0, "")
    return f"{size >> 10 * number}{unit}".strip()


def share_text(done: int, total: int | None) -> str:
    """Returns how much of a total is done, in the unit of the total; None: it is not known.

    >>> share_text(1288490189, 3650722201), share_text(300, 2 << 20), share_text(1536, None)
    ('1.2 of 3.4 GiB', '0.0 of 2.0 MiB', '1.5 KiB')
    """
    if total is None or max(done, total) >= _LARGEST:
        return size_text(done)
    unit = _unit(total)
    return f"{_number(done, unit)} of {_number(total, unit)} {_UNITS[unit]}"


def exact_size(size: int) -> str:
    """Returns a number of bytes for a comparison with another one: rounded, and exact where that differs.

    >>> exact_size(20 << 30), exact_size((20 << 30) + 512), exact_size(512)
    ('20 GiB', '20.0 GiB (21474836992 bytes)', '512 bytes')
    """
    if size < _STEP:
        return f"{size} bytes"
    unit = min(((size & -size).bit_length() - 1) // 10, len(_UNITS) - 1)
    if size >> 10 * unit < _STEP:
        return f"{size >> 10 * unit} {_UNITS[unit]}"
    return f"{size_text(size)} ({size} bytes)"


def _unit(size: int) -> int:
    """The index of the unit in which the rounded number has at most four digits before the point."""
    unit = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    # One byte less than 1 MiB is no 1024.0 KiB.
    return unit + (unit < len(_UNITS) - 1 and _number(size, unit) == _number(_STEP ** (unit + 1), unit))


def _number(size: int, unit: int) -> str:
    return f"{size / _STEP**unit:.1f}" if unit else str(size)
