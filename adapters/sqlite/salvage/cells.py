"""Records as SQLite writes them into the cells of its pages (sqlite.org/fileformat2.html, sections 1.6 and 2.1)."""

import struct
from typing import Final

from lading.adapters.sqlite.database import Row, Value

__all__ = ["TABLE_LEAF", "local_size", "record", "varint"]

TABLE_LEAF: Final = 0x0D
"""The kind of page that holds a table's rows."""
_INTEGERS: Final = (0, 1, 2, 3, 4, 6, 8)
"""Bytes of the integers of serial types 0 (which is NULL) to 6."""
_FLOAT, _ZERO, _ONE, _FIRST_TEXT = 7, 8, 9, 12


def varint(data: bytes, start: int) -> tuple[int, int]:
    r"""A number of one to nine bytes, and where it ends. Raises IndexError when the data ends before.

    >>> varint(b"\x81\x00", 0)
    (128, 2)
    """
    number = 0
    for at in range(start, start + 8):
        number = number << 7 | data[at] & 0x7F
        if data[at] < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return number, at + 1
    return number << 8 | data[start + 8], start + 9


def local_size(length: int, usable: int, kind: int) -> int:
    """How many bytes of a payload are on the page itself, of whose bytes so many are usable.

    >>> local_size(4061, 4096, TABLE_LEAF), local_size(4062, 4096, TABLE_LEAF)
    (4061, 489)
    """
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (usable - 12) * 32 // 255 - 23
    fitting = least + (length - least) % (usable - 4)
    return fitting if fitting <= most else least


def record(payload: bytes) -> Row | None:
    r"""The values, text as bytes; None when they make no record.

    >>> record(bytes([4, 0, 1, 17]) + b"\xff" + b"hi")
    (None, -1, b'hi')
    """
    try:
        end, at = varint(payload, 0)
        types = []
        while at < end:
            kind, at = varint(payload, at)
            types.append(kind)
    except IndexError:
        return None
    values: list[Value] = []
    for kind in types:
        size = _size(kind)
        if size is None or at + size > len(payload):
            return None
        values.append(_value(kind, payload[at : at + size]))
        at += size
    return tuple(values) if at == len(payload) and types else None


def _size(kind: int) -> int | None:
    if kind < len(_INTEGERS):
        return _INTEGERS[kind]
    if kind >= _FIRST_TEXT:
        return (kind - _FIRST_TEXT) // 2
    return {_FLOAT: 8, _ZERO: 0, _ONE: 0}.get(kind)


def _value(kind: int, data: bytes) -> Value:
    match kind:
        case 0:
            return None
        case 7:
            (number,) = struct.unpack(">d", data)
            return float(number)
        case 8 | 9:
            return kind - 8
        case _:
            return data if kind >= _FIRST_TEXT else int.from_bytes(data, signed=True)
