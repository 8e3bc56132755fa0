"""Laws of the inspection: what it says depends on the bytes alone, and it always says something."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.images import HARMLESS, MIB, fixed_vhd, qcow2, stream_optimized, vhdx, vmdk

from lading.adapters.formats.inspection import Inspection

SPECIMENS = [
    *HARMLESS.values(),
    qcow2(backing=b"/etc/passwd", size=200),
    vmdk(extra='parentFileNameHint="/etc/passwd"'),
    vmdk("monolithicFlat")[512:],
    stream_optimized(body=MIB),
    vhdx(metadata_at=MIB + 4096),
    fixed_vhd(),
]
TELLING = (4, 8, 20, 28, 36, 56, 72, 100, 446, 510, 512, 560, 32 * 1024, 192 * 1024, 192 * 1024 + 32, MIB, MIB + 32)
"""Where the formats keep what the checks look at."""


def places() -> SearchStrategy[int]:
    return st.builds(int.__add__, st.sampled_from((0, *TELLING)), st.integers(0, 15))


def mutants() -> SearchStrategy[bytes]:
    """A specimen with some of its bytes changed, and perhaps cut off."""

    def mutate(specimen: bytes, changes: dict[int, bytes], length: int) -> bytes:
        data = bytearray(specimen)
        for place, change in changes.items():
            data[place : place + len(change)] = change
        return bytes(data[:length])

    changes = st.dictionaries(places(), st.binary(min_size=1, max_size=8), max_size=4)
    return st.builds(mutate, st.sampled_from(SPECIMENS), changes, places() | st.just(4 * MIB))


def images() -> SearchStrategy[bytes]:
    return mutants() | st.binary(max_size=2048) | st.text('#=\n\r version123createTypé"', max_size=900).map(str.encode)


def cuts() -> SearchStrategy[list[int]]:
    """Where chunks end."""
    return st.lists(places() | st.integers(0, 2 * MIB), max_size=12).map(sorted)


def told(*chunks: bytes) -> tuple[frozenset[str], tuple[str, ...]]:
    inspection = Inspection(footer=True)
    for chunk in chunks:
        if not inspection.is_decided:
            inspection.feed(memoryview(chunk))
    return inspection.formats(), inspection.dangers()


@given(images(), cuts())
def test_the_verdict_is_the_same_in_whatever_chunks_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    chunks = [data[start:end] for start, end in pairwise([0, *cuts, len(data)]) if start < end]
    assert told(*chunks) == told(data)


@given(images())
def test_every_image_is_of_some_format_and_a_second_look_says_the_same(data: bytes) -> None:
    inspection = Inspection()
    inspection.feed(data)
    first = inspection.formats(), inspection.dangers()
    assert first[0]
    assert all(first[1])
    assert (inspection.formats(), inspection.dangers()) == first


@given(mutants(), st.integers(0, 511))
def test_nothing_shorter_than_a_sector_passes_for_more_than_raw(data: bytes, length: int) -> None:
    formats, dangers = told(data[:length])
    assert formats == {"raw"} or dangers
