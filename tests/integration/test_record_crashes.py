"""Crashes at every call that changes the disk, and kills at any moment: the record loses and invents nothing.

After the crash the database is either used as it is, or lost or damaged and rebuilt from its record. LADING_TORTURE
says how many kills there are, and has every call tried; LADING_SEED makes a run again.
"""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from returns.result import Success
from tests.corrupt_databases import EPOCH, association
from tests.disk.faulty_disk import FaultyDisk
from tests.torture import TORTURE

from lading.adapters.sqlite import record as record_module
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.rebuild import rebuild
from lading.adapters.sqlite.record import Record
from lading.ports.association import Association
from lading.ports.image import Digest, Image
from lading.ports.journal import Intent, Verb

KILLS: Final = TORTURE or 12
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
spawning: Final = multiprocessing.get_context("spawn")

# Every call.

PROGRAM: Final = """
import sys
from contextlib import closing
from pathlib import Path
from tests.corrupt_databases import association
from lading.adapters.sqlite import record
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
record._SMALL = 1_000
with closing(Database(Path(sys.argv[1]))) as database:
    store = FileAssociations(database)
    for step in sys.argv[2].split():
        verb, number, hour = step.split(",")
        each = association(int(number), hour=int(hour))
        (store.remove(each.target) if verb == "remove" else store.put(each)).unwrap()
        print(step, flush=True)
"""
STEPS: Final = "put,1,0 put,2,0 put,1,1 remove,2,0 put,3,0 put,1,2"
"""With a compaction among them."""


def state_after(steps: Sequence[str]) -> dict[str, Association]:
    held: dict[str, Association] = {}
    for verb, number, hour in (step.split(",") for step in steps):
        each = association(int(number), hour=int(hour))
        if verb == "put":
            held[each.target] = each
        else:
            held.pop(each.target, None)
    return held


def run(path: Path, orders: Mapping[str, str]) -> tuple[int, list[str]]:
    """Runs the steps. Returns the exit code, and the steps that were acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), STEPS],
        env={**os.environ, **orders, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.split()


def recorded(path: Path) -> dict[str, Association]:
    with closing(Database(path)) as database:
        return {each.target: each for each in FileAssociations(database).list()}


def lose(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        if each != Record(path).path:
            each.unlink()


def wrong(path: Path, acknowledged: Sequence[str]) -> list[str]:
    """What is not as it should be: with the database as it is, after one more change, and after its loss."""
    steps = STEPS.split()
    outcomes = [state_after(steps[: len(acknowledged)]), state_after(steps[: len(acknowledged) + 1])]
    copy = path.parent.with_name("copy")
    subprocess.run(["cp", "-a", path.parent, copy], check=True)
    lost = copy / path.name
    lose(lost)
    rebuilt = rebuild(lost, lambda each: each)
    found = recorded(lost)
    told = [] if found in outcomes else [f"rebuilt: {rebuilt}, {sorted(found)}"]
    subprocess.run(["rm", "-r", copy], check=True)
    found = recorded(path)
    if found not in outcomes:
        told.append(f"recorded: {sorted(found)}")
    # The next change makes both agree, whatever the crash left.
    with closing(Database(path)) as database:
        FileAssociations(database).put(association(9)).unwrap()
    contents = Record(path).read()
    expected = {**found, association(9).target: association(9)}
    if contents is None or contents.associations != expected or contents.damaged or recorded(path) != expected:
        told.append(f"they do not agree: {contents}")
    told += [f"left: {each.name}" for each in path.parent.iterdir() if ".old-" in each.name or each.suffix == ".new"]
    return told


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def every_call(disk: FaultyDisk, state: Path) -> list[int]:
    """The numbers of the calls to try: of a row of like calls the first and the last, or all for the torture."""
    assert run(state / "lading.db", disk.counted()) == (0, STEPS.split())
    calls = disk.calls()
    chosen = [
        call.number
        for before, call, after in zip([None, *calls], calls, [*calls[1:], None], strict=False)
        if TORTURE or before is None or after is None or not before[1:] == call[1:] == after[1:]
    ]
    assert {"rename", "fsync"} <= {call.name for call in calls}
    return some(chosen)


def some(numbers: Sequence[int]) -> list[int]:
    """All for the torture."""
    return [*numbers] if TORTURE else sorted(random.Random(SEED).sample(numbers, min(len(numbers), 24)))


@pytest.mark.parametrize("kind", ["kill_at", "fail"])
def test_a_crash_or_an_error_at_any_call_loses_and_invents_nothing(
    faulty_disk: Callable[..., FaultyDisk], state: Path, kind: str
) -> None:
    disk = faulty_disk(state)
    found: list[str] = []
    for number in every_call(disk, state):
        for each in state.iterdir():
            each.unlink()
        orders = disk.kill_at(number) if kind == "kill_at" else disk.fail(errno.ENOSPC, first=number, last=number)
        code, acknowledged = run(state / "lading.db", orders)
        assert kind == "fail" or code == -signal.SIGKILL
        call = disk.calls()[number - 1]
        found += [f"{call}: {told}" for told in wrong(state / "lading.db", acknowledged)]
    assert found == [], f"LADING_SEED={SEED}"


# Every call of a rebuild.

REBUILD: Final = """
import sys
from pathlib import Path
from lading.adapters.sqlite.rebuild import rebuild
rebuild(Path(sys.argv[1]), lambda each: None if "00002" in each.target else each).unwrap()
"""
KEPT: Final = [association(1), association(3)]
INTENT: Final = Intent("/vms/4/disk", Verb.FETCH, "http", EPOCH, notes={"part": [1, 2]})


def damaged(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()
    with closing(Database(path)) as database:
        for number in (1, 2, 3):
            FileAssociations(database).put(association(number)).unwrap()
        FileJournal(database).begin(INTENT).unwrap()
    path.write_bytes(b"garbage" + path.read_bytes()[7:4096])


def rebuild_elsewhere(path: Path, orders: Mapping[str, str]) -> int:
    environment = {**os.environ, **orders, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", REBUILD, str(path)], env=environment, check=False).returncode


def test_a_rebuild_that_is_killed_at_any_call_is_continued(faulty_disk: Callable[..., FaultyDisk], state: Path) -> None:
    disk, path = faulty_disk(state), state / "lading.db"
    damaged(path)
    assert rebuild_elsewhere(path, disk.counted()) == 0
    for call in some(range(1, len(disk.calls()) + 1)):
        damaged(path)
        assert rebuild_elsewhere(path, disk.kill_at(call)) == -signal.SIGKILL
        disk.calls()
        again = rebuild(path, lambda each: None if "00002" in each.target else each)
        assert isinstance(again, Success) or "is whole: there is nothing to rebuild" in str(again.failure()), call
        with closing(Database(path)) as database:
            assert list(FileAssociations(database).list()) == KEPT, call
            assert list(FileJournal(database).list()) == [INTENT], call
        contents = Record(path).read()
        assert contents is not None
        assert [*contents.associations.values()] == KEPT, call


# Any moment.


class Step(NamedTuple):
    """A change of a target and of what is recorded of it."""

    verb: str
    target: str
    destination: str
    content: bytes


TARGETS: Final = 12
"""Of each process."""


def step_of(seed: int, me: int, number: int, folder: Path) -> Step:
    chance = random.Random(f"{seed}/{me}/{number}")
    one, other = chance.sample(range(TARGETS), 2)
    verb = chance.choice(("put", "put", "put", "remove", "move"))
    return Step(verb, str(folder / f"{me}-{one}"), str(folder / f"{me}-{other}"), f"{me}/{number}".encode())


def association_of(target: str, content: bytes) -> Association:
    digest = Digest("sha256", sha256(content).hexdigest())
    return Association(target, "file", Image("noble"), None, EPOCH, size=len(content), digest=digest)


def take(held: dict[str, bytes], step: Step) -> None:
    """What the step makes of the targets' contents."""
    if step.verb == "put":
        held[step.target] = step.content
    elif step.verb == "remove":
        held.pop(step.target, None)
    elif step.target in held:
        held[step.destination] = held.pop(step.target)


def change_until_killed(path: str, folder: str, seed: int, me: int, tell: Connection) -> None:
    record_module._SMALL = 4_000  # type: ignore[misc]  # so that there are compactions  # noqa: SLF001
    associations, journal = FileAssociations(Database(path)), FileJournal(Database(path))
    held: dict[str, bytes] = {}
    number = 0
    while True:
        step = step_of(seed, me, number, Path(folder))
        if step.verb == "put":
            new = Path(f"{step.target}.new")
            new.write_bytes(step.content)
            new.replace(step.target)
            associations.put(association_of(step.target, step.content)).unwrap()
        elif step.verb == "remove":
            Path(step.target).unlink(missing_ok=True)
            associations.remove(step.target).unwrap()
        elif step.target in held:
            Path(step.target).replace(step.destination)
            associations.put(association_of(step.destination, held[step.target])).unwrap()
            associations.remove(step.target).unwrap()
        take(held, step)
        journal.settle(step.target).unwrap()
        tell.send(number)
        number += 1


def prove(found: Association) -> Association | None:
    path = Path(found.target)
    is_intact = path.exists() and found.digest == Digest("sha256", sha256(path.read_bytes()).hexdigest())
    return found if is_intact else None


def delete(path: Path, _chance: random.Random) -> None:
    lose(path)


def truncate(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(100, 4000)])


def zero_pages(path: Path, _chance: random.Random) -> None:
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])


def scramble(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


DAMAGES: Final = (delete, truncate, zero_pages, scramble)


def acknowledged_by(listening: Connection, enough: int, writer: multiprocessing.process.BaseProcess) -> int:
    """The number of steps that the writer told of until it was killed."""
    count = 0
    while count < enough:
        assert listening.recv() == count
        count += 1
    writer.kill()
    writer.join()
    while listening.poll():
        try:
            listening.recv()
        except EOFError:
            break
        count += 1
    return count


def test_what_was_acknowledged_before_kills_is_rebuilt_after_any_damage(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for round_ in range(KILLS):
        top = tmp_path / str(round_)
        folder, path = top / "vms", top / "state" / "lading.db"
        folder.mkdir(parents=True)
        seed = chance.randrange(1 << 32)
        writers = []
        for me in range(2):
            listening, telling = spawning.Pipe(duplex=False)
            process = spawning.Process(
                target=change_until_killed, args=(str(path), str(folder), seed, me, telling), daemon=True
            )
            process.start()
            telling.close()
            writers.append((process, listening))
        counts = [acknowledged_by(listening, chance.randrange(1, 60), process) for process, listening in writers]
        damage = chance.choice(DAMAGES)
        # Kills leave a log, which holds all of a young database: it goes as well.
        damage(path, chance)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        rebuilt = rebuild(path, prove).unwrap()
        kept = {each.target: each for each in rebuilt.kept}
        assert kept == recorded(path)
        for me, count in enumerate(counts):
            held: dict[str, bytes] = {}
            for number in range(count):
                take(held, step_of(seed, me, number, folder))
            last = step_of(seed, me, count, folder)
            touched = {last.target, last.destination if last.verb == "move" else last.target}
            ours = {target: each for target, each in kept.items() if Path(target).name.startswith(f"{me}-")}
            expected = {target: association_of(target, content) for target, content in held.items()}
            where = f"round {round_}, {damage.__name__}, LADING_SEED={SEED}"
            assert {target: each for target, each in ours.items() if target not in touched} == {
                target: each for target, each in expected.items() if target not in touched
            }, where
            assert all(prove(each) == each for each in ours.values()), where
