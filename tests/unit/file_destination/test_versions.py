"""A version that its storage never changes is hashed once."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.unit.file_destination.landings import DATA, image_of

from lading import Digest, Mismatched, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import StreamSource
from lading.ports.verified_files import StoredVersion

VERSION = StoredVersion("mem:1@2", len(DATA))
OTHER = DATA[:-1] + bytes([DATA[-1] ^ 1])
"""Whatever is read passes for the version's bytes: a test sees by these whether they were hashed."""


class Versioned(StreamSource):
    """A stream of a version."""

    def __init__(self, data: bytes, identity: str | None = VERSION.identity) -> None:
        super().__init__(io.BytesIO(data), len(data))
        self.identity = identity


def opener(data: bytes, identity: str | None = VERSION.identity) -> SourceOpener:
    return SourceOpener(lambda _: Success(Versioned(data, identity)), "export")


@pytest.fixture
def verified() -> MemoryVerifiedFiles:
    return MemoryVerifiedFiles()


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(str(tmp_path / "vm"), image_of(DATA))


def test_a_verified_version_is_not_hashed_again(verified: MemoryVerifiedFiles, work: Work, tmp_path: Path) -> None:
    first = FileDestination(verified).fetch(work, opener(DATA)).unwrap()
    again = replace(work, target=str(tmp_path / "again"))
    second = FileDestination(verified).fetch(again, opener(OTHER)).unwrap()
    assert (second.digest, second.verified, second.inspected_by) == (first.digest, True, first.inspected_by)


def test_a_version_is_hashed_again_when_that_is_asked_for(verified: MemoryVerifiedFiles, work: Work) -> None:
    assert work.image is not None
    assert work.image.expected_digest is not None
    verified.remember(VERSION, work.image.expected_digest)
    refused = FileDestination(verified).fetch(replace(work, reverify=True), opener(OTHER)).failure()
    assert isinstance(refused, Mismatched)


def test_bytes_without_a_version_are_hashed_each_time(verified: MemoryVerifiedFiles, work: Work) -> None:
    FileDestination(verified).fetch(work, opener(DATA, None)).unwrap()
    refused = FileDestination(verified).fetch(replace(work, target=f"{work.target}2"), opener(OTHER, None)).failure()
    assert isinstance(refused, Mismatched)


def test_a_version_with_another_digest_is_refused_unread(verified: MemoryVerifiedFiles, work: Work) -> None:
    assert work.image is not None
    assert work.image.expected_digest is not None
    verified.remember(VERSION, replace(work.image.expected_digest, value="ab" * 32))
    for outcome in (
        FileDestination(verified).fetch(work, opener(DATA)),
        FileDestination(verified).preview(work, opener(DATA)),
    ):
        refused = outcome.failure()
        assert isinstance(refused, Mismatched)
        assert "digest mismatch" in str(refused)


@pytest.mark.parametrize("rules", [Rules(), Rules(verify=False)])
def test_only_a_version_that_was_verified_is_remembered(
    verified: MemoryVerifiedFiles, work: Work, rules: Rules
) -> None:
    FileDestination(verified, rules).fetch(work, opener(OTHER))
    assert verified.digest(VERSION, "sha256") == Success(None)


def test_a_version_of_another_size_is_another_version(verified: MemoryVerifiedFiles, work: Work) -> None:
    digest = Digest("sha256", "ab" * 32)
    verified.remember(VERSION, digest)
    assert verified.digest(VERSION._replace(size=1), "sha256") == Success(None)
    FileDestination(verified).fetch(work, opener(DATA)).failure()
    verified.remember(VERSION._replace(size=1), digest)
    FileDestination(verified).fetch(work, opener(DATA)).unwrap()
