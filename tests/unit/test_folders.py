"""What lading makes for itself is for one user only, whatever the umask, and whoever makes it."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lading import Image
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.flock.locks import FileLocks
from lading.adapters.host.private_files import give_to_folder_owner, make_private, open_private, owner_text
from lading.adapters.sqlite.database import Database

ANONYMOUS = 65534


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def of_nobody(tmp_path: Path) -> Path:
    """A folder of another user's."""
    if os.geteuid() != 0:
        pytest.skip("needs root to work for another user")
    folder = tmp_path / "nobody"
    folder.mkdir(mode=0o700)
    os.chown(folder, ANONYMOUS, ANONYMOUS)
    return folder


def modes(top: Path) -> set[tuple[bool, str]]:
    """Whether folders, and their modes; links have none."""
    found = [path.lstat() for path in top.rglob("*") if not path.is_symlink()]
    return {(stat.S_ISDIR(each.st_mode), oct(stat.S_IMODE(each.st_mode))) for each in found}


@pytest.mark.usefixtures("umask")
def test_all_that_is_made_is_private_at_every_level(tmp_path: Path) -> None:
    locks, database = (
        FileLocks(tmp_path / "run" / "deep" / "locks"),
        Database(tmp_path / "state" / "deep" / "lading.db"),
    )
    with closing(database), locks.hold("a"):
        database.change(("DELETE FROM intents", ()))
        FileCatalog(tmp_path / "home" / "deep" / "catalog").add(Image("a"), "/img/a").unwrap()
        assert modes(tmp_path) == {(True, "0o700"), (False, "0o600")}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("named", [False, True])
def test_a_target_has_the_mode_that_it_is_to_have(tmp_path: Path, *, named: bool) -> None:
    for mode in (0o600, 0o640):
        with NewFile(str(tmp_path / oct(mode)), mode=mode, named=named) as new:
            assert stat.S_IMODE(os.fstat(new.descriptor).st_mode) in {0o600, 0o000}
            assert not named or stat.S_IMODE(os.fstat(new.descriptor).st_mode) == 0o600
            new.finish()
            new.publish(replace=False)
        assert stat.S_IMODE((tmp_path / oct(mode)).stat().st_mode) == mode


def test_what_root_makes_in_another_users_folder_is_that_users(of_nobody: Path) -> None:
    locks, database = FileLocks(of_nobody / "run" / "locks"), Database(of_nobody / "state" / "lading.db")
    with closing(database), locks.hold("a"):
        database.change(("DELETE FROM intents", ()))
        FileCatalog(of_nobody / "home" / "catalog").add(Image("a"), "/img/a").unwrap()
        made = [path for path in of_nobody.rglob("*") if not path.is_symlink()]
        assert {path.suffix for path in made} >= {".lock", ".db", ".db-wal", ".db-shm", ".json"}
        assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(ANONYMOUS, ANONYMOUS)}


def test_root_gives_away_no_file_that_has_another_name(of_nobody: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").touch(mode=0o600)
    os.link(tmp_path / "shadow", of_nobody / ".lock")
    os.close(open_private(of_nobody / ".lock", os.O_RDWR | os.O_CREAT))
    assert (tmp_path / "shadow").stat().st_uid == 0


def test_root_gives_away_no_file_that_was_there(of_nobody: Path) -> None:
    (of_nobody / ".lock").write_text("root's own, moved here by the folder's owner")
    os.close(open_private(of_nobody / ".lock", os.O_RDWR | os.O_CREAT))
    give_to_folder_owner(of_nobody / ".lock")
    assert (of_nobody / ".lock").stat().st_uid == 0
    (of_nobody / ".lock").write_text("4242")
    give_to_folder_owner(of_nobody / ".lock")
    assert (of_nobody / ".lock").stat().st_uid == ANONYMOUS


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a" / "b")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_it_is_told_whose_a_file_is_where_it_is_not_ones_own(of_nobody: Path, tmp_path: Path) -> None:
    (tmp_path / "own").touch()
    assert owner_text(tmp_path / "own") == owner_text(tmp_path / "gone") == ""
    assert owner_text(of_nobody).startswith(" (it belongs to nobody, uid")
    assert owner_text(of_nobody / "gone").startswith(" (its folder belongs to nobody, uid")
    os.chown(of_nobody, 54321, -1)
    assert owner_text(of_nobody) == " (it belongs to uid 54321)"
    assert owner_text(tmp_path / "none" / "gone") == ""
