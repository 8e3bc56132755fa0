"""Hashes by name, and the digest of what an image became."""

import os
import sys
from pathlib import Path

import pytest
from returns.pipeline import is_successful

from lading.adapters.formats.audit import Audit, digest_flaw
from lading.adapters.formats.hashing import content_algorithm, new_hash
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
    assert content_algorithm() == "sha256"


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
    expected = new_hash("blake3")
    expected.update(memoryview(content))
    assert digest == Digest("blake3", expected.hexdigest())
    assert reached[-1] == len(content)
