"""What can be read of a damaged database: all that lies on pages that are whole, and nothing that was never put."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.corrupt_databases import (
    Whole,
    association,
    filled,
    frames,
    laid,
    lived_in,
    overwritten,
    pages,
    places,
    randomised,
    seeded,
    survived,
    zeroed,
)

from lading.adapters.sqlite.salvage.salvaging import Salvaged, salvaged
from lading.adapters.sqlite.schema import APPLICATION_ID, MIGRATIONS
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable

SIZE: Final = 4096
"""Of a page, in bytes."""
COUNT: Final = 2_600
HEADER: Final = range(100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Some two thousand, and free pages, all in one file."""
    return lived_in(tmp_path_factory.mktemp("whole") / "lading.db", COUNT, checkpoints=[4])


@pytest.fixture(scope="module", params=[(), (0, 2)], ids=["all in the log", "some of it"])
def logged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The same, of which the log holds what the file doesn't."""
    return lived_in(tmp_path_factory.mktemp("logged") / "lading.db", COUNT, checkpoints=request.param)


def invented(whole: Whole, found: Salvaged) -> list[Association]:
    return [each for each in found.associations if each not in whole.put.get(each.target, ())]


def missing(whole: Whole, found: Salvaged) -> list[Association]:
    known = {each.target: each for each in found.associations}
    return [each for each in whole.now if known.get(each.target) != each]


def check(whole: Whole, damaged: bytes, folder: Path) -> Salvaged:
    """The law: nothing is invented, and what lies on pages that are as they were comes back as it was put."""
    found = salvaged(laid(folder, damaged))
    assert invented(whole, found) == []
    assert [
        each for each in missing(whole, found) if survived(whole.database, damaged, pages(whole.database), each)
    ] == []
    return found


# The file.


def test_of_a_whole_one_it_finds_what_is_recorded_and_nothing_that_was_removed(whole: Whole, tmp_path: Path) -> None:
    found = salvaged(whole.at(tmp_path))
    assert found == Salvaged(whole.now, (), APPLICATION_ID, len(MIGRATIONS), is_a_database=True)


def test_neither_file_is_written_to_and_nothing_is_made_beside_them(logged: Whole, tmp_path: Path) -> None:
    path = logged.at(tmp_path)
    salvaged(path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        "lading.db": logged.database,
        "lading.db-wal": logged.log,
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_header_of_nonsense_costs_nothing(whole: Whole, tmp_path: Path, seed: int) -> None:
    found = check(whole, randomised(whole.database, [HEADER], seed), tmp_path)
    assert missing(whole, found) == []


def test_a_first_page_of_zeros_costs_nothing(whole: Whole, tmp_path: Path) -> None:
    assert missing(whole, check(whole, zeroed(whole.database, [range(SIZE)]), tmp_path)) == []


@pytest.mark.parametrize("stated", [0, 1, 3, 512, 8192, 65535])
def test_a_page_size_of_nonsense_costs_nothing(whole: Whole, tmp_path: Path, stated: int) -> None:
    found = check(whole, overwritten(whole.database, 16, stated.to_bytes(2)), tmp_path)
    assert found.associations == whole.now


@pytest.mark.parametrize("reserved", [1, 12, 255])
def test_reserved_bytes_of_nonsense_cost_nothing(tmp_path: Path, reserved: int) -> None:
    one = filled(tmp_path / "lading.db", [association(number, long=number * 100) for number in range(100)])
    assert salvaged(laid(tmp_path, overwritten(one.database, 20, bytes([reserved])))).associations == one.now


@pytest.mark.parametrize("seed", range(3))
def test_some_pages_of_zeros_cost_what_was_on_them(whole: Whole, tmp_path: Path, seed: int) -> None:
    some = seeded(seed).sample(pages(whole.database), 20 + 60 * seed)
    check(whole, zeroed(whole.database, some), tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_some_pages_of_nonsense_cost_what_was_on_them(whole: Whole, tmp_path: Path, seed: int) -> None:
    some = seeded(seed).sample(pages(whole.database), 20 + 60 * seed)
    check(whole, randomised(whole.database, some, seed), tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_changed_here_and_there_cost_what_was_on_their_pages(
    whole: Whole, tmp_path: Path, seed: int
) -> None:
    some = sorted(seeded(seed).sample(range(len(whole.database)), 200))
    check(whole, randomised(whole.database, [range(at, at + 1) for at in some], seed), tmp_path)


@pytest.mark.parametrize("less", [0, 1, SIZE // 2, SIZE - 1])
def test_one_cut_off_in_the_middle_costs_what_was_behind(whole: Whole, tmp_path: Path, less: int) -> None:
    check(whole, whole.database[: len(pages(whole.database)) // 2 * SIZE - less], tmp_path)


def test_pages_that_changed_places_cost_nothing(whole: Whole, tmp_path: Path) -> None:
    mixed = [whole.database[page.start : page.stop] for page in pages(whole.database)[1:]]
    seeded(0).shuffle(mixed)
    found = salvaged(laid(tmp_path, b"".join([whole.database[:SIZE], *mixed])))
    assert missing(whole, found) == invented(whole, found) == []


@pytest.mark.parametrize(("trunk", "count"), [(0, 0), (0, 9), (1, 1), (2, 1), (3, 2**31), (40, 1), (2**31, 2**31)])
def test_free_pages_of_nonsense_cost_nothing(whole: Whole, tmp_path: Path, trunk: int, count: int) -> None:
    found = check(whole, overwritten(whole.database, 32, trunk.to_bytes(4) + count.to_bytes(4)), tmp_path)
    assert missing(whole, found) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_list_of_free_pages_that_names_others_costs_nothing(whole: Whole, tmp_path: Path, seed: int) -> None:
    trunk = int.from_bytes(whole.database[32:36])
    assert trunk
    start = (trunk - 1) * SIZE
    for new in (bytes(SIZE), bytes(4) + b"\0\0\0\2\0\0\0\2\0\0\0\3", seeded(seed).randbytes(SIZE)):
        assert missing(whole, check(whole, overwritten(whole.database, start, new), tmp_path)) == []


def test_without_the_way_to_its_rows_a_target_that_is_recorded_again_is_as_it_was_put_last(
    whole: Whole, tmp_path: Path
) -> None:
    # The root of the table, and the header: nothing says any more which pages are free.
    found = check(whole, zeroed(whole.database, [HEADER, pages(whole.database)[1]]), tmp_path)
    assert missing(whole, found) == []


def test_what_the_table_leads_to_counts_for_more_than_what_lies_about(tmp_path: Path) -> None:
    path = tmp_path / "lading.db"
    filled(path, [association(number, hour=5) for number in range(300)])
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("PRAGMA secure_delete = OFF")  # some systems' SQLite overwrites what is deleted
        other.execute("DELETE FROM associations")
    again = [association(number, hour=1) for number in range(0, 300, 50)]
    one = filled(path, again)
    assert all(any(places(one.database, association(number, hour=5))) for number in range(100, 300, 50))
    # Without the header nothing says which pages are free.
    found = salvaged(laid(tmp_path, zeroed(one.database, [HEADER])))
    assert [each for each in again if each not in found.associations] == []


def test_targets_whose_rows_are_lost_are_named_when_an_index_knows_them(tmp_path: Path) -> None:
    one = filled(tmp_path / "lading.db", [association(number) for number in range(1000)])
    leaves = [page for page in pages(one.database)[1:] if one.database[page.start] == 0x0D]
    found = salvaged(laid(tmp_path, zeroed(one.database, leaves[:9])))
    assert found.lost
    assert sorted((*found.lost, *(each.target for each in found.associations))) == [each.target for each in one.now]


@pytest.mark.parametrize("size", [512, 1024, 2048, 8192, 16384, 32768, 65536])
def test_pages_may_be_of_any_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "lading.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"PRAGMA page_size = {size}")
        other.execute("VACUUM")
    one = filled(path, [association(number, long=number) for number in range(600)])
    assert one.database[16:18] == (1 if size == 65536 else size).to_bytes(2)
    for start in (0, 16):
        assert salvaged(laid(tmp_path, randomised(one.database, [range(start, 100)], size))).associations == one.now


def test_pages_may_have_reserved_bytes(tmp_path: Path) -> None:
    path = tmp_path / "lading.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("VACUUM")
    # As some systems' SQLite makes it: each page's last 12 bytes are not used, also by the still empty schema.
    empty = overwritten(path.read_bytes(), 20, b"\x0c")
    path.write_bytes(overwritten(empty, 105, (SIZE - 12).to_bytes(2)))
    one = filled(path, [association(number, long=number * 50) for number in range(200)])
    assert one.database[20] == 12
    assert salvaged(path).associations == one.now


def test_what_is_too_long_for_a_page_comes_back_or_not_but_never_changed(tmp_path: Path) -> None:
    long = [association(number, long=3500 + 40 * number) for number in range(60)]
    one = filled(tmp_path / "lading.db", [association(100, long=1_000_000), *long])
    assert salvaged(laid(tmp_path, randomised(one.database, [HEADER], 0))).associations == one.now
    for seed in range(10):
        some = seeded(seed).sample(pages(one.database)[2:], 30)
        found = salvaged(laid(tmp_path, randomised(one.database, some, seed)))
        assert invented(one, found) == []
        assert missing(one, found)


# Its log.


def is_commit(log: bytes, frame: range) -> bool:
    return log[frame.start + 4 : frame.start + 8] != bytes(4)


def test_what_is_only_in_the_log_is_found(logged: Whole, tmp_path: Path) -> None:
    assert salvaged(logged.at(tmp_path)).associations == logged.now


def test_a_log_header_of_nonsense_costs_nothing(logged: Whole, tmp_path: Path) -> None:
    damaged = randomised(logged.log, [range(32)], 0)
    assert salvaged(laid(tmp_path, logged.database, damaged)).associations == logged.now


@pytest.mark.parametrize("left", [0, 100, SIZE, 3 * SIZE + 5])
def test_a_file_cut_off_costs_nothing_that_is_in_the_log(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, left: int
) -> None:
    one = lived_in(tmp_path_factory.mktemp("one") / "lading.db", 300)
    damaged = randomised(one.database, [range(len(one.database))], 0)[:left]
    assert salvaged(laid(tmp_path, damaged, one.log)).associations == one.now


@pytest.mark.parametrize("seed", range(3))
def test_frames_of_nonsense_cost_what_was_on_them(logged: Whole, tmp_path: Path, seed: int) -> None:
    # What is not committed doesn't count: without the frame that says that it is, the others are worth nothing.
    others = [each for each in frames(logged.log) if not is_commit(logged.log, each)]
    some = seeded(seed).sample(others, len(others) // 10)
    damaged = randomised(logged.log, some, seed)
    found = salvaged(laid(tmp_path, logged.database, damaged))
    assert invented(logged, found) == []
    # Of a target that was recorded twice an older version may be all that can be told to be on a page in use.
    known = {each.target for each in found.associations}
    lost = [each for each in missing(logged, found) if each.target not in known]
    assert [each for each in lost if survived(logged.log, damaged, frames(logged.log), each)] == []


def test_a_frame_of_nonsense_gives_way_to_what_the_file_has_of_its_page(logged: Whole, tmp_path: Path) -> None:
    bodies = [range(frame.start + 24, frame.stop) for frame in frames(logged.log)]
    found = salvaged(laid(tmp_path, logged.database, randomised(logged.log, bodies, 0)))
    assert invented(logged, found) == []
    assert [each for each in missing(logged, found) if any(places(logged.database, each))] == []


def test_what_was_never_committed_is_not_there(tmp_path: Path) -> None:
    one = lived_in(tmp_path / "lading.db", 300, checkpoints=[0])
    # The number of pages after a commit, in the last frame that has one: without it, nothing of that step counts.
    last = [frame for frame in frames(one.log) if is_commit(one.log, frame)][-1]
    found = salvaged(laid(tmp_path, one.database, overwritten(one.log, last.start + 4, bytes(4))))
    assert invented(one, found) == []
    assert {each.landed_at.hour for each in found.associations} == {0, 1, 2}


def test_what_an_earlier_use_of_the_log_left_in_it_is_not_taken_for_new(tmp_path: Path) -> None:
    one = lived_in(tmp_path / "1" / "lading.db", 900, checkpoints=[0])
    two = lived_in(tmp_path / "2" / "lading.db", 300, checkpoints=[0, 1])
    assert len(two.log) < len(one.log)
    found = salvaged(laid(tmp_path, two.database, two.log + one.log[len(two.log) :]))
    assert found.associations == two.now


# Any file.


@pytest.mark.parametrize(
    "content", [b"", b"\0", bytes(SIZE), b"garbage", b"no database\n" * 4096, b"SQLite format 3\0"]
)
def test_what_is_no_database_holds_nothing(tmp_path: Path, content: bytes) -> None:
    found = salvaged(laid(tmp_path, content, content))
    assert (found.associations, found.lost) == ((), ())


def test_what_is_not_there_or_may_not_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "lading.db", tmp_path):
        with pytest.raises(StoreUnavailable, match=f"the database {path} can't be used"):
            salvaged(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return lived_in(tmp_path_factory.mktemp("small") / "lading.db", 24, checkpoints=[1])


def mutations() -> SearchStrategy[list[tuple[float, bytes, int]]]:
    """Where, by what, and how many bytes it takes the place of."""
    where = st.floats(0, 1, exclude_max=True)
    return st.lists(st.tuples(where, st.binary(max_size=9), st.integers(0, 5000) | st.integers(0, 9)), max_size=9)


def mutated(data: bytes, changes: list[tuple[float, bytes, int]], *, in_place: bool) -> bytes:
    for where, new, size in changes:
        at = int(where * len(data))
        data = data[:at] + new + data[at + (len(new) if in_place else size) :]
    return data


@given(mutations(), mutations(), st.booleans())
def test_whatever_befell_it_nothing_is_invented(
    small: Whole, file: list[tuple[float, bytes, int]], log: list[tuple[float, bytes, int]], in_place: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = mutated(small.database, file, in_place=in_place)
        found = salvaged(laid(Path(folder), database, mutated(small.log, log, in_place=in_place)))
    assert invented(small, found) == []


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_whatever_it_is_nothing_is_invented(database: bytes, log: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert salvaged(laid(Path(folder), database, log)).associations == ()
