"""Compressed images: all members are read, and nothing but members."""

import lzma
import random
import sys
import tracemalloc

import pytest
from backports import zstd
from tests.packed import COMPRESS, LIMITS, Pieces, contents, opened, refusal_of

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.unpacking.decompression import COMPRESSIONS
from lading.adapters.formats.unpacking.unpacked import Unpacked
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Unconfigured

PLAIN = random.Random(1).randbytes(20_000) + bytes(300_000) + b"disk" * 5_000
KINDS = sorted(COMPRESS)


def test_every_compression_that_can_be_unpacked_is_tested() -> None:
    assert set(KINDS) == set(COMPRESSIONS)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryCompression:
    def test_all_members_are_the_image(self, kind: str) -> None:
        compress = COMPRESS[kind]
        unpacked = Unpacked(Pieces(compress(PLAIN) + compress(b"") + compress(b"end")), LIMITS)
        assert contents(unpacked) == PLAIN + b"end"
        assert unpacked.layers == (kind,)
        assert unpacked.member is None

    def test_an_incomplete_file_is_refused(self, kind: str) -> None:
        packed = COMPRESS[kind](PLAIN)
        for length in (len(packed) - 1, len(packed) // 2):
            assert f"its {kind} data is incomplete: it ends at byte {length}" in refusal_of(packed[:length])

    def test_a_damaged_file_is_refused(self, kind: str) -> None:
        packed = bytearray(COMPRESS[kind](PLAIN))
        packed[9_000] ^= 1
        assert f"its {kind} data is damaged" in refusal_of(bytes(packed))

    @pytest.mark.parametrize("garbage", [b"x", b"\n", bytes(4096) + b"x", b"\1\2\3\4\5\6\7\10"])
    def test_other_bytes_after_the_end_are_refused(self, kind: str, garbage: bytes) -> None:
        packed = COMPRESS[kind](PLAIN)
        assert f"other bytes follow its {kind} data, from byte {len(packed)}" in refusal_of(packed + garbage) or (
            f"from byte {len(packed) + 4096}" in refusal_of(packed + garbage)
        )

    def test_a_bomb_is_refused_at_the_limit(self, kind: str) -> None:
        limits = LIMITS._replace(most=len(PLAIN) - 1)
        assert refusal_of(COMPRESS[kind](PLAIN), limits=limits) == (
            f"the disk in the packed image is too large: expected at most {exact_size(len(PLAIN) - 1)}, found more; "
            "[landing] max_size and max_unpacked are the limits"
        )

    def test_no_more_than_four_layers_are_unpacked(self, kind: str) -> None:
        packed = b"disk"
        for _ in range(4):
            packed = COMPRESS[kind](packed)
        assert opened(packed) == b"disk"
        assert "packed more than 4 times" in refusal_of(COMPRESS[kind](packed))

    def test_an_empty_file_in_it_is_an_empty_image(self, kind: str) -> None:
        assert opened(COMPRESS[kind](b"")) == b""


@pytest.mark.parametrize(("kind", "zeros"), [("gz", 1), ("gz", 512), ("xz", 4), ("xz", 8192)])
def test_padding_with_zeros_is_skipped_where_the_format_has_it(kind: str, zeros: int) -> None:
    packed = COMPRESS[kind](PLAIN)
    assert opened(packed + bytes(zeros)) == PLAIN
    assert opened(packed + bytes(zeros) + packed) == PLAIN * 2


@pytest.mark.parametrize(("kind", "zeros"), [("bz2", 4), ("xz", 3), ("zst", 4), ("lz4", 4)])
def test_other_padding_is_refused(kind: str, zeros: int) -> None:
    assert "other bytes follow" in refusal_of(COMPRESS[kind](PLAIN) + bytes(zeros))


@pytest.mark.parametrize("kind", ["zst", "lz4"])
def test_frames_without_data_are_skipped(kind: str) -> None:
    skippable = b"\x5a\x2a\x4d\x18\5\0\0\0notes"
    assert opened(COMPRESS[kind](b"disk") + skippable + COMPRESS[kind](b"end") + skippable) == b"diskend"


def test_gzip_is_unpacked_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    packed = COMPRESS["gz"](PLAIN)
    assert opened(packed + packed + bytes(7)) == PLAIN * 2
    for refused, reason in (
        (packed[:-1], "incomplete"),
        (packed + b"x", "other bytes"),
        (packed[:-5] + b"12345", "damaged"),
    ):
        assert reason in refusal_of(refused)


@pytest.mark.parametrize(("kind", "package", "module"), [
    ("zst", "backports.zstd", "backports"), ("lz4", "lz4", "lz4.frame"),
])  # fmt: skip
def test_a_missing_package_is_named(kind: str, package: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = COMPRESS[kind](PLAIN)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Refused) as refused:
        opened(packed)
    expected = f"it is {kind} data, and {package} is not installed: pip install 'lading[unpack]'"
    assert refused.value.refusal == Unconfigured(expected)


def test_a_window_beyond_the_memory_limit_is_refused() -> None:
    # Its header promises a window of 2 GiB: RFC 8878, 3.1.1.1.2.
    window = b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + b"\x01\0\0" + bytes(100)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    for packed in (window, lzma.compress(PLAIN, filters=filters)):
        limits = LIMITS._replace(memory=1 << 20)
        assert "data needs more than 1 MiB of memory" in refusal_of(packed, limits=limits)
    assert opened(lzma.compress(PLAIN, preset=9)) == PLAIN
    assert opened(zstd.compress(PLAIN, level=19)) == PLAIN


def test_a_bomb_takes_no_memory_beyond_a_few_buffers() -> None:
    bomb = COMPRESS["zst"](bytes(32 << 20))
    tracemalloc.start()
    assert "max_unpacked" in refusal_of(bomb, limits=LIMITS._replace(most=8 << 20))
    assert tracemalloc.get_traced_memory()[1] < 24 << 20  # of which 8 are kept by the test
    tracemalloc.stop()


def test_a_file_of_many_tiny_members_is_unpacked_whole() -> None:
    assert opened(COMPRESS["bz2"](b"") * 300 + COMPRESS["bz2"](b"disk")) == b"disk"
    assert opened(COMPRESS["gz"](b"x") * 300) == b"x" * 300


def test_a_disk_that_is_not_packed_stays_as_it_is() -> None:
    unpacked = Unpacked(Pieces(PLAIN, cuts=(1, 100, 4096, 200_000)), LIMITS)
    assert contents(unpacked) == PLAIN
    assert unpacked.layers == ()


def test_chunks_begin_at_whole_buffers() -> None:
    packed = COMPRESS["gz"](random.Random(2).randbytes(1 << 20) + bytes(2 << 20))
    pieces = Pieces(packed, cuts=tuple(range(0, len(packed), 100_001)))
    chunks = list(Unpacked(pieces, LIMITS).chunks(lambda: bytearray(1 << 20)))
    assert [(each.offset, each.length) for each in chunks] == [(place << 20, 1 << 20) for place in range(3)]
