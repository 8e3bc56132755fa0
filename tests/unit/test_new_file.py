"""Files that nobody sees until they are whole."""

import errno
import os
from pathlib import Path

import pytest

from lading.adapters.destinations.file.new_file import NewFile


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "vm"


def test_by_default_it_has_no_name_and_only_its_owner_reads_it(target: Path) -> None:
    before = os.umask(0)
    try:
        with NewFile(str(target)) as new:
            assert os.listdir(target.parent) == []
            new.finish()
            new.publish(replace=False)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o7777 == 0o600
    assert os.listdir(target.parent) == ["vm"]


@pytest.mark.parametrize("named", [False, True])
def test_where_the_folder_cannot_be_flushed_nothing_is_left(
    target: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    def fail(descriptor: int) -> None:
        assert target.exists()
        raise OSError(errno.EIO, "Input/output error")

    with NewFile(str(target), named=named) as new:
        new.finish()
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            new.publish(replace=False)
    assert os.listdir(target.parent) == []
