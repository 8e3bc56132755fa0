"""The format of a record, and its reader, which also reads old and damaged records.

A record is a JSON text sequence (RFC 7464): one JSON object in each line, after the control character RS; `jq --seq`
reads it. Each line ends with `"crc32"`, the checksum of the line before that key. The first line is the header:

    {"lading_record":1,"database":ID,"follows":CHECKSUM,"lines":COUNT,"crc32":…}

It contains the version of the format, the database's id, the last checksum of the record before it, and the number of
lines that were written with the header. Each other line is one transaction of the database:

    {"changes":[["put",{…}]],"crc32":…}

A change is `["put", association]`, `["remove", target]`, `["begin", intent]`, `["note", target, notes]` or
`["settle", target]`, as in the ports AssociationStore and Journal.

Each line has a separator before and after it, so a damaged byte affects one line at most. A truncated last line was
being written when the process or the machine stopped: it does not count as damaged.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from lading.adapters.codec.associations import association_from_document
from lading.adapters.codec.intents import intent_from_document
from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent

__all__ = [
    "SEAL",
    "Contents",
    "begin_change",
    "header_line",
    "note_change",
    "put_change",
    "read_record",
    "remove_change",
    "seal_of",
    "settle_change",
    "transaction_line",
]

SEAL: Final = len(b',"crc32":"00000000"}\n')
"""Bytes of the checksum's part at the end of each line."""
_VERSION: Final = 1
_RS: Final = b"\x1e"
_SEALED: Final = re.compile(rb'(?s)(\{.*),"crc32":"([0-9a-f]{8})"\}\n?')


@dataclass(slots=True)
class Contents:
    """The contents of a record: the result of its changes in order, without damaged lines."""

    database: str | None = None
    """The id of its database; None when the header is damaged."""
    follows: str | None = None
    """The last seal of the record before this one."""
    snapshot: int = 0
    """Lines that were written together with the header."""
    lines: int = 0
    """Undamaged lines, without the header."""
    damaged: int = 0
    """Damaged lines and pieces of lines."""
    associations: dict[str, Association] = field(default_factory=dict)
    """By target."""
    intents: dict[str, Intent] = field(default_factory=dict)
    """By target."""

    @property
    def is_empty(self) -> bool:
        """True when nothing in it could be rebuilt."""
        return not (self.associations or self.intents or self.damaged)


def put_change(association: bytes) -> bytes:
    """The change for a put of an encoded association."""
    return b'["put",%b]' % association


def remove_change(target: str) -> bytes:
    """The change for a removal of the target's association."""
    return to_json(["remove", target])


def begin_change(intent: bytes) -> bytes:
    """The change for the begin of an encoded intent."""
    return b'["begin",%b]' % intent


def note_change(target: str, notes: bytes) -> bytes:
    """The change for encoded notes on the target's intent."""
    return b'["note",%b,%b]' % (to_json(target), notes)


def settle_change(target: str) -> bytes:
    """The change for the end of the target's intent."""
    return to_json(["settle", target])


def header_line(database: str, follows: str, lines: int) -> bytes:
    """The first line of a record."""
    return _sealed(
        to_json({"lading_record": _VERSION, "database": database, "follows": follows, "lines": lines}).removesuffix(
            b"}"
        )
    )


def transaction_line(changes: Iterable[bytes]) -> bytes:
    """The line of the changes of one transaction."""
    return _sealed(b'{"changes":[%b]' % b",".join(changes))


def seal_of(line: bytes) -> str:
    """The checksum at the end of a line or a record; empty when there is none."""
    found = re.search(rb',"crc32":"([0-9a-f]{8})"\}\n\Z', line[-SEAL:])
    return found[1].decode() if found else ""


def read_record(path: Path) -> Contents:
    """Reads a record. Raises OSError, and StoreUnavailable for one of a later version."""
    contents = Contents()
    with path.open("rb") as file:
        for line, is_complete in _pieces(file):
            try:
                known = _opened(line)
                if "lading_record" in known:
                    _take_header(contents, known, path)
                else:
                    _take_changes(contents, known["changes"])
                    contents.lines += 1
            except MALFORMED:
                contents.damaged += is_complete
    return contents


def _sealed(body: bytes) -> bytes:
    """The line of an object, given without its last brace."""
    return b'%b%b,"crc32":"%08x"}\n' % (_RS, body, zlib.crc32(body))


def _opened(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises one of MALFORMED for a damaged line."""
    found = _SEALED.fullmatch(line)
    if found is None or zlib.crc32(found[1]) != int(found[2], 16):
        raise ValueError("the checksum is wrong")
    return json_object(found[1] + b"}")


def _pieces(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """The pieces between separators, with True for those that have a separator after them."""
    for line in file:
        *pieces, last = line.split(_RS)
        yield from ((piece, True) for piece in pieces if piece.strip())
        if last.strip():
            yield last, last.endswith(b"\n")


def _take_header(contents: Contents, known: dict[str, Any], path: Path) -> None:
    version = known["lading_record"]
    if version != _VERSION:
        raise StoreUnavailable(
            f"the record {path} was written by another version of lading",
            expected=f"format version {_VERSION}",
            found=f"format version {version}",
            advice="use the version that wrote it or a later one, or move the record away",
        )
    contents.database, contents.follows, contents.snapshot = known["database"], known["follows"], known["lines"]


def _take_changes(contents: Contents, changes: list[Any]) -> None:
    for change in changes:
        match change:
            case ["put", dict(document)]:
                association = association_from_document(document)
                contents.associations[association.target] = association
            case ["remove", str(target)]:
                contents.associations.pop(target, None)
            case ["begin", dict(document)]:
                intent = intent_from_document(document)
                contents.intents[intent.target] = intent
            case ["note", str(target), dict(notes)]:
                if target in contents.intents:
                    contents.intents[target] = replace(contents.intents[target], notes=notes)
            case ["settle", str(target)]:
                contents.intents.pop(target, None)
            case _:
                raise ValueError("an unknown change")
