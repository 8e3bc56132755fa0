"""Commands killed at every call that changes the disk, and recovered: all or nothing, and nothing forgotten."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from queue import SimpleQueue

import pytest
from tests.disk.faulty_disk import Call
from tests.disk.rig import SCENES, DiskRig, Scene, State
from tests.torture import TORTURE

KILLED = -9


def recovered(bench: DiskRig) -> str:
    """What is wrong with how recovery ends; nothing, if nothing is."""
    done = bench.forks.run("recover", folder=bench.top, variables=bench.variables("file,http,download"))
    left = [*bench.top.rglob("*.lock")]
    return f"recover: {done.stderr}" if done.returncode or done.stderr else f"locks are left: {left}" if left else ""


def wrong(bench: DiskRig, scene: Scene, call: Call, before: State, after: State) -> Iterator[str]:
    """What is not as it should be after a command was killed at that call."""
    bench.prepare(scene)
    killed = bench.run(scene, bench.disk.kill_at(call.number))
    if killed.returncode != KILLED:
        yield f"it was not killed: {killed.returncode}, {killed.stderr}"
    state = bench.state()
    for path, data in state.files.items():
        if not path.endswith(".lading-part") and data not in (before.files.get(path), after.files.get(path)):
            yield f"{path} is torn: {len(data)} bytes"
    # Recovery itself is cut off first, sometimes.
    orders = bench.disk.kill_at(1 + call.number % 17)
    bench.forks.run("recover", folder=bench.top, variables={**bench.variables("file,http,download"), **orders})
    if told := recovered(bench):
        yield told
    state = bench.state()
    if state not in (before, after):
        yield f"neither done nor undone: {[*state.files]}, recorded {state.recorded}, {state.integrity}"
    again = bench.run(scene, {})
    if state == before and again.returncode != 0:
        yield f"tried again: {again.returncode}, {again.stderr}"
    if bench.state() != after:
        yield f"tried again: {[*bench.state().files]}, recorded {bench.state().recorded}"


def every(calls: Sequence[Call]) -> Iterator[Call]:
    """Which calls to be killed at: of a row of like ones, for a database's pages, the first and the last."""
    for _, row in groupby(calls, key=lambda call: call[1:]):
        alike = list(row)
        yield from alike if TORTURE else dict.fromkeys((alike[0], alike[-1]))


@pytest.mark.parametrize("name", SCENES)
def test_whatever_call_it_is_killed_at_recovery_finishes_it_or_takes_it_back(
    benches: Sequence[DiskRig], name: str
) -> None:
    scene, bench = SCENES[name], benches[0]
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    calls, after = bench.disk.calls(), bench.state()
    assert len(calls) > 10
    free: SimpleQueue[DiskRig] = SimpleQueue()
    for each in benches:
        free.put(each)

    def attempt(call: Call) -> list[tuple[str, str]]:
        bench = free.get()
        try:
            where = f"{call.number} {call.name} {bench.relative(call.path)}"
            return [(where, each) for each in wrong(bench, scene, call, before, after)]
        finally:
            free.put(bench)

    with ThreadPoolExecutor(len(benches)) as pool:
        found = [each for some in pool.map(attempt, every(calls)) for each in some]
    assert found == []


@pytest.mark.parametrize("name", ["fetch", "fetch by http", "fetch, resumed", "mv to another file system"])
def test_bytes_and_name_reach_the_disk_before_they_are_recorded(benches: Sequence[DiskRig], name: str) -> None:
    bench, scene = benches[0], SCENES[name]
    bench.prepare(scene)
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    calls = [(call.name, bench.relative(call.path)) for call in bench.disk.calls()]
    target = scene.command[2]
    folder = os.path.dirname(target)
    published = next(at for at, (call, path) in enumerate(calls) if call == "linkat" and path == target)
    written = max(
        at for at, (call, path) in enumerate(calls) if call in {"pwrite", "ftruncate"} and path.startswith(folder)
    )
    flushes = [at for at, (call, _) in enumerate(calls) if call in {"fsync", "fdatasync"}]
    noted = [at for at, (call, path) in enumerate(calls) if call == "fdatasync" and path.endswith("-wal")]
    flushed = next(at for at in flushes if at > written and calls[at][1].startswith(f"{folder}/"))
    named = next(at for at in flushes if at > published and calls[at][1] == folder)
    assert written < flushed < published < named
    # Which file is about to appear is written down between, and that it is there afterwards.
    assert any(flushed < at < published for at in noted)
    assert not any(published < at < named for at in noted)
    assert any(named < at for at in noted)
