"""The target's state decides: what exists there stays, and a new file appears in one step."""

import errno
import io
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.unit.file_destination.landings import DATA, Opener, associated, image_of, unopened

from lading import Digest, Refusal, TargetFailed, TargetNotWritable, TargetOccupied, Unsupported, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import ResumePoint, Source, StreamSource


def test_a_stranger_s_file_is_not_overwritten_unless_forced(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target = folder / "vm"
    target.write_bytes(b"precious")
    work = Work(str(target), image_of(DATA))
    assert isinstance(destination.fetch(work, SourceOpener(opening(DATA), "copy")).failure(), TargetOccupied)
    assert target.read_bytes() == b"precious"
    assert isinstance(destination.fetch(replace(work, force=True), SourceOpener(opening(DATA), "copy")), Success)
    assert target.read_bytes() == DATA
    assert os.listdir(folder) == ["vm"]


def test_a_folder_or_device_is_not_replaced_even_when_forced(folder: Path, destination: FileDestination) -> None:
    for target in (str(folder), "/dev/null"):
        refused = destination.fetch(Work(target, image_of(DATA), force=True), SourceOpener(unopened, "copy"))
        assert isinstance(refused.failure(), TargetFailed | TargetOccupied)


def test_where_there_are_no_hard_links_an_image_lands_by_a_rename(
    linkless: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    work = Work(str(linkless / "vm"), image_of(DATA))
    assert isinstance(destination.preview(work, SourceOpener(opening(DATA), plan=lambda _: "would")), Success)
    destination.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap()
    assert (linkless / "vm").read_bytes() == DATA
    assert os.listdir(linkless) == ["vm"]
    assert isinstance(destination.move(work, str(linkless / "moved")), Success)
    assert os.listdir(linkless) == ["moved"]


def test_a_file_system_without_modes_takes_the_image(
    linkless: Path, opening: Callable[[bytes], Opener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """vfat refuses a mode other than its mount's (fs/fat/file.c)."""

    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    destination = FileDestination(MemoryVerifiedFiles(), Rules(mode=0o640))
    assert isinstance(
        destination.fetch(Work(str(linkless / "vm"), image_of(DATA)), SourceOpener(opening(DATA), "copy")), Success
    )


def test_a_rename_overwrites_nothing_that_appears_meanwhile(linkless: Path, destination: FileDestination) -> None:
    def appearing(_: ResumePoint) -> Result[Source, Refusal]:
        (linkless / "vm").write_bytes(b"precious")
        return Success(StreamSource(io.BytesIO(DATA), len(DATA)))

    refused = destination.fetch(Work(str(linkless / "vm"), image_of(DATA)), SourceOpener(appearing, "copy")).failure()
    assert isinstance(refused, TargetOccupied)
    assert (linkless / "vm").read_bytes() == b"precious"
    assert os.listdir(linkless) == ["vm"]


def test_a_rename_publishes_no_file_that_came_in_place_of_its_own(linkless: Path, destination: FileDestination) -> None:
    class Stranger:
        def progress(self, done: int, total: int | None) -> None:
            (part,) = linkless.glob(".vm.*")
            part.unlink()
            part.write_bytes(b"another file")

    work = Work(str(linkless / "vm"), image_of(DATA), observer=Stranger())
    source = StreamSource(io.BytesIO(DATA), len(DATA))
    refused = destination.fetch(work, SourceOpener(lambda _: Success(source), "copy")).failure()
    assert isinstance(refused, TargetFailed)
    assert not (linkless / "vm").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten(folder: Path, destination: FileDestination) -> None:
    target = folder / "vm"

    def open_late(_: ResumePoint) -> Result[Source, Refusal]:
        target.write_bytes(b"first")
        return Success(StreamSource(io.BytesIO(DATA), len(DATA)))

    refused = destination.fetch(Work(str(target), image_of(DATA)), SourceOpener(open_late, "copy"))
    assert isinstance(refused.failure(), TargetOccupied)
    assert target.read_bytes() == b"first"
    assert os.listdir(folder) == ["vm"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_target_is_removed_again_if_its_folder_cannot_be_flushed(
    folder: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch, error: BaseException
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
        refused = destination.fetch(
            work, SourceOpener(lambda _: Success(StreamSource(io.BytesIO(DATA), len(DATA))), "copy")
        )
    except KeyboardInterrupt:
        assert isinstance(error, KeyboardInterrupt)
    else:
        assert isinstance(refused.failure(), TargetFailed)
    assert os.listdir(folder) == []


def test_an_image_that_is_there_already_is_not_moved_again(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target, image = folder / "vm", image_of(DATA)
    landing = destination.fetch(Work(str(target), image), SourceOpener(opening(DATA), "copy")).unwrap()
    again = Work(str(target), image, association=associated(target, landing, image))
    assert destination.fetch(again, SourceOpener(unopened, "copy")) == Success(replace(landing, present=True))


@pytest.mark.parametrize("change", ["content", "image", "digest"])
def test_a_target_that_no_longer_is_what_was_put_there_is_not_touched(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener], change: str
) -> None:
    target, image = folder / "vm", image_of(DATA)
    landing = destination.fetch(Work(str(target), image), SourceOpener(opening(DATA), "copy")).unwrap()
    association, wanted = associated(target, landing, image), image
    if change == "content":
        target.write_bytes(b"a guest wrote here")
    elif change == "image":
        wanted = replace(image, id="another")
    else:
        wanted = replace(image, digest=Digest("sha256", "0" * 64))  # the id was used again after a purge (OSSN-0075)
    refused = destination.fetch(Work(str(target), wanted, association=association), SourceOpener(unopened, "copy"))
    assert isinstance(refused.failure(), TargetOccupied)


def test_a_target_without_its_folder_is_refused_by_name(
    folder: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    target = str(folder / "missing" / "vm")
    refused = destination.fetch(Work(target, image_of(DATA)), SourceOpener(opening(DATA), "copy")).failure()
    assert isinstance(refused, TargetFailed)
    assert str(folder / "missing") in str(refused)


@pytest.mark.parametrize("target", ["", "vm", "./vm", "rbd:pool/vm"])
def test_a_target_that_is_no_absolute_path_is_refused_by_every_verb(destination: FileDestination, target: str) -> None:
    work = Work(target, image_of(DATA))
    assert isinstance(destination.fetch(work, SourceOpener(unopened, "copy")).failure(), Unsupported)
    assert isinstance(destination.remove(work).failure(), Unsupported)
    assert isinstance(destination.move(work, "/vm").failure(), Unsupported)


@pytest.mark.parametrize("name", ["nul\0byte", "x" * 300])
def test_a_target_that_is_no_path_is_refused(folder: Path, destination: FileDestination, name: str) -> None:
    assert isinstance(
        destination.fetch(Work(f"{folder}/{name}", image_of(DATA)), SourceOpener(unopened, "copy")).failure(),
        TargetFailed,
    )


def test_an_unwritable_folder_is_refused_before_the_source_is_opened(
    folder: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = destination.fetch(Work(str(folder / "vm"), image_of(DATA)), SourceOpener(unopened, "copy")).failure()
    assert isinstance(refused, TargetNotWritable)
    assert refused.reason == f"the folder {folder} cannot be written: Permission denied"
    assert refused.expected == f"write permission for uid {os.geteuid()}"
    assert refused.found.startswith("drwx")
