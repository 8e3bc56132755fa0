"""Landing on the file systems that hosts have."""

import fcntl
import hashlib
import io
import os
import struct
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success

from lading import Digest, Image, Landing, Location, Mismatched, Refusal, TargetFailed, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.file import FileHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import FileSource, ResumePoint, Source, StreamSource

MEBIBYTE = 1 << 20


def sparse_disk(path: Path) -> Image:
    """64 MiB of which 3 are data."""
    with path.open("wb") as disk:
        disk.truncate(64 * MEBIBYTE)
        for place in (0, 20, 63):
            disk.seek(place * MEBIBYTE)
            disk.write(os.urandom(MEBIBYTE))
        disk.flush()
        os.fsync(disk.fileno())
    with path.open("rb") as disk:
        digest = Digest("sha256", hashlib.file_digest(disk, "sha256").hexdigest())
    return Image("id", size=64 * MEBIBYTE, disk_format="raw", digest=digest)


def settled(path: Path) -> None:
    """Wait until the file's ctime, which can't be set, lies in the past as those of a catalog's files do."""
    while path.stat().st_ctime_ns > time.time_ns() - 2_100_000_000:
        time.sleep(0.1)


@contextmanager
def reads_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes that are read through preadv while the block runs."""
    counts: list[int] = []
    preadv = os.preadv

    def counting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        counts.append(preadv(descriptor, buffers, offset))
        return counts[-1]

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", counting)
        yield counts


def fetch(handler: FileHandler, image: Image, source: Path, target: Path) -> Landing:
    return handler.fetch(Work(str(target), image, Location(f"file://{source}"))).unwrap()


def shares_blocks(one: Path, other: Path) -> bool:
    """Whether the file system says that an extent of one file belongs to the other too (FS_IOC_FIEMAP)."""

    def physical(path: Path) -> set[int]:
        with path.open("rb") as file:
            request = bytearray(struct.pack("=QQLLLL", 0, 1 << 62, 1, 0, 32, 0) + bytes(32 * 56))
            fcntl.ioctl(file, 0xC020660B, request)
            count = struct.unpack_from("=L", request, 20)[0]
            return {struct.unpack_from("=Q", request, 32 + 56 * n + 8)[0] for n in range(count)}

    return bool(physical(one)) and physical(one) == physical(other)


def test_a_file_that_grows_behind_its_clone_is_refused(reflinking: Path, tmp_path: Path) -> None:
    source, target = reflinking / f"growing-{tmp_path.name}", reflinking / f"grown-{tmp_path.name}"
    source.write_bytes(os.urandom(MEBIBYTE))

    class Writer:
        def progress(self, done: int, total: int | None) -> None:
            with source.open("ab") as file:
                file.write(b"more")

    work = Work(str(target), Image("id", disk_format="raw"), Location(f"file://{source}"), observer=Writer())
    refused = FileHandler([reflinking], FileDestination(MemoryVerifiedFiles())).fetch(work).failure()
    assert "changed while it was copied" in str(refused)
    assert not target.exists()


def test_where_the_file_system_clones_the_target_shares_the_source_s_blocks(reflinking: Path, tmp_path: Path) -> None:
    source, target = reflinking / "source", reflinking / f"target-{tmp_path.name}"
    image = sparse_disk(source)
    landing = fetch(FileHandler([reflinking], FileDestination(MemoryVerifiedFiles())), image, source, target)
    assert (landing.method, landing.verified, landing.digest) == ("reflink", True, image.digest)
    assert target.read_bytes() == source.read_bytes()
    assert shares_blocks(source, target)


def test_a_clone_is_verified_too(reflinking: Path, tmp_path: Path) -> None:
    source, target = reflinking / "source", reflinking / f"target-{tmp_path.name}"
    image = replace(sparse_disk(source), digest=Digest("sha256", "0" * 64))
    handler = FileHandler([reflinking], FileDestination(MemoryVerifiedFiles()))
    refused = handler.fetch(Work(str(target), image, Location(f"file://{source}")))
    assert isinstance(refused.failure(), Mismatched)
    assert not target.exists()


def test_a_file_that_was_verified_is_cloned_without_being_read_until_it_changes(
    reflinking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = reflinking / "source"
    image = sparse_disk(source)
    settled(source)
    handler = FileHandler([reflinking], FileDestination(MemoryVerifiedFiles()))
    read: list[int] = []
    for name in ("first", "second"):
        with reads_counted(monkeypatch) as counts:
            landing = fetch(handler, image, source, reflinking / f"{name}-{tmp_path.name}")
        assert landing.verified
        read.append(sum(counts))
    assert read[0] >= 3 * MEBIBYTE
    assert read[1] <= MEBIBYTE, "only what the format's inspection looks at"

    with reads_counted(monkeypatch) as counts:
        again = Work(str(reflinking / f"again-{tmp_path.name}"), image, Location(f"file://{source}"), reverify=True)
        assert handler.fetch(again).unwrap().verified
    assert sum(counts) >= 3 * MEBIBYTE

    with source.open("r+b") as disk:
        disk.seek(20 * MEBIBYTE)
        disk.write(b"changed")
    refused = handler.fetch(Work(str(reflinking / f"third-{tmp_path.name}"), image, Location(f"file://{source}")))
    assert isinstance(refused.failure(), Mismatched)


@pytest.mark.parametrize("verify", [True, False])
def test_a_copy_has_no_more_blocks_than_its_source(tmp_path: Path, verify: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    image = sparse_disk(source)
    landing = fetch(
        FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles(), Rules(verify=verify))), image, source, target
    )
    assert landing.method == "copy"
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks


@pytest.mark.parametrize("verify", [True, False])
def test_a_full_disk_ends_the_request_and_nothing_is_left_on_it(small_disk: Path, tmp_path: Path, verify: bool) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(12 * MEBIBYTE))
    handler = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles(), Rules(verify=verify)))
    image = Image("id", checksum="0" * 32)
    refused = handler.fetch(Work(str(small_disk / "vm"), image, Location(f"file://{source}"))).failure()
    assert isinstance(refused, TargetFailed)
    assert "expected 12.0 MiB free on the disk of" in str(refused)
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_that_a_disk_is_too_small_is_foreseen(small_disk: Path, tmp_path: Path, kind: str) -> None:
    source, data = tmp_path / "source", os.urandom(12 * MEBIBYTE)
    source.write_bytes(data)

    def opening(_: ResumePoint) -> Result[Source, Refusal]:
        if kind == "file":
            return Success(FileSource(os.open(source, os.O_RDONLY)))
        return Success(StreamSource(source.open("rb"), len(data)))

    transfer, work = FileDestination(MemoryVerifiedFiles()), Work(str(small_disk / "vm"), Image("id"))
    foreseen = transfer.preview(work, SourceOpener(opening, plan="brings {}".format))
    assert foreseen.failure() == transfer.fetch(work, SourceOpener(opening, "x")).failure()
    assert os.listdir(small_disk) == []


def test_a_sparse_image_may_land_where_its_size_does_not_fit(small_disk: Path) -> None:
    data = os.urandom(4096) + bytes(12 * MEBIBYTE)

    def opening(_: ResumePoint) -> Result[Source, Refusal]:
        return Success(StreamSource(io.BytesIO(data), len(data)))

    work = Work(str(small_disk / "vm"), Image("id"))
    refused = FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening, "x")).failure()
    assert "[landing] require_space = false" in str(refused)
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(require_space=False))
    assert isinstance(transfer.preview(work, SourceOpener(opening, plan=str)), Success)
    assert transfer.fetch(work, SourceOpener(opening, "x")).unwrap().size == len(data)
    assert (small_disk / "vm").stat().st_blocks * 512 <= MEBIBYTE


def test_a_sparse_file_needs_the_space_of_its_data_only(small_disk: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", small_disk / "vm"
    image = sparse_disk(source)
    handler = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles()))
    assert isinstance(handler.preview(Work(str(target), image, Location(f"file://{source}"))), Success)
    landing = fetch(handler, image, source, target)
    assert (landing.size, landing.verified) == (64 * MEBIBYTE, True)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 <= 4 * MEBIBYTE


def test_a_clone_is_foreseen_where_a_copy_would_not_fit(reflinking: Path) -> None:
    source = reflinking / "large"
    with source.open("wb") as disk:
        for _ in range(200):
            disk.write(os.urandom(MEBIBYTE))
        disk.flush()
        os.fsync(disk.fileno())
    free = os.statvfs(reflinking)
    assert free.f_bavail * free.f_frsize < 200 * MEBIBYTE
    try:
        handler = FileHandler([reflinking], FileDestination(MemoryVerifiedFiles()))
        work = Work(str(reflinking / "clone"), Image("id"), Location(f"file://{source}"))
        assert isinstance(handler.preview(work), Success)
        assert handler.fetch(work).unwrap().method == "reflink"
    finally:
        for each in (source, reflinking / "clone"):
            each.unlink(missing_ok=True)


def test_a_disk_that_becomes_full_ends_the_request_and_nothing_is_left_on_it(small_disk: Path) -> None:
    def endless(_: ResumePoint) -> Result[Source, Refusal]:
        return Success(StreamSource(io.BytesIO(os.urandom(12 * MEBIBYTE)), None))

    refused = (
        FileDestination(MemoryVerifiedFiles())
        .fetch(Work(str(small_disk / "vm"), Image("id")), SourceOpener(endless, "x"))
        .failure()
    )
    assert isinstance(refused, TargetFailed)
    assert "No space left" in str(refused)
    assert os.listdir(small_disk) == []


def test_a_move_to_another_file_system_copies_and_keeps_the_holes(small_disk: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "vm", small_disk / "vm"
    sparse_disk(source)
    data = source.read_bytes()
    transfer = FileDestination(MemoryVerifiedFiles())
    assert isinstance(transfer.move(Work(str(source)), str(target)), Success)
    assert not source.exists()
    assert target.read_bytes() == data
    assert target.stat().st_blocks * 512 <= 4 * MEBIBYTE


def test_a_move_to_a_full_file_system_leaves_everything_as_it_was(small_disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "vm"
    source.write_bytes(os.urandom(12 * MEBIBYTE))
    refused = FileDestination(MemoryVerifiedFiles()).move(Work(str(source)), str(small_disk / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert source.stat().st_size == 12 * MEBIBYTE
    assert os.listdir(small_disk) == []


def test_a_file_system_without_safe_names_is_refused_before_the_first_byte(exfat: Path, tmp_path: Path) -> None:
    opened: list[ResumePoint] = []

    def source(start: ResumePoint) -> Result[Source, Refusal]:
        opened.append(start)
        return Success(StreamSource(io.BytesIO(b"bytes"), 5))

    transfer, work = FileDestination(MemoryVerifiedFiles()), Work(str(exfat / "vm"), Image("id", size=5))
    (tmp_path / "vm").write_bytes(b"bytes")
    for refused in (
        transfer.fetch(work, SourceOpener(source, "x")),
        transfer.preview(work, SourceOpener(source, plan=lambda _: "would")),
        transfer.move(Work(str(tmp_path / "vm")), str(exfat / "vm")),
    ):
        assert isinstance(refused.failure(), TargetFailed)
        assert "neither hard links nor RENAME_NOREPLACE" in str(refused.failure())
    assert (opened, os.listdir(exfat), (tmp_path / "vm").exists()) == ([], [], True)


def test_what_may_be_replaced_can_be_published_on_every_file_system(exfat: Path) -> None:
    transfer, work = (
        FileDestination(MemoryVerifiedFiles()),
        Work(str(exfat / "forced"), Image("id", size=5), force=True),
    )
    for data in (b"first", b"again"):
        with closing(StreamSource(io.BytesIO(data), 5)) as source:
            landed = transfer.fetch(work, SourceOpener(lambda _, source=source: Success(source), "x"))  # type: ignore[misc]
        assert isinstance(landed, Success)
        assert (exfat / "forced").read_bytes() == data
    assert transfer.remove(Work(work.target)) == Success(None)
    assert os.listdir(exfat) == []


def test_a_target_that_cannot_be_moved_without_replacing_stays(exfat: Path) -> None:
    (exfat / "stays").write_bytes(b"bytes")
    refused = FileDestination(MemoryVerifiedFiles()).move(Work(str(exfat / "stays")), str(exfat / "moved")).failure()
    assert isinstance(refused, TargetFailed)
    assert "neither hard links nor RENAME_NOREPLACE" in str(refused)
    assert os.listdir(exfat) == ["stays"]
    (exfat / "stays").unlink()
