"""Several processes at one database: as neighbours, as parent and child, killed, and with no right to be there."""

import multiprocessing
import os
import signal
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import Final

import pytest
from returns.result import Failure, Success
from tests.process_stress import COUNTERS, Plan, acknowledged, counter, fresh_counters, take_part
from tests.torture import TORTURE

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.record import Record
from lading.ports.association import Association
from lading.ports.image import Image

spawning: Final = multiprocessing.get_context("spawn")
PROCESSES: Final = 3
PATIENCE: Final = 60.0
"""Seconds until a process is thought to hang. Nothing is measured by it."""
ANONYMOUS: Final = 65534
NOBLE = Association("/vms/1/disk", "file", Image("155d900f"), None, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lading.db"


def started(work: Callable[..., None], *arguments: object) -> SpawnProcess:
    process = spawning.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def finished(*processes: SpawnProcess, patience: float = PATIENCE) -> list[int | None]:
    """Their exit codes: 0 unless something was raised."""
    for process in processes:
        process.join(patience)
    return [process.exitcode for process in processes]


def integrity(path: Path) -> list[object]:
    with closing(Database(path)) as database:
        return [value for row in database.rows("PRAGMA integrity_check") for value in row]


# Neighbours.


def killed_now_and_then(plan: Plan, path: Path, folder: Path, kills: int) -> int:
    """Have them all take part until all is done, and kill some; who is killed starts again. How many were killed."""
    random = Random(plan.seed)
    crowd = [started(take_part, plan, me, str(path), str(folder)) for me in range(plan.processes)]
    killed = 0
    for moment in sorted(random.sample(range(plan.processes * plan.operations), kills)):
        while sum(acknowledged(folder, me) for me in range(plan.processes)) < moment:
            assert {process.exitcode for process in crowd} <= {None, 0}
            time.sleep(0.002)
        me = random.randrange(plan.processes)
        crowd[me].kill()
        (ended,) = finished(crowd[me])
        if ended != 0:
            assert ended == -signal.SIGKILL
            killed += 1
            crowd[me] = started(take_part, plan, me, str(path), str(folder))
    assert finished(*crowd, patience=PATIENCE * 60) == [0] * plan.processes
    return killed


@pytest.mark.parametrize("kills", [0, 160 if TORTURE else 4])
def test_nothing_that_one_of_many_processes_did_is_lost_also_when_some_are_killed(
    quick_folder: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(seed=kills, processes=16, operations=10_000) if TORTURE else Plan(kills, processes=6, operations=400)
    path, began = quick_folder / "lading.db", time.monotonic()
    with closing(Database(path)) as database:
        fresh_counters(FileAssociations(database))
    killed = killed_now_and_then(plan, path, quick_folder, kills)
    took = time.monotonic() - began
    with closing(Database(path)) as database:
        found = {each.target: each for each in FileAssociations(database).list()}
    contents = Record(path).read()
    assert contents is not None
    assert (contents.associations, contents.damaged) == (found, 0)
    everybody = range(plan.processes)
    counted = Counter(chain.from_iterable(plan.counted(me, plan.operations) for me in everybody))
    sizes = {target: found.pop(target).size or 0 for target in map(counter, range(COUNTERS))}
    # A kill after a counter was written, and before that was noted, has it counted once more: that, and no less.
    assert [target for target in sizes if sizes[target] < counted[target]] == []
    assert sum(sizes.values()) - counted.total() <= killed
    last = [plan.last_of_shared(me, plan.operations) for me in everybody]
    for target in set().union(*last):
        assert found.pop(target, None) in [each[target] for each in last if target in each]
    assert found == {target: each for me in everybody for target, each in plan.own(me, plan.operations).items()}
    assert integrity(path) == [b"ok"]
    if TORTURE:
        with capsys.disabled():
            print(f"\n{plan.processes} × {plan.operations} operations, {killed} killed: {took:.0f} s")  # noqa: T201


ROUNDS: Final = 40


def be_the_first(folder: str, me: int, together: Barrier) -> None:
    for number in range(ROUNDS):
        database = Database(Path(folder) / f"{number}" / "lading.db")
        together.wait(PATIENCE)
        FileAssociations(database).put(replace(NOBLE, target=f"/{me}")).unwrap()
        database.close()


def test_many_processes_may_make_the_database_at_the_same_instant(tmp_path: Path) -> None:
    together = spawning.Barrier(PROCESSES)
    makers = [started(be_the_first, str(tmp_path), me, together) for me in range(PROCESSES)]
    assert finished(*makers) == [0] * PROCESSES
    for number in range(ROUNDS):
        path = tmp_path / f"{number}" / "lading.db"
        with closing(Database(path)) as database:
            assert [each.target for each in FileAssociations(database).list()] == ["/0", "/1", "/2"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert integrity(path) == [b"ok"]


# Killed.


def put_until_killed(path: str, tell: Connection) -> None:
    associations = FileAssociations(Database(path))
    number = 0
    while True:
        associations.put(replace(NOBLE, target=f"/{number}", method="x" * 40_000)).unwrap()
        tell.send(number)
        number += 1


def test_what_was_put_before_a_kill_is_there_and_the_database_is_whole(path: Path) -> None:
    # At other moments each time, with a log that the next one has to recover.
    for enough in (1, 20, 101):
        listening, telling = spawning.Pipe(duplex=False)
        writer = started(put_until_killed, str(path), telling)
        telling.close()
        told = [listening.recv() for _ in range(enough)]
        writer.kill()
        assert finished(writer) == [-signal.SIGKILL]
        with closing(Database(path)) as database, closing(listening):
            associations = FileAssociations(database)
            assert [associations.get(f"/{number}").unwrap() is not None for number in told] == [True] * enough
            assert associations.put(NOBLE) == Success(None)
        assert integrity(path) == [b"ok"]


# Parent and child.


def fork_with_it_open(path: str) -> None:
    """The parent leaves first: what the child puts then must be found all the same."""
    database = Database(path)
    associations = FileAssociations(database)
    associations.put(replace(NOBLE, target="/before")).unwrap()
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            associations.put(replace(NOBLE, target="/of the child, first")).unwrap()
            os.read(readable, 1)
            associations.put(replace(NOBLE, target="/of the child, later")).unwrap()
            status = 0
        finally:
            os._exit(status)
    associations.put(replace(NOBLE, target="/of the parent")).unwrap()
    database.close()
    os.write(writable, b"!")
    _, status = os.waitpid(child, 0)
    raise SystemExit(os.waitstatus_to_exitcode(status))


def test_after_a_fork_parent_and_child_both_go_on_and_lose_nothing(path: Path) -> None:
    assert finished(started(fork_with_it_open, str(path))) == [0]
    with closing(Database(path)) as database:
        targets = [each.target for each in FileAssociations(database).list()]
    assert targets == ["/before", "/of the child, first", "/of the child, later", "/of the parent"]
    assert integrity(path) == [b"ok"]


CHILDREN: Final = 8


def fork_while_threads_write(path: str) -> None:
    associations = FileAssociations(Database(path))
    over = threading.Event()

    def put(me: int) -> int:
        count = 0
        while not over.is_set():
            associations.put(replace(NOBLE, target=f"/thread/{me}/{count}")).unwrap()
            count += 1
        return count

    def in_a_child(me: int) -> int:
        child = os.fork()
        if not child:
            outcome = associations.put(replace(NOBLE, target=f"/child/{me}"))
            os._exit(0 if outcome == Success(None) else 1)
        return os.waitpid(child, 0)[1]

    with ThreadPoolExecutor(2) as threads:
        counts = [threads.submit(put, me) for me in range(2)]
        ends = [in_a_child(me) for me in range(CHILDREN)]
        over.set()
    assert ends == [0] * CHILDREN
    assert len(list(associations.list())) == sum(count.result() for count in counts) + CHILDREN


def test_a_fork_while_other_threads_write_loses_nothing(path: Path) -> None:
    assert finished(started(fork_while_threads_write, str(path))) == [0]
    assert integrity(path) == [b"ok"]


# Without the right to be there.


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may enter, other than pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        Path(name).chmod(0o700)


def use_as_nobody(path: str, tell: Connection) -> None:
    database = Database(path)
    if os.geteuid() == 0:
        database.path.as_uri()  # imports what nobody may be unable to read
        os.setgid(ANONYMOUS)
        os.setuid(ANONYMOUS)
    associations = FileAssociations(database)
    outcomes = (associations.get(NOBLE.target), associations.put(NOBLE))
    tell.send([str(outcome.failure()) if isinstance(outcome, Failure) else "" for outcome in outcomes])


def told_to_nobody(path: Path) -> list[str]:
    listening, telling = spawning.Pipe(duplex=False)
    with closing(listening):
        user = started(use_as_nobody, str(path), telling)
        telling.close()
        told: list[str] = listening.recv()
        assert finished(user) == [0]
    return told


ACCESS: Final = "let this user write the file and its folder, or configure another path"
WHOSE: Final = " ({} belongs to root, uid 0)" if os.geteuid() == 0 else ""
NO_FILE: Final = "see that it is a file, in a folder, and that this user may write both"


def test_who_may_not_write_its_folder_is_told_when_writing(folder: Path) -> None:
    folder.chmod(0o555)
    path = folder / "lading.db"
    assert told_to_nobody(path) == [
        "",
        f"the database {path} cannot be used: Permission denied{WHOSE.format('its folder')}; {ACCESS}",
    ]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (0o000, f"unable to open database file{WHOSE.format('it')}; {NO_FILE}"),
        (0o444, f"attempt to write a readonly database{WHOSE.format('it')}; {ACCESS}"),
    ],
    ids=["may not read it either", "may read it"],
)
def test_who_may_not_write_it_is_told(folder: Path, mode: int, reason: str) -> None:
    path = folder / "lading.db"
    with closing(Database(path)) as database:
        FileAssociations(database).put(NOBLE)
    path.chmod(mode)
    folder.chmod(0o555)
    assert told_to_nobody(path) == [f"the database {path} cannot be used: {reason}"] * 2
