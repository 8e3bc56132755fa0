"""Files without a name that cannot get one: O_TMPFILE works, and its link does not."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from returns.result import Result
from tests.unit.file_destination.landings import DATA, Opener, image_of

from lading import Refusal, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file import new_file, relocation
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.stream.safe_open import fingerprint
from lading.adapters.stream.sources import ResumePoint, Source


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
    late_nameless: Path, destination: FileDestination, opening: Callable[[bytes], Opener], force: bool
) -> None:
    if force:
        (late_nameless / "vm").write_bytes(b"earlier")
    work = Work(str(late_nameless / "vm"), image_of(DATA), force=force)
    landing = destination.fetch(work, SourceOpener(opening(DATA), "copy")).unwrap()
    assert (late_nameless / "vm").read_bytes() == DATA
    assert landing.fingerprint == fingerprint(str(late_nameless / "vm"))
    assert os.listdir(late_nameless) == ["vm"]


def test_the_next_image_has_a_name_from_the_start_there(
    late_nameless: Path, destination: FileDestination, opening: Callable[[bytes], Opener]
) -> None:
    sources: list[ResumePoint] = []

    def counted(start: ResumePoint) -> Result[Source, Refusal]:
        sources.append(start)
        return opening(DATA)(start)

    for name in ("vm-1", "vm-2"):
        destination.fetch(Work(str(late_nameless / name), image_of(DATA)), SourceOpener(counted, "copy")).unwrap()
    assert len(sources) == 3


def test_a_copy_moves_where_an_unnamed_file_cannot_be_linked(
    late_nameless: Path, destination: FileDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, destination: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", source)

    monkeypatch.setattr(relocation, "rename_no_replace", refuse)
    (late_nameless / "vm").write_bytes(DATA)
    destination.move(Work(str(late_nameless / "vm")), str(late_nameless / "moved")).unwrap()
    assert os.listdir(late_nameless) == ["moved"]


def test_a_named_file_is_made_by_name_where_an_unnamed_one_cannot_be_linked(late_nameless: Path) -> None:
    with NewFile(str(late_nameless / "vm"), named=True) as new:
        assert os.listdir(late_nameless) == [".vm.lading-part"]
        new.finish()
        new.publish(replace=False)
    assert os.listdir(late_nameless) == ["vm"]
