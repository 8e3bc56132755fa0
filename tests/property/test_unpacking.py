"""Laws of unpacking: it gives the image's bytes, or a refusal; and it always ends."""

import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.packed import COMPRESS, LIMITS, Pieces, contents, opened, refusal_of, source_of, tar_of, zip_of

from lading.adapters.formats.unpacking.unpacked import HEAD, Limits, Unpacked, packing
from lading.adapters.stream.errors import Refused

STARTS = [*(compress(b"disk")[:12] for compress in COMPRESS.values()), tar_of(("a.img", b"x" * 9))[:512], b"PK\3\4"]


def plains() -> SearchStrategy[bytes]:
    """Bytes of a disk: data and runs of zeros. They do not begin like a packed file."""
    runs = st.one_of(st.binary(max_size=300), st.integers(0, 9000).map(bytes))
    return st.lists(runs, max_size=5).map(b"".join).filter(lambda data: packing(data[:HEAD]) is None)


def compressions() -> SearchStrategy[Callable[[bytes], bytes]]:
    return st.sampled_from([COMPRESS[name] for name in sorted(COMPRESS)])


def cuts() -> SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, 2000), max_size=8).map(tuple)


def members(compress: Callable[[bytes], bytes], plain: bytes, at: tuple[int, ...]) -> bytes:
    """The bytes as several members one after the other."""
    places = [0, *sorted(min(place, len(plain)) for place in at), len(plain)]
    return b"".join(compress(plain[start:end]) for start, end in pairwise(places))


@given(plains(), compressions(), cuts(), cuts())
def test_any_members_in_any_pieces_give_the_same_bytes(
    plain: bytes, compress: Callable[[bytes], bytes], at: tuple[int, ...], pieces: tuple[int, ...]
) -> None:
    assert opened(Pieces(members(compress, plain, at), pieces)) == plain


@given(plains(), st.lists(compressions(), max_size=2), st.lists(compressions(), max_size=1), cuts())
def test_any_nesting_gives_the_same_bytes(
    plain: bytes,
    outer: list[Callable[[bytes], bytes]],
    inner: list[Callable[[bytes], bytes]],
    pieces: tuple[int, ...],
) -> None:
    packed = plain
    for compress in inner:
        packed = compress(packed)
    packed = tar_of(("a.md", b"-"), ("disk", packed or b"\0"))
    for compress in outer:
        packed = compress(packed)
    assert opened(Pieces(packed, pieces)) == plain or (plain == b"" and not inner)


@given(plains(), compressions(), st.data())
def test_a_truncated_member_is_a_refusal(plain: bytes, compress: Callable[[bytes], bytes], data: st.DataObject) -> None:
    packed = compress(plain)
    length = data.draw(st.integers(20, max(len(packed) - 1, 20)))
    if length < len(packed) and packing(packed[:length]) is not None:
        assert "incomplete" in refusal_of(packed[:length])


@given(plains(), compressions(), st.binary(min_size=1, max_size=40).filter(any))
def test_other_bytes_after_the_end_are_a_refusal(
    plain: bytes, compress: Callable[[bytes], bytes], garbage: bytes
) -> None:
    assert refusal_of(compress(plain) + garbage)


@example(bytes(509), tarfile.USTAR_FORMAT, (), [("a.md", b"-"), ("b.ovf.sha256", b"-"), ("c.img", None)])
@given(
    plains(), st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), cuts(),
    st.permutations([("a.md", b"-"), ("b.ovf.sha256", b"-"), ("c.img", None)]),
)  # fmt: skip
def test_the_disk_is_found_at_any_place_of_an_archive(
    plain: bytes, form: int, pieces: tuple[int, ...], order: list[tuple[str, bytes | None]]
) -> None:
    plain += b"end"
    packed = tar_of(*((name, plain if data is None else data) for name, data in order), form=form)
    assert opened(Pieces(packed, pieces)) == plain
    length = (len(packed.rstrip(b"\0")) - 1) // 512 * 512  # without the last block that has data
    assert refusal_of(packed[:length])
    with tempfile.TemporaryDirectory() as folder:
        both = ((name, plain if data is None else data) for name, data in order)
        with closing(zip_of(Path(folder) / "x", *both)) as source:
            assert opened(source) == plain


@given(plains(), compressions(), st.integers(0, 20_000))
def test_no_more_than_the_limit_comes_out(plain: bytes, compress: Callable[[bytes], bytes], most: int) -> None:
    packed = compress(plain)
    if most >= len(plain):
        assert opened(packed, limits=Limits(most)) == plain
    else:
        assert "max_unpacked" in refusal_of(packed, limits=Limits(most))


@pytest.mark.parametrize("start", STARTS)
@given(rest=st.binary(max_size=3000), pieces=cuts())
def test_whatever_follows_a_packed_files_first_bytes_it_ends(
    start: bytes, rest: bytes, pieces: tuple[int, ...]
) -> None:
    data = start + rest
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").write_bytes(data)
        with closing(source_of(Path(folder) / "x")) as source:
            assert outcome(Unpacked(source, LIMITS)) == outcome(Unpacked(Pieces(data, pieces), LIMITS)) or (
                start == b"PK\3\4"
            )


def outcome(unpacked: Unpacked) -> object:
    try:
        return contents(unpacked)
    except Refused as refused:
        return refused.refusal.reason.partition(":")[0]
