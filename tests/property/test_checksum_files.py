"""Laws of the reading of checksum files."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from lading import Digest
from lading.adapters.catalogs.checksum_files import LENGTHS, Checksums, checksums_of

NAMES = st.from_regex(r"[A-Za-z0-9_+~][A-Za-z0-9._+~-]{0,30}", fullmatch=True).filter(lambda name: "-----" not in name)
HEX = st.sampled_from("0123456789abcdefABCDEF")
DIGESTS = st.sampled_from([*LENGTHS.items()]).flatmap(
    lambda item: st.text(HEX, min_size=item[1], max_size=item[1]).map(lambda value: Digest(item[0], value))
)


def coreutils(digest: Digest, name: str) -> str:
    return f"{digest.value}  {name}"


def binary(digest: Digest, name: str) -> str:
    return f"{digest.value} *{name}"


def one_blank(digest: Digest, name: str) -> str:
    return f"{digest.value} {name}"


def bsd(digest: Digest, name: str) -> str:
    return f"{digest.algorithm.upper()} ({name}) = {digest.value}"


FORMATS = st.sampled_from([coreutils, binary, one_blank, bsd])


@given(st.dictionaries(NAMES, st.tuples(DIGESTS, FORMATS), min_size=1, max_size=5))
def test_each_listed_file_has_its_own_digest(files: dict[str, tuple[Digest, object]]) -> None:
    lines = [form(digest, name) for name, (digest, form) in files.items()]  # type: ignore[operator]  # a format
    for name, (digest, _) in files.items():
        assert checksums_of("\n".join(lines).encode(), name) == Checksums(digest)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), NAMES)
def test_any_bytes_give_checksums_or_nothing_or_an_error_of_value(content: bytes, name: str) -> None:
    with suppress(ValueError):
        found = checksums_of(content, name, alone=True)
        assert found is None or len(found.digest.value) == LENGTHS[found.digest.algorithm]


@given(NAMES, DIGESTS, DIGESTS)
def test_of_two_algorithms_the_stronger_is_taken(name: str, one: Digest, other: Digest) -> None:
    if one.algorithm != other.algorithm:
        found = checksums_of(f"{bsd(one, name)}\n{bsd(other, name)}".encode(), name)
        assert found == Checksums(max(one, other, key=lambda digest: LENGTHS[digest.algorithm]))
