"""Hashes by name, and the digest of what an image became."""

import hashlib
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.pipeline import is_successful

from lading.adapters.formats.audit import Audit, digest_flaw
from lading.adapters.formats.hashing import SparseHash, content_algorithm, new_hash
from lading.adapters.formats.scan import content_digest
from lading.adapters.stream.pipeline import Chunk
from lading.adapters.stream.sources import FileSource
from lading.ports.image import Digest

ABC = Digest("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85")
"""Of `abc`; BLAKE3's test vectors have it."""


@pytest.fixture
def _no_blake3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)


def test_an_audit_verifies_a_blake3() -> None:
    audit = Audit(None, ABC, None)
    audit.take(Chunk(0, 3, b"abc"))
    assert audit.digest == ABC
    assert is_successful(audit.verdict(3))


def test_a_blake3_has_64_digits() -> None:
    assert digest_flaw(ABC) is None
    assert digest_flaw(Digest("blake3", "ab")) == "is no blake3: expected 64 hex digits, got ab"


@pytest.mark.usefixtures("_no_blake3")
def test_without_its_package_a_blake3_cannot_be_computed() -> None:
    assert digest_flaw(ABC) == "is a blake3, which cannot be computed here: pip install 'lading[convert]'"
    with pytest.raises(ValueError, match="blake3 is not installed"):
        new_hash("blake3")


@pytest.mark.usefixtures("_no_blake3")
def test_without_blake3_content_is_hashed_by_sha256() -> None:
    assert content_algorithm() == "sha256_sparse"


@given(st.lists(st.tuples(st.sampled_from([1, 100, 4095, 4096, 4097, 20_000]), st.booleans()), max_size=8), st.data())
def test_a_sparse_hash_depends_on_the_bytes_alone(pieces: list[tuple[int, bool]], data: st.DataObject) -> None:
    """Not on which zeros are holes, and not on the pieces in which they come."""
    content = b"".join((b"\1" if is_data else b"\0") * length for length, is_data in pieces)
    whole, holes, cut = (new_hash("sha256_sparse") for _ in range(3))
    whole.update(memoryview(content))
    assert isinstance(holes, SparseHash)
    for length, is_data in pieces:
        if is_data:
            holes.update(memoryview(b"\1" * length))
        else:
            holes.update_zeros(length)
    at = data.draw(st.integers(0, len(content)))
    cut.update(memoryview(content[:at]))
    cut.update(memoryview(content[at:]))
    assert whole.hexdigest() == holes.hexdigest() == cut.hexdigest() == whole.hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"\1" * 4096 + bytes(4096), bytes(4096) + b"\1" * 4096),
        (b"\1" * 4096 + bytes(4096), b"\1" * 4096),
        (b"\1" * 8192, b"\1" * 4096 + bytes(4096) + b"\1" * 4096),
        (bytes(4096), bytes(8192)),
        (bytes(4096), bytes(4097)),
        (b"\1" * 4096 + bytes(99) + b"\1", b"\1" * 4096 + bytes(98) + b"\1\0"),
    ],
)
def test_sparse_hashes_of_other_bytes_differ(one: bytes, other: bytes) -> None:
    hashes = [new_hash("sha256_sparse") for _ in range(2)]
    for each, content in zip(hashes, (one, other), strict=True):
        each.update(memoryview(content))
    assert hashes[0].hexdigest() != hashes[1].hexdigest()


def test_a_sparse_hash_is_that_of_the_documented_text() -> None:
    sparse = new_hash("sha256_sparse")
    sparse.update(memoryview(b"\1" * 4096 + bytes(8192) + b"\2" * 4096 + b"end"))

    def plain(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    data, runs, tail = plain(b"\1" * 4096 + b"\2" * 4096), plain(b"0-1,"), plain(b"end")
    text = f"{data} {runs} 3 {tail} {4 * 4096 + 3}"
    assert sparse.hexdigest() == plain(text.encode())


def test_holes_count_as_zeros(tmp_path: Path) -> None:
    content = bytes(3 << 20) + b"data" + bytes(100)
    with (tmp_path / "disk").open("w+b") as file:
        file.seek(3 << 20)
        file.write(b"data")
        file.truncate(len(content))
        file.flush()
        reached: list[int] = []
        source = FileSource(os.dup(file.fileno()))
        digest = content_digest(source, reached.append)
        source.close()
    expected = new_hash(content_algorithm())
    expected.update(memoryview(content))
    assert digest == Digest(content_algorithm(), expected.hexdigest())
    assert reached[-1] == len(content)


def test_a_forked_child_hashes_as_its_parent_does() -> None:
    """The threads of BLAKE3 do not exist in the child."""
    data = memoryview(bytes(range(256)) * (1 << 13))

    def digest() -> str:
        running = new_hash("blake3")
        running.update(data)
        return running.hexdigest()

    expected = digest()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(60)  # ends a child that waits for ever
        os.write(writing, digest().encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        assert told.read() == expected
    assert os.waitpid(child, 0) == (child, 0)
