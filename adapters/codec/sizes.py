"""Sizes as people write them."""

import re
from typing import Final

__all__ = ["Bytes", "bytes_from", "exact_text", "size_text"]

_BYTES: Final = re.compile(r"([1-9][0-9]{0,18})([KMGT]?)(?:i?B)?", re.IGNORECASE)

_LARGEST: Final = 2**63
"""Bytes that no file or volume has."""


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
    """Returns a number of bytes in B, KiB, MiB, GiB or TiB; `?` for an unknown or impossible number.

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


def exact_text(size: int) -> str:
    """Bytes as `bytes_from` reads them: in the largest unit of which they are a multiple.

    >>> exact_text(2 << 40), exact_text(1000)
    ('2T', '1000')
    """
    units = [(number, unit) for number, unit in enumerate(" KMGT") if size and size % (1 << 10 * number) == 0]
    number, unit = units[-1] if units else (0, "")
    return f"{size >> 10 * number}{unit}".strip()
