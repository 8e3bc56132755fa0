"""A damaged database is set aside, and what can be proven is recorded in a new one. A whole one never is."""

import os
import re
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success
from tests.corrupt_databases import Whole, association, filled, laid, lived_in, overwritten, pages, randomised, zeroed

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.quarantine import quarantine
from lading.adapters.sqlite.rebuild import Dropped, Rebuilt, rebuild
from lading.ports.association import Association, Fingerprint
from lading.ports.failures import StoreUnavailable

HEADER: Final = range(100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return filled(tmp_path_factory.mktemp("whole") / "lading.db", [association(number) for number in range(300)])


@pytest.fixture
def damaged(whole: Whole, tmp_path: Path) -> Path:
    """One whose header makes no sense, with its record."""
    return laid(tmp_path, randomised(whole.database, [HEADER], 0), record=whole.record)


def anything(found: Association) -> Association | None:
    return found


def recorded(path: Path) -> list[Association]:
    with closing(Database(path)) as database:
        return list(FileAssociations(database).list())


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def refusal(path: Path) -> str:
    """Why it isn't rebuilt. Nothing has changed then."""
    before = contents(path.parent)
    told = str(rebuild(path, anything).failure())
    after = contents(path.parent)
    assert {name: after.get(name) for name in before} == before
    assert not [name for name in after if ".corrupt-" in name]
    return told


# A new one.


def test_the_new_one_holds_what_is_proven_as_it_is_proven(whole: Whole, damaged: Path) -> None:
    def prove(found: Association) -> Association | None:
        return replace(found, fingerprint=Fingerprint(9, 9, 9, 9, 9)) if found.handler != "rbd" else None

    rebuilt = rebuild(damaged, prove).unwrap()
    assert rebuilt.kept == tuple(now for each in whole.now if (now := prove(each)))
    assert rebuilt.dropped == tuple(
        Dropped(each.target, "the target cannot be proven to be the recorded one")
        for each in whole.now
        if each.handler == "rbd"
    )
    assert recorded(damaged) == list(rebuilt.kept)


def test_what_is_lost_for_good_is_told(whole: Whole, tmp_path: Path) -> None:
    start = whole.record.index(b"/vms/00007/disk")
    record = overwritten(whole.record, start, b"#")
    rebuilt = rebuild(laid(tmp_path, b"garbage", record=record), anything).unwrap()
    lost = {each.target for each in whole.now} - {each.target for each in rebuilt.kept}
    assert (rebuilt.damaged, rebuilt.dropped, "/vms/00007/disk" in lost) == (1, (), True)


def test_who_has_the_damaged_one_open_goes_on_with_the_new_one(whole: Whole, damaged: Path) -> None:
    with closing(Database(damaged)) as database:
        associations = FileAssociations(database)
        assert isinstance(associations.put(association(7, hour=1)), Failure)
        rebuild(damaged, anything).unwrap()
        assert associations.put(association(7, hour=1)) == Success(None)
    assert recorded(damaged) == [association(7, hour=1) if each == association(7) else each for each in whole.now]


def test_what_others_recorded_meanwhile_stays(damaged: Path) -> None:
    def prove(found: Association) -> Association | None:
        with closing(Database(damaged)) as database:
            FileAssociations(database).put(replace(found, handler="another process")).unwrap()
        return found

    rebuild(damaged, prove).unwrap()
    assert {each.handler for each in recorded(damaged)} == {"another process"}


class Interrupted(Exception):
    """What a signal's handler raises."""


def test_one_that_was_interrupted_is_finished_later_without_proving_anything_twice(
    whole: Whole, damaged: Path, tmp_path: Path
) -> None:
    asked: list[str] = []
    enough = 100

    def prove(found: Association) -> Association | None:
        if len(asked) == enough:
            raise Interrupted
        asked.append(found.target)
        return found

    with pytest.raises(Interrupted):
        rebuild(damaged, prove)
    (aside,) = tmp_path.glob("*.corrupt-*Z")
    before = [each.target for each in recorded(damaged)]
    assert 0 < len(before) <= enough
    asked, enough = [], 1000
    assert rebuild(damaged, prove) == Success(Rebuilt(aside, whole.now, (), 0))
    assert [*before, *asked] == [each.target for each in whole.now]
    assert recorded(damaged) == list(whole.now)


def test_when_the_new_one_cannot_be_written_the_failure_says_where_the_damaged_one_is(damaged: Path) -> None:
    def prove(found: Association) -> Association | None:
        return replace(found, landed_at=found.landed_at.replace(tzinfo=None))

    told = str(rebuild(damaged, prove).failure())
    (aside,) = damaged.parent.glob("*.corrupt-*Z")
    assert told.endswith(f"; the damaged one is {aside} now")


# Set aside.


def test_it_is_renamed_with_its_log_and_stays_as_it_was(tmp_path: Path) -> None:
    one = lived_in(tmp_path / "before" / "lading.db", 60, checkpoints=[3])
    (tmp_path / "after").mkdir()
    path = laid(tmp_path / "after", zeroed(one.database, [pages(one.database)[0]]), b"", one.record)
    path.with_name("lading.db-wal").write_bytes(bytes(32))
    path.with_name("lading.db-journal").write_bytes(bytes(28))
    before = contents(path.parent)
    aside = quarantine(path)
    assert re.fullmatch(r"lading\.db\.corrupt-\d{8}T\d{6}\.\d{6}Z", aside.name)
    after = contents(path.parent)
    # Only an index of the log, which SQLite makes anew whenever it opens it.
    after.pop(f"{aside.name}-shm", None)
    expected = {name.replace("lading.db", aside.name): data for name, data in before.items()}
    expected["lading.db.record"] = expected.pop(f"{aside.name}.record")
    assert after == expected
    assert rebuild(path, anything).unwrap().kept == one.now


def test_what_is_only_in_the_log_is_rebuilt_too(tmp_path: Path) -> None:
    one = lived_in(tmp_path / "before" / "lading.db", 60)
    (tmp_path / "after").mkdir()
    assert rebuild(laid(tmp_path / "after", b"", one.log, one.record), anything).unwrap().kept == one.now


def test_a_link_leads_to_the_new_one(whole: Whole, damaged: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(damaged)
    rebuilt = rebuild(link, anything).unwrap()
    assert (rebuilt.aside.parent, link.readlink()) == (tmp_path, damaged)
    assert recorded(link) == list(whole.now)


@pytest.mark.parametrize("content", [b"garbage", b"no database\n" * 4096, bytes(9000)], ids=["short", "text", "zeros"])
def test_garbage_gives_way_to_a_new_one(tmp_path: Path, content: bytes) -> None:
    path = laid(tmp_path, content)
    rebuilt = rebuild(path, anything).unwrap()
    assert (rebuilt.kept, rebuilt.dropped, rebuilt.aside.read_bytes()) == ((), (), content)
    assert recorded(path) == []


def test_nothing_is_overwritten_and_nothing_is_half_renamed(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged.with_name("lading.db-wal").write_bytes(b"")
    before, link = contents(damaged.parent), os.link

    def taken(source: Path, name: Path) -> None:
        if source == damaged:
            raise FileExistsError(17, "File exists")
        link(source, name)

    monkeypatch.setattr(os, "link", taken)
    with pytest.raises(StoreUnavailable, match="File exists"):
        quarantine(damaged)
    assert contents(damaged.parent) == before


# Never set aside.


def test_a_whole_one_stays(whole: Whole, tmp_path: Path) -> None:
    path = whole.at(tmp_path)
    assert refusal(path) == f"the database {path} is whole: there is nothing to rebuild"


def test_a_whole_one_stays_with_what_is_in_its_log(tmp_path: Path) -> None:
    one = lived_in(tmp_path / "before" / "lading.db", 60)
    (tmp_path / "after").mkdir()
    path = one.at(tmp_path / "after")
    assert refusal(path) == f"the database {path} is whole: there is nothing to rebuild"
    assert recorded(path) == list(one.now)


def test_an_empty_file_is_whole(tmp_path: Path) -> None:
    assert "is whole" in refusal(laid(tmp_path, b""))


@pytest.mark.parametrize("harm", [[], [range(5000, 5100)]], ids=["whole", "damaged"])
def test_one_of_a_newer_version_stays(whole: Whole, tmp_path: Path, harm: list[range]) -> None:
    path = laid(tmp_path, randomised(overwritten(whole.database, 60, (1234).to_bytes(4)), harm, 0))
    told = f"the database {path} was written by a later version of lading: expected at most schema version "
    assert refusal(path).startswith(told)


@pytest.mark.parametrize("harm", [range(0), range(5000, 5100), HEADER], ids=["whole", "damaged", "without a header"])
def test_another_programs_stays(tmp_path: Path, harm: range) -> None:
    path = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE bookmarks (url)")
        other.execute("BEGIN")
        other.executemany("INSERT INTO bookmarks VALUES (?)", [(f"https://example.org/{url}",) for url in range(2000)])
        other.execute("COMMIT")
    path.write_bytes(randomised(path.read_bytes(), [harm], 0))
    assert refusal(path) == f"the database {path} is another program's; configure another path"


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    assert "No such file" in str(rebuild(tmp_path / "lading.db", anything).failure())
    assert "No such file" in str(rebuild(tmp_path / "nowhere" / "lading.db", anything).failure())
    (tmp_path / "folder").mkdir()
    assert "is not a file" in str(rebuild(tmp_path / "folder", anything).failure())
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


# Whatever it is.


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(start=0, new=b"", end=1)
@example(start=0, new=b"SQLite", end=511)
@given(start=st.integers(0, 40_000), new=st.binary(max_size=5000), end=st.none() | st.integers(0, 60_000))
def test_whatever_befell_it_it_is_whole_or_refused_or_rebuilt_as_it_was(
    whole: Whole, quick_folder: Path, start: int, new: bytes, end: int | None
) -> None:
    with tempfile.TemporaryDirectory(dir=quick_folder) as folder:
        path = laid(Path(folder), overwritten(whole.database, start, new)[:end], record=whole.record)
        before = path.read_bytes()
        match rebuild(path, anything):
            case Success(Rebuilt() as rebuilt):
                assert list(rebuilt.kept) == recorded(path) == list(whole.now)
                assert not before or rebuilt.aside.read_bytes() == before
            case refused:
                assert "is whole" in str(refused.failure()) or "by a later version of lading" in str(refused.failure())
                assert path.read_bytes() == before
