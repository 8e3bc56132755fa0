"""Sizes as people write them."""

import re
from typing import Final

__all__ = ["Bytes", "bytes_from", "exact_text"]

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


def exact_text(size: int) -> str:
    """Bytes as `bytes_from` reads them: in the largest unit of which they are a multiple.

    >>> exact_text(2 << 40), exact_text(1000)
    ('2T', '1000')
    """
    units = [(number, unit) for number, unit in enumerate(" KMGT") if size and size % (1 << 10 * number) == 0]
    number, unit = units[-1] if units else (0, "")
    return f"{size >> 10 * number}{unit}".strip()
