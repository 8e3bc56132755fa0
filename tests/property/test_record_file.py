"""Laws of the record's format: a truncated or damaged entry is lost alone, and nothing is invented."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.corrupt_databases import association
from tests.strategies import intents

from lading.adapters.codec.associations import association_from_document, encode_association
from lading.adapters.codec.intents import encode_intent
from lading.adapters.codec.text import json_object, to_json
from lading.adapters.sqlite.record_file import (
    Contents,
    begin_change,
    header_line,
    note_change,
    put_change,
    read_record,
    remove_change,
    settle_change,
    transaction_line,
)
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent

TARGETS = 5


def changes() -> SearchStrategy[bytes]:
    numbers = st.integers(0, TARGETS)
    begun = intents().map(lambda intent: begin_change(encode_intent(renamed(intent))))
    target = numbers.map(lambda number: association(number).target)
    return st.one_of(
        st.builds(association, numbers, hour=st.integers(0, 9)).map(lambda each: put_change(encode_association(each))),
        target.map(remove_change),
        begun,
        st.builds(note_change, target, st.integers().map(lambda number: to_json({"n": number}))),
        target.map(settle_change),
    )


def renamed(intent: Intent) -> Intent:
    """At one of the few targets."""
    return Intent(
        association(len(intent.target) % TARGETS).target,
        intent.verb, intent.handler, intent.began_at, intent.image, intent.location, intent.destination,
        intent.force, intent.notes,
    )  # fmt: skip


class Written(NamedTuple):
    """A record, line by line."""

    lines: Sequence[bytes]

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)


def records(max_size: int = 8) -> SearchStrategy[Written]:
    header = header_line("0123456789abcdef", "", 0)
    lines = st.lists(st.lists(changes(), min_size=1, max_size=3).map(transaction_line), max_size=max_size)
    return lines.map(lambda made: Written([header, *made]))


def contents(data: bytes) -> Contents:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record"
        path.write_bytes(data)
        return read_record(path)


def held(data: bytes) -> tuple[object, object]:
    found = contents(data)
    return found.associations, found.intents


def puts(line: bytes) -> list[Association]:
    """The associations that a line puts, also those that it removes again."""
    made = json_object(line.strip(b"\x1e\n")).get("changes", [])
    return [association_from_document(change[1]) for change in made if change[0] == "put"]


@given(records())
def test_a_whole_record_has_every_line_and_no_damage(written: Written) -> None:
    found = contents(written.data)
    assert (found.database, found.lines, found.damaged) == ("0123456789abcdef", len(written.lines) - 1, 0)


@given(records(), st.data())
def test_a_record_that_is_cut_off_holds_what_its_whole_lines_say(written: Written, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(written.data)))
    left = written.data[:end]
    # Without its line feed, a separator, a line is whole: its checksum says so.
    whole = [line for at, line in enumerate(written.lines) if sum(map(len, written.lines[: at + 1])) - 1 <= end]
    assert held(left) == held(b"".join(whole))
    assert contents(left).damaged == 0


@given(records(), st.data())
def test_a_byte_that_changed_costs_at_most_its_own_line(written: Written, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(written.data) - 1))
    damaged = bytearray(written.data)
    damaged[at] ^= data.draw(st.integers(1, 255))
    less = [[*written.lines[:lost], *written.lines[lost + 1 :]] for lost in range(len(written.lines))]
    assert held(bytes(damaged)) in [held(b"".join(lines)) for lines in (written.lines, *less)]


@given(records(), st.binary(max_size=200), st.data())
def test_garbage_anywhere_invents_nothing(written: Written, garbage: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(written.data)))
    end = data.draw(st.integers(start, len(written.data)))
    put = [each for line in written.lines for each in puts(line)]
    found = contents(written.data[:start] + garbage + written.data[end:])
    assert [each for each in found.associations.values() if each not in put] == []


@given(st.binary(max_size=3000))
def test_what_is_no_record_holds_nothing(data: bytes) -> None:
    assert held(data) == ({}, {})


def test_a_line_of_an_unknown_change_is_damaged() -> None:
    found = contents(transaction_line([b'["paint","/vms/1"]']) + transaction_line([b"{}"]) + b"\x1e{}\n")
    assert (found.lines, found.damaged) == (0, 3)


def test_a_record_of_a_later_version_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "lading.db.record"
    path.write_bytes(header_line("1", "", 0).replace(b'"lading_record":1', b'"lading_record":2'))
    assert contents(path.read_bytes()).damaged == 1  # the checksum is of another line
    body = b'{"lading_record":2,"later":true'
    path.write_bytes(b'\x1e%b,"crc32":"%08x"}\n' % (body, crc32(body)))
    with pytest.raises(
        StoreUnavailable,
        match=f"{path} was written by another version of lading: expected format version 1, found format version 2",
    ):
        read_record(path)
