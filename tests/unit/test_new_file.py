"""Files that nobody sees until they are whole."""

import errno
import os
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import Final

import pytest

from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.partial import claim, drop_part, noted_part, part_path
from lading.adapters.stream.safe_open import fingerprint

NOBODY: Final = 65534


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


def test_the_temporary_name_is_that_of_the_host_where_hosts_share_a_folder(tmp_path: Path) -> None:
    target, part = str(tmp_path / "vm"), part_path(str(tmp_path / "vm"), "host1")
    Path(part_path(target, "host2")).write_bytes(b"of another host")
    with NewFile(target, part=part, named=True) as new:
        assert os.path.samestat(os.stat(part), os.fstat(new.descriptor))
    assert os.listdir(tmp_path) == [".vm@host2.lading-part"]


def test_only_the_block_claims_it_and_no_duplicate_of_its_descriptor(target: Path) -> None:
    with NewFile(str(target), named=True) as new, open(part_path(str(target)), "rb") as same:
        with pytest.raises(OSError, match="another process is fetching to it"):
            claim(same.fileno())
        duplicate = os.dup(new.descriptor)
        new.keep()
    with closing(FileIO(duplicate)), open(part_path(str(target)), "rb") as same:
        claim(same.fileno())


def test_one_that_is_dropped_leaves_no_claim(target: Path) -> None:
    with pytest.warns(ResourceWarning, match="unclosed file"):
        os.close(NewFile(str(target), named=True)._folder)  # noqa: SLF001 - it locks nothing
    with open(part_path(str(target)), "rb") as same:
        claim(same.fileno())


def test_a_copy_that_its_owner_cannot_write_is_removed(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Path(part_path(str(target)))
    part.touch(0o444)
    notes = {"temporary": list(fingerprint(str(part)))}
    os.chmod(target.parent, 0o777)  # noqa: S103 - another user's
    monkeypatch.chdir(target.parent)
    if (child := os.fork()) == 0:
        is_removed = False
        try:
            if os.geteuid() == 0:  # root can write anything
                os.chown(part, NOBODY, NOBODY)
                os.setuid(NOBODY)
            is_removed = drop_part(target.name, notes)
        finally:
            os._exit(not is_removed)
    assert os.waitpid(child, 0)[1] == 0
    assert not part.exists()


def test_the_longest_name_has_a_temporary_name_for_each_host() -> None:
    parts = {os.path.basename(part_path(f"/vms/{'x' * 255}", host)) for host in (None, "host1", "host2", "h" * 64)}
    assert len(parts) == 4
    assert max(map(len, parts)) <= 255


@pytest.mark.parametrize("name", ["../.vm.lading-part", "/etc/.vm.lading-part", "vm", 7, None])
def test_notes_lead_to_no_other_folder_and_no_other_name(name: object) -> None:
    assert noted_part("/vms/vm", {"temporary_name": name}) == "/vms/.vm.lading-part"


def test_notes_tell_the_temporary_name_whatever_the_host_is_called_now() -> None:
    assert noted_part("/vms/vm", {"temporary_name": ".vm@host1.lading-part"}) == "/vms/.vm@host1.lading-part"
