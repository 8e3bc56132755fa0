"""How bytes land: whole and audited, or not at all."""

import errno
import gzip
import hashlib
import io
import os
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from returns.result import Result, Success
from tests.images import qcow2

from lading import (
    Association,
    Digest,
    Image,
    Landing,
    Mismatched,
    Refusal,
    TargetFailed,
    TargetOccupied,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file import new_file, no_replace, relocation
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.target_state import is_intact
from lading.adapters.formats.scan import scan
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.pipeline import BUFFERS, CHUNK, SourceBroken
from lading.adapters.stream.safe_open import fingerprint, open_regular
from lading.adapters.stream.sources import FileSource, ResumePoint, Source, StreamSource

DATA = b"\xeb\x63\x90" + os.urandom(3 << 20) + bytes(1 << 20) + os.urandom(1000)


def image_of(data: bytes, **described: object) -> Image:
    known = Image("id", size=len(data), disk_format="raw", digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    return replace(known, **described)  # type: ignore[arg-type]  # fields by name


Opener = Callable[[ResumePoint], Result[Source, Refusal]]


@pytest.fixture(params=["anonymous", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where targets go: once by O_TMPFILE, once as on a file system or system without it."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms"


@pytest.fixture(params=["file", "stream"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Opener]:
    def source(data: bytes) -> Opener:
        if request.param == "stream":
            return lambda _: Success(StreamSource(io.BytesIO(data), len(data)))
        path = tmp_path / "source"
        path.write_bytes(data)
        return lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable)

    return source


@pytest.fixture(params=[True, False], ids=["verifying", "unverifying"])
def transfer(request: pytest.FixtureRequest) -> FileDestination:
    return FileDestination(MemoryVerifiedFiles(), Rules(verify=request.param))


def associated(target: Path, landing: Landing, image: Image | None) -> Association:
    return landing.recorded_in(Association(str(target), "file", image, None, datetime.now(UTC)))


def test_the_target_holds_the_very_bytes_and_only_its_owner_reads_them(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    landing = transfer.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy")).unwrap()
    assert (folder / "vm").read_bytes() == DATA
    assert (folder / "vm").stat().st_mode & 0o7777 == 0o600
    assert (landing.size, landing.method, landing.present) == (len(DATA), "copy", False)
    assert os.listdir(folder) == ["vm"]


def test_what_was_compared_with_the_catalog_is_called_verified_and_nothing_else(
    folder: Path, opening: Callable[[bytes], Opener]
) -> None:
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


def test_where_only_the_verified_may_land_an_image_without_digest_is_refused(
    folder: Path, opening: Callable[[bytes], Opener]
) -> None:
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(allow_unverified=False))
    refused = transfer.fetch(
        Work(str(folder / "vm"), image_of(DATA, digest=None)), SourceOpener(opening(DATA), "copy")
    ).failure()
    assert "landing.allow_unverified is false" in refused.reason
    assert os.listdir(folder) == []
    assert (
        transfer.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy")).unwrap().verified
    )


@pytest.mark.parametrize(
    ("described", "data", "word"),
    [
        ({"digest": Digest("sha256", "0" * 64)}, DATA, "digest"),
        ({"size": len(DATA) + 1}, DATA, "bytes"),
        ({"size": len(DATA) - 1}, DATA, "bytes"),
        ({"disk_format": "qcow2"}, DATA, "format is raw"),
        ({"disk_format": "raw"}, b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(600), "format is qcow2"),
    ],
)
def test_bytes_that_are_not_the_image_are_refused_and_nothing_is_left(
    folder: Path, opening: Callable[[bytes], Opener], described: dict[str, object], data: bytes, word: str
) -> None:
    work = Work(str(folder / "vm"), image_of(data, **described))
    refused = FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening(data), "copy")).failure()
    assert isinstance(refused, Mismatched)
    assert word in refused.reason
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
        assert words in refused.reason


def test_an_impossible_digest_is_no_matter_if_none_is_compared(
    folder: Path, opening: Callable[[bytes], Opener]
) -> None:
    work = Work(str(folder / "vm"), image_of(DATA, digest=Digest("sha512", "ab")))
    lax = FileDestination(MemoryVerifiedFiles(), Rules(verify=False))
    assert not lax.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap().verified


def test_a_stranger_s_file_is_not_overwritten_unless_forced(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target = folder / "vm"
    target.write_bytes(b"precious")
    work = Work(str(target), image_of(DATA))
    assert isinstance(transfer.fetch(work, SourceOpener(opening(DATA), "copy")).failure(), TargetOccupied)
    assert target.read_bytes() == b"precious"
    assert isinstance(transfer.fetch(replace(work, force=True), SourceOpener(opening(DATA), "copy")), Success)
    assert target.read_bytes() == DATA
    assert os.listdir(folder) == ["vm"]


def test_a_folder_or_device_is_not_replaced_even_when_forced(folder: Path, transfer: FileDestination) -> None:
    for target in (str(folder), "/dev/null"):
        refused = transfer.fetch(Work(target, image_of(DATA), force=True), SourceOpener(unopened, "copy"))
        assert isinstance(refused.failure(), TargetOccupied)


def unopened(_: ResumePoint) -> Result[Source, Refusal]:
    raise AssertionError("the source must not be opened")


@pytest.fixture
def linkless(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where targets go on a file system like vfat: no hard links and no files without a name, but RENAME_NOREPLACE."""

    def refuse(source: str, destination: str, **given: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return folder


def test_where_there_are_no_hard_links_an_image_lands_by_a_rename(
    linkless: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    work = Work(str(linkless / "vm"), image_of(DATA))
    assert isinstance(transfer.preview(work, SourceOpener(opening(DATA), plan=lambda _: "would")), Success)
    transfer.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap()
    assert (linkless / "vm").read_bytes() == DATA
    assert os.listdir(linkless) == ["vm"]
    assert isinstance(transfer.move(work, str(linkless / "moved")), Success)
    assert os.listdir(linkless) == ["moved"]


@pytest.fixture
def late_nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a file system with O_TMPFILE, on which such a file cannot be linked by its descriptor."""
    link = os.link

    def refuse(source: str, destination: str, **given: Any) -> None:  # noqa: ANN401 - os.link's
        if source.startswith("/proc/self/fd/"):
            raise PermissionError(errno.EPERM, "Operation not permitted", source)
        link(source, destination, **given)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(new_file, "_no_late_names", set())
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms"


@pytest.mark.parametrize("force", [False, True])
def test_an_image_lands_where_an_unnamed_file_cannot_be_linked(
    late_nameless: Path, transfer: FileDestination, opening: Callable[[bytes], Opener], force: bool
) -> None:
    if force:
        (late_nameless / "vm").write_bytes(b"earlier")
    work = Work(str(late_nameless / "vm"), image_of(DATA), force=force)
    landing = transfer.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap()
    assert (late_nameless / "vm").read_bytes() == DATA
    assert landing.fingerprint == fingerprint(str(late_nameless / "vm"))
    assert os.listdir(late_nameless) == ["vm"]


def test_the_next_image_has_a_name_from_the_start_there(
    late_nameless: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    sources: list[ResumePoint] = []

    def counted(start: ResumePoint) -> Result[Source, Refusal]:
        sources.append(start)
        return opening(DATA)(start)

    for name in ("vm-1", "vm-2"):
        transfer.fetch(Work(str(late_nameless / name), image_of(DATA)), SourceOpener(counted, "copy")).unwrap()
    assert len(sources) == 3


def test_a_copy_moves_where_an_unnamed_file_cannot_be_linked(
    late_nameless: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, destination: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    (late_nameless / "vm").write_bytes(DATA)
    transfer.move(Work(str(late_nameless / "vm")), str(late_nameless / "moved")).unwrap()
    assert os.listdir(late_nameless) == ["moved"]


def test_a_named_file_is_made_by_name_where_an_unnamed_one_cannot_be_linked(late_nameless: Path) -> None:
    with NewFile(str(late_nameless / "vm"), named=True) as new:
        assert os.listdir(late_nameless) == [".vm.lading-part"]
        new.finish()
        new.publish(replace=False)
    assert os.listdir(late_nameless) == ["vm"]


def test_a_file_system_without_modes_takes_the_image(
    linkless: Path, opening: Callable[[bytes], Opener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """vfat refuses a mode other than its mount's (fs/fat/file.c)."""

    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(mode=0o640))
    assert isinstance(
        transfer.fetch(Work(str(linkless / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy")), Success
    )


def test_a_rename_overwrites_nothing_that_appears_meanwhile(linkless: Path, transfer: FileDestination) -> None:
    def appearing(_: ResumePoint) -> Result[Source, Refusal]:
        (linkless / "vm").write_bytes(b"precious")
        return Success(StreamSource(io.BytesIO(DATA), len(DATA)))

    refused = transfer.fetch(Work(str(linkless / "vm"), image_of(DATA)), SourceOpener(appearing, "copy")).failure()
    assert isinstance(refused, TargetOccupied)
    assert (linkless / "vm").read_bytes() == b"precious"
    assert os.listdir(linkless) == ["vm"]


def test_a_rename_publishes_no_file_that_came_in_place_of_its_own(linkless: Path, transfer: FileDestination) -> None:
    class Stranger:
        def progress(self, done: int, total: int | None) -> None:
            (part,) = linkless.glob(".vm.*")
            part.unlink()
            part.write_bytes(b"another file")

    work = Work(str(linkless / "vm"), image_of(DATA), observer=Stranger())
    source = StreamSource(io.BytesIO(DATA), len(DATA))
    refused = transfer.fetch(work, SourceOpener(lambda _: Success(source), "copy")).failure()
    assert isinstance(refused, TargetFailed)
    assert not (linkless / "vm").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten(folder: Path, transfer: FileDestination) -> None:
    target = folder / "vm"

    def open_late(_: ResumePoint) -> Result[Source, Refusal]:
        target.write_bytes(b"first")
        return Success(StreamSource(io.BytesIO(DATA), len(DATA)))

    refused = transfer.fetch(Work(str(target), image_of(DATA)), SourceOpener(open_late, "copy"))
    assert isinstance(refused.failure(), TargetOccupied)
    assert target.read_bytes() == b"first"
    assert os.listdir(folder) == ["vm"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_what_appeared_goes_again_when_its_folder_is_not_flushed(
    folder: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Without a journal, by which it could be found again."""
    flush = os.fsync

    def flush_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise error
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flush_files)
    work = Work(str(folder / "vm"), image_of(DATA))
    try:
        refused = transfer.fetch(
            work, SourceOpener(lambda _: Success(StreamSource(io.BytesIO(DATA), len(DATA))), "copy")
        )
    except KeyboardInterrupt:
        assert isinstance(error, KeyboardInterrupt)
    else:
        assert isinstance(refused.failure(), TargetFailed)
    assert os.listdir(folder) == []


def test_an_image_that_is_there_already_is_not_moved_again(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target, image = folder / "vm", image_of(DATA)
    landing = transfer.fetch(Work(str(target), image), SourceOpener(opening(DATA), "copy")).unwrap()
    again = Work(str(target), image, association=associated(target, landing, image))
    assert transfer.fetch(again, SourceOpener(unopened, "copy")) == Success(replace(landing, present=True))


@pytest.mark.parametrize("change", ["content", "image", "digest"])
def test_a_target_that_no_longer_is_what_was_put_there_is_not_touched(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener], change: str
) -> None:
    target, image = folder / "vm", image_of(DATA)
    landing = transfer.fetch(Work(str(target), image), SourceOpener(opening(DATA), "copy")).unwrap()
    association, wanted = associated(target, landing, image), image
    if change == "content":
        target.write_bytes(b"a guest wrote here")
    elif change == "image":
        wanted = replace(image, id="another")
    else:
        wanted = replace(image, digest=Digest("sha256", "0" * 64))  # the id was used again after a purge (OSSN-0075)
    refused = transfer.fetch(Work(str(target), wanted, association=association), SourceOpener(unopened, "copy"))
    assert isinstance(refused.failure(), TargetOccupied)


def test_a_target_without_its_folder_is_refused_by_name(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target = str(folder / "missing" / "vm")
    refused = transfer.fetch(Work(target, image_of(DATA)), SourceOpener(opening(DATA), "copy")).failure()
    assert isinstance(refused, TargetFailed)
    assert str(folder / "missing") in refused.reason


@pytest.mark.parametrize("target", ["", "vm", "./vm", "rbd:pool/vm"])
def test_a_target_that_is_no_absolute_path_is_refused_by_every_verb(transfer: FileDestination, target: str) -> None:
    work = Work(target, image_of(DATA))
    assert isinstance(transfer.fetch(work, SourceOpener(unopened, "copy")).failure(), Unsupported)
    assert isinstance(transfer.remove(work).failure(), Unsupported)
    assert isinstance(transfer.move(work, "/vm").failure(), Unsupported)


@pytest.mark.parametrize("name", ["nul\0byte", "x" * 300])
def test_a_target_that_is_no_path_is_refused(folder: Path, transfer: FileDestination, name: str) -> None:
    assert isinstance(
        transfer.fetch(Work(f"{folder}/{name}", image_of(DATA)), SourceOpener(unopened, "copy")).failure(), TargetFailed
    )


def test_a_folder_that_cannot_be_written_is_seen_before_the_source_is_opened(
    folder: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = transfer.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(unopened, "copy")).failure()
    assert refused == TargetFailed(f"the folder {folder} cannot be written")


class Broken(io.RawIOBase):
    """Gives some bytes, then fails."""

    def __init__(self, good: int) -> None:
        self._good = good

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is wider
        if self._good <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "s3cret")
        count = min(self._good, len(buffer), 4096)
        self._good -= count
        return count


def test_a_source_that_breaks_off_is_refused_and_nothing_is_left(folder: Path, transfer: FileDestination) -> None:
    work = Work(str(folder / "vm"), image_of(DATA))
    refused = transfer.fetch(
        work, SourceOpener(lambda _: Success(StreamSource(Broken(3 << 20), None)), "copy")
    ).failure()
    assert isinstance(refused, Unavailable)
    assert refused.reason == "it broke off: Connection reset by peer"
    assert os.listdir(folder) == []


class Endless(io.RawIOBase):
    """OSSA-2025-001's /dev/zero, counted."""

    read_so_far = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is wider
        self.read_so_far += len(buffer)
        return len(buffer)


def test_a_broken_streams_own_words_are_not_repeated(folder: Path, transfer: FileDestination) -> None:
    class Telling(io.BytesIO):
        def readinto(self, _buffer: object, /) -> int:
            raise OSError("X-Auth-Token: s3cret")

    work = Work(str(folder / "vm"), image_of(DATA))
    refused = transfer.fetch(
        work, SourceOpener(lambda _: Success(StreamSource(Telling(), len(DATA))), "copy")
    ).failure()
    assert refused.reason == "it broke off: OSError"


def test_a_source_without_end_is_read_no_further_than_promised(folder: Path, transfer: FileDestination) -> None:
    stream = Endless()
    refused = transfer.fetch(
        Work(str(folder / "vm"), image_of(DATA)),
        SourceOpener(lambda _: Success(StreamSource(stream, len(DATA))), "copy"),
    )
    assert isinstance(refused.failure(), Mismatched)
    assert stream.read_so_far < len(DATA) + (4 << 20)


class Interrupt:
    """An observer that is interrupted, as by Ctrl-C."""

    def progress(self, done: int, total: int | None) -> None:
        if done > 1 << 20:
            raise KeyboardInterrupt


def test_an_interrupted_transfer_leaves_no_file_and_no_thread(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        transfer.fetch(
            Work(str(folder / "vm"), image_of(DATA), observer=Interrupt()), SourceOpener(opening(DATA), "copy")
        )
    assert os.listdir(folder) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("good", [5, len(DATA)])
@pytest.mark.parametrize("told", [None, 7])
def test_the_source_is_closed_however_it_ends(
    folder: Path, transfer: FileDestination, good: int, told: int | None
) -> None:
    stream = Broken(good)
    work = Work(str(folder / "vm"), image_of(DATA, digest=Digest("sha256", "0" * 64)))
    transfer.fetch(work, SourceOpener(lambda _: Success(StreamSource(stream, told)), "copy"))
    assert stream.closed


def test_removing_removes_the_file_and_one_that_is_gone_is_no_failure(folder: Path, transfer: FileDestination) -> None:
    (folder / "vm").write_bytes(DATA)
    for _ in range(2):
        assert transfer.remove(Work(str(folder / "vm"))) == Success(None)
        assert os.listdir(folder) == []


def test_a_file_gets_no_other_size_than_its_image_s(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    work = Work(str(folder / "vm"), image_of(DATA), size=1 << 30)
    for refused in (
        transfer.fetch(work, SourceOpener(opening(DATA), "copy")),
        transfer.preview(work, SourceOpener(opening(DATA), plan=str)),
    ):
        assert isinstance(refused.failure(), Unsupported)
    assert os.listdir(folder) == []


def test_a_removal_whose_folder_cannot_be_flushed_says_that_it_is_removed(
    folder: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (folder / "vm").write_bytes(DATA)
    monkeypatch.setattr(os, "fsync", refuse)
    refused = transfer.remove(Work(str(folder / "vm"))).failure()
    assert refused.reason.startswith(f"{folder}/vm is removed, but its folder cannot be flushed: Input/output error")
    monkeypatch.undo()
    assert transfer.remove(Work(str(folder / "vm"))) == Success(None)


def test_a_folder_is_not_removed(folder: Path, transfer: FileDestination) -> None:
    assert isinstance(transfer.remove(Work(str(folder))).failure(), TargetOccupied)


@pytest.fixture(params=["same file system", "no renameat2", "other file system"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to move to, by each way of getting there."""
    if request.param == "other file system":

        def refuse(source: str, destination: str) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link", source)

        monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    elif request.param == "no renameat2":

        def lacking(source: str, destination: str, folder: int) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented", source)

        monkeypatch.setattr(no_replace, "_renameat2", lacking)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def test_moving_gives_the_file_its_new_name_and_no_other(
    folder: Path, elsewhere: Path, transfer: FileDestination
) -> None:
    (folder / "vm").write_bytes(DATA)
    landing = transfer.move(Work(str(folder / "vm")), str(elsewhere / "vm")).unwrap()
    assert (os.listdir(folder), os.listdir(elsewhere)) == ([], ["vm"])
    assert (elsewhere / "vm").read_bytes() == DATA
    assert landing.fingerprint is not None
    assert landing.fingerprint.ctime_ns == (elsewhere / "vm").stat().st_ctime_ns


def test_moving_overwrites_nothing(folder: Path, elsewhere: Path, transfer: FileDestination) -> None:
    (folder / "vm").write_bytes(DATA)
    (elsewhere / "vm").write_bytes(b"precious")
    assert isinstance(transfer.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").read_bytes() == DATA
    assert (elsewhere / "vm").read_bytes() == b"precious"


def test_what_is_gone_cannot_be_moved(folder: Path, elsewhere: Path, transfer: FileDestination) -> None:
    refused = transfer.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert os.listdir(elsewhere) == []


def landed(transfer: FileDestination, target: Path) -> Association:
    source = StreamSource(io.BytesIO(DATA), len(DATA))
    image = image_of(DATA)
    return associated(
        target,
        transfer.fetch(Work(str(target), image), SourceOpener(lambda _: Success(source), "copy")).unwrap(),
        image,
    )


def test_what_was_changed_before_it_was_moved_is_not_intact_after_it(
    folder: Path, elsewhere: Path, transfer: FileDestination
) -> None:
    for name, change in (("intact", None), ("changed", b"a guest wrote here")):
        association = landed(transfer, folder / name)
        if change:
            with (folder / name).open("r+b") as disk:
                disk.write(change)
        work = Work(str(folder / name), association=association)
        moved = transfer.move(work, str(elsewhere / name)).unwrap()
        recorded = replace(
            association, target=str(elsewhere / name), fingerprint=moved.fingerprint, folder=moved.folder
        )
        assert is_intact(recorded, fingerprint(str(elsewhere / name))) == (change is None)
        assert transfer.remove(Work(recorded.target, association=recorded)) == Success(None)


def test_another_file_than_was_fetched_is_neither_removed_nor_moved(
    folder: Path, elsewhere: Path, transfer: FileDestination
) -> None:
    association = landed(transfer, folder / "vm")
    (folder / "vm").rename(folder / "kept")
    (folder / "vm").write_bytes(b"precious")
    work = Work(str(folder / "vm"), association=association)
    assert isinstance(transfer.remove(work).failure(), TargetOccupied)
    assert isinstance(transfer.move(work, str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").read_bytes() == b"precious"
    assert transfer.remove(replace(work, force=True)) == Success(None)


def test_a_symlink_in_its_place_is_neither_removed_nor_followed(
    folder: Path, elsewhere: Path, transfer: FileDestination
) -> None:
    association = landed(transfer, folder / "vm")
    (folder / "vm").rename(folder / "kept")
    (folder / "vm").symlink_to("kept")
    work = Work(str(folder / "vm"), association=association)
    assert isinstance(transfer.remove(work).failure(), TargetOccupied)
    assert isinstance(transfer.move(work, str(elsewhere / "vm")).failure(), TargetOccupied)
    assert (folder / "vm").is_symlink()


def test_a_disk_that_is_written_to_while_it_is_copied_away_stays(
    folder: Path, tmp_path: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vm").write_bytes(DATA)

    def refuse(source: str, destination: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    class Guest:
        def progress(self, done: int, total: int | None) -> None:
            with (folder / "vm").open("r+b") as disk:
                disk.write(b"a guest wrote here")

    monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    refused = transfer.move(Work(str(folder / "vm"), observer=Guest()), str(tmp_path / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert (folder / "vm").exists()
    assert not (tmp_path / "vm").exists()


def test_a_source_that_cannot_be_let_go_is_not_moved(
    folder: Path, elsewhere: Path, transfer: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vm").write_bytes(DATA)
    unlink = os.unlink

    def refuse(path: str, **given: int) -> None:
        if str(path) == str(folder / "vm"):
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        unlink(path, **given)

    def rename(source: str, destination: str, folder: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", source)

    monkeypatch.setattr(os, "unlink", refuse)
    if no_replace._renameat2.__module__ == no_replace.__name__:  # noqa: SLF001 - the system's, which asks no unlink
        monkeypatch.setattr(no_replace, "_renameat2", rename)
    refused = transfer.move(Work(str(folder / "vm")), str(elsewhere / "vm")).failure()
    assert isinstance(refused, TargetFailed)
    assert (folder / "vm").read_bytes() == DATA
    assert os.listdir(elsewhere) == []


def test_a_move_to_another_file_system_keeps_the_mode(folder: Path, elsewhere: Path, transfer: FileDestination) -> None:
    (folder / "vm").write_bytes(DATA)
    (folder / "vm").chmod(0o640)
    transfer.move(Work(str(folder / "vm")), str(elsewhere / "vm")).unwrap()
    assert (elsewhere / "vm").stat().st_mode & 0o7777 == 0o640


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def progress(self, done: int, total: int | None) -> None:
        self.told.append(done)


def test_progress_never_goes_backwards_and_ends_with_the_whole(
    folder: Path, transfer: FileDestination, opening: Callable[[bytes], Opener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.adapters.stream.sparse._MOST_AT_ONCE", 1 << 20)
    watch = Watch()
    transfer.fetch(
        Work(str(folder / "vm"), image_of(DATA), observer=watch), SourceOpener(opening(DATA), "copy")
    ).unwrap()
    assert len(watch.told) > 2
    assert watch.told == sorted(watch.told)
    assert watch.told[-1] == len(DATA)


class Writer:
    """An observer that writes to the file that is copied."""

    def __init__(self, path: Path, *, grow: bool) -> None:
        self._path, self._grow = path, grow

    def progress(self, done: int, total: int | None) -> None:
        with self._path.open("r+b") as file:
            file.seek(0, os.SEEK_END if self._grow else os.SEEK_SET)
            file.write(b"more")
        os.utime(self._path, ns=(0, done))  # two writes within one tick of the clock show by this


@pytest.mark.parametrize("grow", [True, False])
@pytest.mark.parametrize(
    "described", [{"digest": None, "size": None}, {"digest": None}, {"digest": Digest("sha256", "0" * 64)}]
)
def test_a_file_that_is_changed_while_it_is_copied_is_refused(
    folder: Path, tmp_path: Path, transfer: FileDestination, described: dict[str, object], *, grow: bool
) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    work = Work(str(folder / "vm"), image_of(DATA, **described), observer=Writer(path, grow=grow))
    refused = transfer.fetch(
        work, SourceOpener(lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable), "copy")
    ).failure()
    assert isinstance(refused, Unavailable)
    assert "changed while it was copied" in refused.reason
    assert os.listdir(folder) == []


def test_a_file_that_grows_behind_verified_bytes_is_landed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    work = Work(str(folder / "vm"), image_of(DATA), observer=Writer(path, grow=True))
    opening: Opener = lambda _: open_regular(str(path)).map(FileSource).alt(Unavailable)  # noqa: E731
    assert FileDestination(MemoryVerifiedFiles()).fetch(work, SourceOpener(opening, "copy")).unwrap().verified
    assert (folder / "vm").read_bytes() == DATA
    assert path.stat().st_size > len(DATA)


def test_a_file_that_grows_while_it_is_surveyed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    with closing(FileSource(open_regular(str(path)).unwrap())) as source:
        writer = Writer(path, grow=True)
        with pytest.raises(SourceBroken, match="changed while it was read"):
            scan(source, "sha256", lambda done: writer.progress(done, None))


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
        (gzip.compress(b"disk"), "raw", "compressed by gzip"),
        (qcow2(backing=b"/etc/passwd"), "qcow2", "backing file"),
        (qcow2(), "raw", "its format is qcow2"),
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
    assert word in refused.failure().reason
    assert stream.position < len(data)
    assert os.listdir(folder) == []
