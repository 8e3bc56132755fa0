"""Commands on a disk that fails them, at every call in turn: all or nothing, and a retry mends it.

Each call fails with one of the errors. Of a row of like calls, for a database's pages, only the first and the last do,
unless HYPOTHESIS_PROFILE is `ci`.
"""

import errno
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final

import pytest
from tests.disk.faulty_disk import Call
from tests.disk.rig import DATA, SCENES, DiskRig, Done, Scene, State

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
REFUSED: Final = {4, 7, 11}
"""The exit codes of what a disk can refuse."""


def wrong_now(state: State, before: State, after: State, done: Done) -> Iterator[str]:
    """What is not as it should be after a run on a disk that fails."""
    if done.returncode not in {0, *REFUSED}:
        yield f"exit code {done.returncode}: {done.stderr}"
    lines = [line for line in done.stderr.splitlines() if not line.startswith("  ")]  # those are advice
    said = [line for line in lines if not line.startswith(("lading: WARNING", "lading: ERROR"))]
    if len(lines) > 3 or not all(line.startswith("lading: ") for line in lines) or len(said) != bool(done.returncode):
        yield f"exit code {done.returncode} is not said in a line: {done.stderr!r}"
    if done.returncode == 0 and state != after:
        yield f"it said that all is well, and there is {[*state.files]}, recorded {state.recorded}"
    if state.integrity != "ok":
        yield f"the database: {state.integrity}"
    for path, data in state.files.items():
        if data not in (before.files.get(path), after.files.get(path)):
            yield f"{path} is neither as before nor whole: {len(data)} bytes"
    if DATA in before.files.values() and DATA in after.files.values() and DATA not in state.files.values():
        yield "the bytes are lost"


def wrong_later(bench: DiskRig, scene: Scene, after: State) -> Iterator[str]:
    """What is not as it should be once the same is asked again, of a good disk."""
    again = bench.run(scene, {})
    # What was brought to its end on the way, by recovery, is not recorded there any more.
    fine = {0, 6} if scene.command[0] in {"mv", "rm"} else {0}
    if again.returncode not in fine or bench.state() != after:
        yield f"tried again: exit code {again.returncode}, {again.stderr.strip()}, {bench.state().recorded}"


def every(calls: Sequence[Call]) -> Iterator[tuple[Call, int]]:
    """Which calls are to fail, and how."""
    for _, row in itertools.groupby(calls, key=lambda call: call[1:]):
        alike = list(row)
        ends = alike if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else dict.fromkeys((alike[0], alike[-1]))
        yield from ((call, ERRORS[call.number % len(ERRORS)]) for call in ends)


def tried(benches: Sequence[DiskRig], scene: Scene, *, for_good: bool) -> Iterator[tuple[str, str]]:
    """Each call with what is wrong when it fails, or when from it on all do."""
    free: SimpleQueue[DiskRig] = SimpleQueue()
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
def test_a_forked_run_makes_the_calls_of_a_fresh_process(benches: Sequence[DiskRig], name: str) -> None:
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
    benches: Sequence[DiskRig], name: str
) -> None:
    assert [*tried(benches, SCENES[name], for_good=False)] == []


@pytest.mark.parametrize("name", ["fetch", "mv", "rm"])
def test_a_disk_that_fails_for_good_damages_nothing(benches: Sequence[DiskRig], name: str) -> None:
    assert [*tried(benches, SCENES[name], for_good=True)] == []


@pytest.mark.parametrize("name", ["fetch --force", "fetch --force by http"])
def test_a_replacement_whose_folder_cannot_be_flushed_is_done_and_says_so(
    benches: Sequence[DiskRig], name: str
) -> None:
    bench, scene = benches[0], SCENES[name]
    bench.prepare(scene)
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    calls, after = bench.disk.calls(), bench.state()
    replaced = next(at for at, call in enumerate(calls) if call.name == "renameat")
    flush = next(call for call in calls[replaced:] if call.name == "fsync")
    bench.prepare(scene)
    done = bench.run(scene, bench.disk.fail(errno.EIO, first=flush.number, last=flush.number))
    assert (done.returncode, bench.state()) == (0, after)
    assert "is replaced, but its folder cannot be flushed" in done.stderr
