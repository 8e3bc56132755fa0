"""Commands on a disk that fails them, at every call in turn: all or nothing, and a retry mends it.

Each call fails with one of the errors. Of a row of like calls, for a database's pages, only the first and the last do,
unless HYPOTHESIS_PROFILE is `ci`.
"""

import errno
import itertools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

import pytest
from tests.disk.faulty import Call, FaultyDisk
from tests.disk.forking import Forks

from lading import Association, Image
from lading.adapters.associations.file import FileAssociations
from lading.adapters.database import Database
from lading.adapters.transfer.opening import fingerprint

Done = subprocess.CompletedProcess[str]
MakeDisk = Callable[..., FaultyDisk]
ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
DATA: Final = os.urandom(200_000) + bytes(1 << 20) + os.urandom(200_000)
DATABASE: Final = "associations.sqlite"
REFUSED: Final = {4, 7}
"""The exit codes of what a disk can refuse."""


class Scene(NamedTuple):
    """What is there, and the command."""

    command: Sequence[str]
    fetched: str = ""
    """What was fetched before."""
    occupied: str = ""
    """What is there but is not lading's."""
    order: str = "file"
    known: Sequence[tuple[str, str]] = ()
    """Failures that are known and not mended yet: at which calls, and what is wrong then, as regular expressions."""


SCENES: Final = {
    "fetch, the first of all": Scene(["fetch", "noble", "vms/1"], known=[("fsync vms", "exists and is not lading's")]),
    "fetch": Scene(["fetch", "noble", "vms/1"], fetched="vms/0", known=[("fsync vms", "exists and is not lading's")]),
    "fetch by download": Scene(
        ["fetch", "noble", "vms/1"],
        fetched="vms/0",
        order="download",
        known=[("fsync vms", "exists and is not lading's")],
    ),
    "fetch --force": Scene(["fetch", "noble", "vms/1", "--force"], fetched="vms/0", occupied="vms/1"),
    "mv": Scene(
        ["mv", "vms/1", "vms/2"],
        fetched="vms/1",
        known=[("fsync vms", "vms/1 is gone"), (r"(pwrite|fdatasync) .*-wal", "vms/1 is gone")],
    ),
    "mv to another file system": Scene(
        ["mv", "vms/1", "other/2"],
        fetched="vms/1",
        known=[
            ("fsync other", "other/2 exists"),
            ("fsync vms", "vms/1 is gone"),
            (r"(pwrite|fdatasync) .*-wal", "vms/1 is gone"),
        ],
    ),
    "rm": Scene(["rm", "vms/1"], fetched="vms/1"),
}


@dataclass(frozen=True, slots=True)
class State:
    """What can be seen from outside."""

    files: Mapping[str, bytes]
    recorded: Sequence[str]
    integrity: str = "ok"


@dataclass(frozen=True, slots=True)
class Bench:
    """A host's folders, again and again, and the command."""

    top: Path
    catalog: Path
    other: Path | None
    """A folder on another file system."""
    forks: Forks
    disk: FaultyDisk

    def prepare(self, scene: Scene) -> None:
        """Make everything new, as the scene begins."""
        shutil.rmtree(self.top, ignore_errors=True)
        (self.top / "vms").mkdir(parents=True)
        if self.other is not None:
            shutil.rmtree(self.other, ignore_errors=True)
            self.other.mkdir()
            (self.top / "other").symlink_to(self.other)
        if scene.occupied:
            (self.top / scene.occupied).write_bytes(b"precious")
        if scene.fetched:
            self._put(self.top / scene.fetched)

    def _put(self, target: Path) -> None:
        target.write_bytes(DATA)
        now, mark = datetime.now(UTC), fingerprint(target.stat())
        association = Association(str(target), "file", Image("noble-id", "noble"), None, now, fingerprint=mark)
        with closing(Database(self.top / "state" / DATABASE)) as database:
            FileAssociations(database).put(association).unwrap()

    def run(self, scene: Scene, orders: Mapping[str, str]) -> Done:
        variables = {**self.variables(scene.order), **orders}
        return self.forks.run(*self.arguments(scene), folder=self.top, variables=variables)

    def arguments(self, scene: Scene) -> list[str]:
        return [str(self.top / each) if "/" in each else each for each in scene.command]

    def variables(self, order: str = "file") -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.catalog / "documents"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / "state" / DATABASE),
            "LADING_HANDLERS__ORDER": order,
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(self.catalog),
            "PYTHONWARNINGS": "error",
        }

    def add(self) -> None:
        """Put the image into the catalog."""
        self.top.mkdir()
        arguments = ["catalog", "add", str(self.catalog / "noble.img"), "--name", "noble", "--id", "noble-id"]
        added = self.forks.run(*arguments, folder=self.top, variables=self.variables())
        assert added.returncode == 0, added.stderr

    def state(self) -> State:
        """What is there, without the database's own files; what is recorded, with paths relative to the host."""
        folders = [self.top, *([self.other] if self.other else [])]
        found = {path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
        ours = {path for path in found if path.parent.name != "state" or not path.name.startswith(DATABASE)}
        files = {self.relative(str(path)): path.read_bytes() for path in ours}
        recorded, integrity = self._database()
        return State(files, recorded, integrity)

    def _database(self) -> tuple[Sequence[str], str]:
        """Of a copy: to look at one may be to repair it."""
        if not (self.top / "state" / DATABASE).exists():
            return [], "ok"
        copy = self.top.with_name(f"{self.top.name}-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.top / "state", copy)
        with closing(sqlite3.connect(copy / DATABASE)) as database:
            integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
            known = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            rows = database.execute("SELECT target FROM associations ORDER BY target").fetchall() if known else []
        return [self.relative(target) for (target,) in rows], integrity

    def relative(self, path: str) -> str:
        if self.other and path.startswith(str(self.other)):
            return f"other{path.removeprefix(str(self.other))}"
        return os.path.relpath(path, self.top)


def wrong_now(state: State, before: State, after: State, done: Done) -> Iterator[str]:
    """What is not as it should be after a run on a disk that fails."""
    if done.returncode not in {0, *REFUSED}:
        yield f"exit code {done.returncode}: {done.stderr}"
    lines = done.stderr.splitlines()
    if len(lines) > 2 or not all(line.startswith("lading: ") for line in lines) or bool(lines) != bool(done.returncode):
        yield f"exit code {done.returncode} is not said in a line or two: {done.stderr!r}"
    if done.returncode == 0 and state != after:
        yield f"it said that all is well, and there is {[*state.files]}, recorded {state.recorded}"
    if state.integrity != "ok":
        yield f"the database: {state.integrity}"
    for path, data in state.files.items():
        if data not in (before.files.get(path), after.files.get(path)):
            yield f"{path} is neither as before nor whole: {len(data)} bytes"
    if DATA in before.files.values() and DATA in after.files.values() and DATA not in state.files.values():
        yield "the bytes are lost"


def wrong_later(bench: Bench, scene: Scene, after: State) -> Iterator[str]:
    """What is not as it should be once the same is asked again, of a good disk."""
    again = bench.run(scene, {})
    if again.returncode != 0 or bench.state() != after:
        yield f"tried again: exit code {again.returncode}, {again.stderr.strip() or bench.state().recorded}"


def every(calls: Sequence[Call]) -> Iterator[tuple[Call, int]]:
    """Which calls are to fail, and how."""
    for _, row in itertools.groupby(calls, key=lambda call: call[1:]):
        alike = list(row)
        ends = alike if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else dict.fromkeys((alike[0], alike[-1]))
        yield from ((call, ERRORS[call.number % len(ERRORS)]) for call in ends)


@pytest.fixture
def benches(
    faulty_disk: MakeDisk, forks: Sequence[Forks], tmp_path: Path, request: pytest.FixtureRequest
) -> Sequence[Bench]:
    """As many as run at a time, for the scene of that name."""
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    (catalog / "noble.img").write_bytes(DATA)
    scene = SCENES[request.getfixturevalue("name")]
    other: Path | None = request.getfixturevalue("small_disk") if "other/2" in scene.command else None
    made = []
    for number, running in enumerate(forks):
        top, elsewhere = tmp_path / f"host-{number}", other and other / str(number)
        disk = faulty_disk(top, *([elsewhere] if elsewhere else []))
        made.append(Bench(top, catalog, elsewhere, running, disk))
    made[0].add()
    return made


def tried(benches: Sequence[Bench], scene: Scene, *, for_good: bool) -> Iterator[tuple[str, str]]:
    """Each call with what is wrong when it fails, or when from it on all do."""
    free: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        free.put(bench)
    bench = benches[0]
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    calls, after = bench.disk.calls(), bench.state()
    assert len(calls) > 10

    def attempt(call: Call, error: int) -> list[tuple[str, str]]:
        bench = free.get()
        try:
            bench.prepare(scene)
            done = bench.run(scene, bench.disk.fail(error, first=call.number, last=None if for_good else call.number))
            failed = bench.disk.calls()[call.number - 1]
            assert failed.name == call.name
            where = f"{call.number} {failed.name} {bench.relative(failed.path)}, {errno.errorcode[error]}"
            found = [*wrong_now(bench.state(), before, after, done)]
            if done.returncode != 0 and not for_good:
                found += wrong_later(bench, scene, after)
            return [(where, each) for each in found]
        finally:
            free.put(bench)

    with ThreadPoolExecutor(len(benches)) as pool:
        for found in pool.map(attempt, *zip(*every(calls), strict=True)):
            yield from found


@pytest.mark.parametrize("name", ["fetch, the first of all", "fetch by download", "mv", "rm"])
def test_a_forked_run_makes_the_calls_of_a_fresh_process(benches: Sequence[Bench], name: str) -> None:
    bench, scene = benches[0], SCENES[name]

    def calls(run: Callable[[], Done]) -> list[tuple[str, str]]:
        bench.prepare(scene)
        bench.disk.calls()
        assert run().returncode == 0
        return [(name, re.sub(r"#\d+", "#", bench.relative(path))) for _, name, path in bench.disk.calls()]

    def fresh() -> Done:
        variables = {**bench.variables(scene.order), **bench.disk.counted(), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "lading", *bench.arguments(scene)]
        return subprocess.run(command, env=variables, cwd=bench.top, capture_output=True, text=True, check=False)

    assert calls(lambda: bench.run(scene, bench.disk.counted())) == calls(fresh)


@pytest.mark.parametrize("name", SCENES)
def test_a_call_that_fails_changes_nothing_or_leaves_nothing_to_do_but_try_again(
    benches: Sequence[Bench], name: str
) -> None:
    scene = SCENES[name]
    found = [*tried(benches, scene, for_good=False)]
    known = {
        (where, what)
        for where, what in found
        if any(re.search(calls, where) and re.search(whats, what) for calls, whats in scene.known)
    }
    assert [each for each in found if each not in known] == []
    for calls, _ in scene.known:
        assert any(re.search(calls, where) for where, _ in known), f"{calls} is mended: take it off the list"


@pytest.mark.parametrize("name", ["fetch", "mv", "rm"])
def test_a_disk_that_fails_for_good_damages_nothing(benches: Sequence[Bench], name: str) -> None:
    assert [*tried(benches, SCENES[name], for_good=True)] == []
