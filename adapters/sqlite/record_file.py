"""The format of a record, and what a record of any age and in any condition still says.

A record is a JSON text sequence (RFC 7464): one JSON object a line, after the control character RS; `jq --seq` reads
it. Each line ends in `"crc32"`, the checksum of all that is before it in the line. The first line is the header:

    {"lading_record":1,"database":ID,"follows":CHECKSUM,"lines":COUNT,"crc32":…}

It names the version of the format, the database, the checksum of the line that the record before it ended with, and
the number of lines that were written with the header. Each other line is one transaction of the database:

    {"changes":[["put",{…}]],"crc32":…}

A change is `["put", association]`, `["remove", target]`, `["begin", intent]`, `["note", target, notes]` or
`["settle", target]`, as in the ports AssociationStore and Journal.

A line has a separator before it and one behind it, so a damaged byte costs one line at most. A last line that is cut
off was being written when the process or the machine stopped: it does not count as damaged.
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
"""Bytes at the end of each line that hold its checksum."""
_VERSION: Final = 1
_RS: Final = b"\x1e"
_SEALED: Final = re.compile(rb'(?s)(\{.*),"crc32":"([0-9a-f]{8})"\}\n?')


@dataclass(slots=True)
class Contents:
    """What a record holds: the result of its changes in order, as far as their lines are undamaged."""

    database: str | None = None
    """The id of its database; None when the header is damaged."""
    follows: str | None = None
    """The seal that the record before this one ended with."""
    snapshot: int = 0
    """Lines that were written together with the header."""
    lines: int = 0
    """Undamaged lines, without the header."""
    damaged: int = 0
    """Lines, and pieces of lines, that are not as they were written."""
    associations: dict[str, Association] = field(default_factory=dict)
    """By target."""
    intents: dict[str, Intent] = field(default_factory=dict)
    """By target."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it that a database could be rebuilt from."""
        return not (self.associations or self.intents or self.damaged)


def put_change(association: bytes) -> bytes:
    """The change that an encoded association is put."""
    return b'["put",%b]' % association


def remove_change(target: str) -> bytes:
    """The change that the target's association is removed."""
    return to_json(["remove", target])


def begin_change(intent: bytes) -> bytes:
    """The change that an encoded intent is begun."""
    return b'["begin",%b]' % intent


def note_change(target: str, notes: bytes) -> bytes:
    """The change that the target's intent holds these encoded notes."""
    return b'["note",%b,%b]' % (to_json(target), notes)


def settle_change(target: str) -> bytes:
    """The change that the target's intent is settled."""
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
    """The checksum that a line, or a record, ends with; empty where it ends in none."""
    found = re.search(rb',"crc32":"([0-9a-f]{8})"\}\n\Z', line[-SEAL:])
    return found[1].decode() if found else ""


def read_record(path: Path) -> Contents:
    """The contents of a record. Raises OSError, and StoreUnavailable when a later lading wrote it."""
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
    """The line of an object whose last brace is missing."""
    return b'%b%b,"crc32":"%08x"}\n' % (_RS, body, zlib.crc32(body))


def _opened(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises one of MALFORMED when a byte of it is not as it was written."""
    found = _SEALED.fullmatch(line)
    if found is None or zlib.crc32(found[1]) != int(found[2], 16):
        raise ValueError("the checksum is wrong")
    return json_object(found[1] + b"}")


def _pieces(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """What is between separators, and whether there is one behind it."""
    for line in file:
        *pieces, last = line.split(_RS)
        yield from ((piece, True) for piece in pieces if piece.strip())
        if last.strip():
            yield last, last.endswith(b"\n")


def _take_header(contents: Contents, known: dict[str, Any], path: Path) -> None:
    version = known["lading_record"]
    if version != _VERSION:
        raise StoreUnavailable(
            f"the record {path} has format version {version}, and this lading knows only {_VERSION}: use the lading"
            " that wrote it or a later one, or move the record away"
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
                raise ValueError("no change that this lading knows")
