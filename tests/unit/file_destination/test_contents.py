"""A landed file is the whole verified image, or there is none."""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.images import qcow2
from tests.unit.file_destination.landings import CHUNK, DATA, Opener, associated, image_of

from lading import Digest, Form, Mismatched, Refusal, Shipped, TargetFailed, Unsupported, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.pipeline import BUFFERS
from lading.adapters.stream.sources import ResumePoint, Source, StreamSource


def test_the_target_holds_the_very_bytes_and_only_its_owner_reads_them(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    landing = destination.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy")).unwrap()
    assert (folder / "vm").read_bytes() == DATA
    assert (folder / "vm").stat().st_mode & 0o7777 == 0o600
    assert (landing.size, landing.method, landing.present) == (len(DATA), "copy", False)
    assert os.listdir(folder) == ["vm"]


def test_only_what_was_compared_with_the_catalog_is_verified(folder: Path, opening: Callable[[bytes], Opener]) -> None:
    promised, silent = image_of(DATA), image_of(DATA, digest=None)
    md5 = Digest("md5", hashlib.md5(DATA, usedforsecurity=False).hexdigest())
    for position, (verify, image, digest) in enumerate(
        [
            (True, promised, promised.digest),
            (True, silent, None),
            (True, replace(silent, checksum=md5.value), md5),
            (False, promised, None),
        ]
    ):
        work = Work(str(folder / str(position)), image)
        landing = (
            FileDestination(MemoryVerifiedFiles(), Rules(verify=verify))
            .fetch(work, SourceOpener(opening(DATA), "copy"))
            .unwrap()
        )
        assert (landing.verified, landing.digest) == (digest is not None, digest)


def test_an_image_without_a_digest_is_refused_if_so_configured(
    folder: Path, opening: Callable[[bytes], Opener]
) -> None:
    destination = FileDestination(MemoryVerifiedFiles(), Rules(allow_unverified=False))
    refused = destination.fetch(
        Work(str(folder / "vm"), image_of(DATA, digest=None)), SourceOpener(opening(DATA), "copy")
    ).failure()
    assert "landing.allow_unverified is false" in str(refused)
    assert os.listdir(folder) == []
    assert (
        destination.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy"))
        .unwrap()
        .verified
    )


@pytest.mark.parametrize(
    ("described", "data", "word"),
    [
        ({"digest": Digest("sha256", "0" * 64)}, DATA, "digest"),
        ({"size": len(DATA) + 1}, DATA, "size mismatch"),
        ({"size": len(DATA) - 1}, DATA, "size mismatch"),
        ({"disk_format": "qcow2"}, DATA, "found raw"),
        ({"disk_format": "raw"}, b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(600), "found qcow2"),
    ],
)
def test_bytes_that_are_not_the_image_are_refused_and_nothing_is_left(
    folder: Path, opening: Callable[[bytes], Opener], described: dict[str, object], data: bytes, word: str
) -> None:
    work = Work(str(folder / "vm"), image_of(data, **described))
    refused = FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening(data), "copy")).failure()
    assert isinstance(refused, Mismatched)
    assert word in str(refused)
    assert os.listdir(folder) == []


def test_a_format_is_not_looked_for_inside_another_container(folder: Path, opening: Callable[[bytes], Opener]) -> None:
    work = Work(str(folder / "vm"), image_of(DATA, disk_format="vmdk", container_format="ova"))
    assert isinstance(FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening(DATA), "copy")), Success)


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"digest": Digest("no-such-hash", "00")}, "is a no-such-hash, which cannot be computed here"),
        ({"digest": Digest("shake_128", "00")}, "is a shake_128, which cannot be computed here"),
        ({"digest": Digest("sha512", "ab" * 32)}, "is no sha512: expected 128 hex digits, got abababababab…"),
        ({"digest": Digest("sha256", "ab" * 64)}, "is no sha256: expected 64 hex digits, got abababababab…"),
        ({"digest": Digest("sha256", "xy" * 32)}, "is no sha256: expected 64 hex digits, got xyxyxyxyxyxy…"),
        ({"digest": Digest("sha256", "ab" * 32 + "\n")}, "is no sha256"),
        ({"digest": None, "checksum": "-"}, "is no md5: expected 32 hex digits, got -"),
    ],
)
def test_an_impossible_digest_is_refused_before_anything_is_read(
    folder: Path, described: dict[str, object], words: str
) -> None:
    def opened(_: ResumePoint) -> Result[Source, Refusal]:
        raise AssertionError

    work = Work(str(folder / "vm"), image_of(DATA, **described))
    for refused in (
        FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opened, "copy")).failure(),
        FileDestination(MemoryVerifiedFiles()).preview(work, SourceOpener(opened, plan=str)).failure(),
    ):
        assert isinstance(refused, Unsupported)
        assert words in str(refused)


def test_an_impossible_digest_is_no_matter_if_none_is_compared(
    folder: Path, opening: Callable[[bytes], Opener]
) -> None:
    work = Work(str(folder / "vm"), image_of(DATA, digest=Digest("sha512", "ab")))
    lax = FileDestination(MemoryVerifiedFiles(), Rules(verify=False))
    assert not lax.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap().verified


class Interrupt:
    """An observer that is interrupted, as by Ctrl-C."""

    def progress(self, done: int, total: int | None) -> None:
        if done > CHUNK:
            raise KeyboardInterrupt


def test_an_interrupted_transfer_leaves_no_file_and_no_thread(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        destination.fetch(
            Work(str(folder / "vm"), image_of(DATA), observer=Interrupt()), SourceOpener(opening(DATA), "copy")
        )
    assert os.listdir(folder) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("form", [Form(size=len(DATA) - 1), Form(fill=True)])
def test_a_form_that_a_file_cannot_have_leaves_nothing(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener], form: Form
) -> None:
    work = Work(str(folder / "vm"), image_of(DATA), form=form)
    assert isinstance(
        destination.fetch(work, SourceOpener(opening(DATA), "copy")).failure(), Unsupported | TargetFailed
    )
    assert os.listdir(folder) == []


def test_a_raw_image_grows_by_a_hole(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target = folder / "vm"
    work = Work(str(target), image_of(DATA), form=Form(size=16 << 20))
    landing = destination.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap()
    assert (landing.size, landing.virtual_size, landing.format) == (16 << 20, 16 << 20, "raw")
    assert landing.shipped == Shipped("raw", len(DATA), landing.shipped and landing.shipped.digest)
    with target.open("rb") as file:
        assert file.read(len(DATA) + 10) == DATA + bytes(10)
    assert target.stat().st_blocks * 512 < 1 << 20
    recorded = associated(target, landing, image_of(DATA))
    assert destination.verify(Work(str(target), association=recorded)).unwrap().recorded_in(recorded) == recorded


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def progress(self, done: int, total: int | None) -> None:
        self.told.append(done)


def test_progress_never_goes_backwards_and_ends_with_the_whole(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.adapters.stream.sparse._MOST_AT_ONCE", CHUNK)
    watch = Watch()
    destination.fetch(
        Work(str(folder / "vm"), image_of(DATA), observer=watch), SourceOpener(opening(DATA), "copy")
    ).unwrap()
    assert len(watch.told) > 2
    assert watch.told == sorted(watch.told)
    assert watch.told[-1] == len(DATA)


class Counted:
    """A stream that tells how far it was read."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.position = 0

    def readinto(self, buffer: memoryview) -> int:
        piece = self._data[self.position : self.position + len(buffer)]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("front", "declared", "word"),
    [
        (b"LZIP\1\x0c", "raw", "compressed by lzip"),
        (qcow2(backing=b"/etc/passwd"), "qcow2", "backing file"),
        (qcow2(), "raw", "found qcow2"),
    ],
)
def test_an_image_whose_beginning_rules_it_out_is_not_read_to_its_end(
    folder: Path, front: bytes, declared: str, word: str
) -> None:
    data = front + bytes(CHUNK * 2 * BUFFERS)
    stream = Counted(data)
    source = StreamSource(stream, len(data))
    image = image_of(data, disk_format=declared)
    refused = FileDestination(MemoryVerifiedFiles()).fetch(
        Work(str(folder / "vm"), image), SourceOpener(lambda _: Success(source), "copy")
    )
    assert isinstance(refused.failure(), Mismatched)
    assert word in str(refused.failure())
    assert stream.position < len(data)
    assert os.listdir(folder) == []
