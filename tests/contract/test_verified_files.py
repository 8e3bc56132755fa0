"""The contract of VerifiedFiles, over every adapter."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from returns.result import Success

from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.association import Fingerprint
from lading.ports.image import Digest
from lading.ports.verified_files import StoredVersion, VerifiedFiles


class Opening(Protocol):
    def __call__(self, folder: Path, *, keep: int = 100_000) -> VerifiedFiles: ...


def in_memory(folder: Path, *, keep: int = 100_000) -> VerifiedFiles:
    return MemoryVerifiedFiles(keep=keep)


def in_a_file(folder: Path, *, keep: int = 100_000) -> VerifiedFiles:
    return FileVerifiedFiles(Database(folder / "lading.db"), keep=keep)


ADAPTERS: Final[dict[str, Opening]] = {"memory": in_memory, "file": in_a_file}
DURABLE: Final = {"file": in_a_file}

FILE = Fingerprint(
    device=2049, inode=131, size=3, mtime_ns=1_767_225_600_000_000_000, ctime_ns=1_767_225_600_000_000_001,
    birth_ns=1_767_225_500_000_000_000,
)  # fmt: skip
VERSION = StoredVersion("rbd:f5/3/10ab@7", 3)
SHA256, SHA512 = Digest("sha256", "ab" * 32), Digest("sha512", "cd" * 64)


@pytest.fixture(params=ADAPTERS)
def opening(request: pytest.FixtureRequest) -> Opening:
    return ADAPTERS[request.param]


@pytest.fixture
def verified(opening: Opening, tmp_path: Path) -> VerifiedFiles:
    return opening(tmp_path)


def fingerprints() -> SearchStrategy[Fingerprint]:
    """Devices and inodes of all 64 bits, and times of file systems that count further than nanoseconds in 63."""
    unsigned, signed = st.integers(0, 2**64 - 1), st.integers(-(2**65), 2**65)
    return st.builds(Fingerprint, unsigned, unsigned, unsigned, signed, signed, st.none() | signed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fingerprints(), st.builds(Digest, st.text(), st.text()))
def test_the_digest_of_a_file_comes_back(verified: VerifiedFiles, file: Fingerprint, digest: Digest) -> None:
    assert verified.remember(file, digest) == Success(None)
    assert verified.digest(file, digest.algorithm) == Success(digest)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(StoredVersion, st.text(), st.integers(0, 2**64 - 1)), st.builds(Digest, st.text(), st.text()))
def test_the_digest_of_a_version_comes_back(verified: VerifiedFiles, version: StoredVersion, digest: Digest) -> None:
    assert verified.remember(version, digest) == Success(None)
    assert verified.digest(version, digest.algorithm) == Success(digest)


def test_a_version_that_differs_in_anything_is_another_version(verified: VerifiedFiles) -> None:
    verified.remember(VERSION, SHA256)
    for other in (VERSION._replace(identity="rbd:f5/3/10ab@8"), VERSION._replace(size=4)):
        assert verified.digest(other, "sha256") == Success(None)
    assert verified.digest(VERSION, "sha512") == Success(None)


def test_a_version_is_remembered_beside_files_and_the_oldest_is_evicted(opening: Opening, tmp_path: Path) -> None:
    verified = opening(tmp_path, keep=3)
    versions = [VERSION._replace(identity=str(number)) for number in range(5)]
    for version in versions:
        verified.remember(version, SHA256)
    known = [verified.digest(version, "sha256").unwrap() is not None for version in versions]
    assert known == [False, False, True, True, True]


def test_of_a_file_that_was_never_hashed_it_knows_nothing(verified: VerifiedFiles) -> None:
    assert verified.digest(FILE, "sha256") == Success(None)


def test_of_a_file_that_was_hashed_otherwise_it_knows_nothing(verified: VerifiedFiles) -> None:
    verified.remember(FILE, SHA512)
    assert verified.digest(FILE, "sha256") == Success(None)


def test_a_file_may_have_a_digest_of_each_algorithm(verified: VerifiedFiles) -> None:
    verified.remember(FILE, SHA256)
    verified.remember(FILE, SHA512)
    assert verified.digest(FILE, "sha256") == Success(SHA256)
    assert verified.digest(FILE, "sha512") == Success(SHA512)


def test_an_algorithm_goes_by_its_name_in_either_case(verified: VerifiedFiles) -> None:
    verified.remember(FILE, SHA256)
    assert verified.digest(FILE, "SHA256") == Success(SHA256)


@pytest.mark.parametrize("field", Fingerprint._fields)
def test_a_file_that_differs_in_anything_is_another_file(verified: VerifiedFiles, field: str) -> None:
    verified.remember(FILE, SHA256)
    assert verified.digest(FILE._replace(**{field: getattr(FILE, field) + 1}), "sha256") == Success(None)
    assert verified.digest(FILE._replace(**{field: getattr(FILE, field) + 2**64}), "sha256") == Success(None)


def test_a_file_whose_birth_is_not_known_is_another_file(verified: VerifiedFiles) -> None:
    """One that was hashed by an earlier version, say: it is hashed again."""
    verified.remember(FILE._replace(birth_ns=None), SHA256)
    assert verified.digest(FILE, "sha256") == Success(None)
    assert verified.digest(FILE._replace(birth_ns=None), "sha256") == Success(SHA256)


def test_what_a_changed_file_was_found_to_have_takes_the_place_of_what_it_had(verified: VerifiedFiles) -> None:
    changed, now = FILE._replace(ctime_ns=FILE.ctime_ns + 1), Digest("sha256", "ef" * 32)
    verified.remember(FILE, SHA256)
    verified.remember(changed, now)
    assert verified.digest(changed, "sha256") == Success(now)
    assert verified.digest(FILE, "sha256") == Success(None)


def test_the_oldest_make_room_for_the_newest(opening: Opening, tmp_path: Path) -> None:
    verified = opening(tmp_path, keep=3)
    files = [FILE._replace(inode=inode) for inode in range(5)]
    for file in files:
        verified.remember(file, SHA256)
    known = [verified.digest(file, "sha256").unwrap() is not None for file in files]
    assert known == [False, False, True, True, True]


def test_a_file_that_is_hashed_again_counts_as_new(opening: Opening, tmp_path: Path) -> None:
    verified = opening(tmp_path, keep=3)
    one, two, three = (FILE._replace(inode=inode) for inode in range(3))
    for file in (one, two, one, three):
        verified.remember(file, SHA256)
    assert verified.digest(one, "sha256") == Success(SHA256)
    assert verified.digest(three, "sha256") == Success(SHA256)


def test_what_one_thread_remembers_every_other_knows(verified: VerifiedFiles) -> None:
    files = [FILE._replace(inode=inode) for inode in range(64)]
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda file: verified.remember(file, SHA256), files)) == {Success(None)}
        found = list(threads.map(lambda file: verified.digest(file, "sha256"), files))
    assert found == [Success(SHA256)] * 64


@pytest.mark.parametrize("adapter", DURABLE)
def test_a_durable_one_knows_it_when_it_is_opened_again(adapter: str, tmp_path: Path) -> None:
    open_it: Callable[[Path], VerifiedFiles] = DURABLE[adapter]
    for content in (FILE, VERSION):
        open_it(tmp_path).remember(content, SHA256)
        assert open_it(tmp_path).digest(content, "sha256") == Success(SHA256)
