"""Commands killed or interrupted at every call that changes the disk, and recovered: all or nothing, nothing forgotten.

LADING_TORTURE: at every call, where else some are chosen; LADING_SEED makes a choice again.
"""

import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from queue import SimpleQueue
from typing import Final, NamedTuple, TypeVar

import pytest
from tests.disk.bench import SCENES, Bench, Scene, State
from tests.disk.faulty import Call

KILLED = -9
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
CHOSEN: Final = 5
"""So many interrupts of a scene, spread over its calls."""


def recovered(bench: Bench) -> str:
    """What is wrong with how recovery ends; nothing, if nothing is."""
    done = bench.forks.run("recover", folder=bench.top, variables=bench.variables("file,http,download"))
    left = [*bench.top.rglob("*.lock")]
    return f"recover: {done.stderr}" if done.returncode or done.stderr else f"locks are left: {left}" if left else ""


def wrong(bench: Bench, scene: Scene, call: Call, before: State, after: State) -> Iterator[str]:
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
    yield from wrong_in_the_end(bench, scene, before, after)


def wrong_in_the_end(bench: Bench, scene: Scene, before: State, after: State) -> Iterator[str]:
    """What is not as it should be after recovery, and after the same command once more."""
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


class Interrupt(NamedTuple):
    """A signal at a call."""

    call: Call
    sent: signal.Signals
    is_after: bool
    again: bool
    """At each further call too."""

    def orders(self, bench: Bench) -> Mapping[str, str]:
        order = bench.disk.signal_after if self.is_after else bench.disk.signal_at
        return order(self.call.number, self.sent, again=self.again)


def wrong_after(bench: Bench, scene: Scene, interrupt: Interrupt, before: State, after: State) -> Iterator[str]:
    """What is not as it should be after a command was interrupted."""
    bench.prepare(scene)
    ended = bench.run(scene, interrupt.orders(bench))
    # The last calls are made when all is done.
    if ended.returncode not in {128 + interrupt.sent, 0} or "Traceback" in ended.stderr or "error" in ended.stderr:
        yield f"it ended with {ended.returncode}, {ended.stderr}"
    state = bench.state()
    # The third signal ends it as SIGKILL does.
    if not interrupt.again and "http" not in scene.order:
        yield from (f"{path} is left" for path in state.files if path.endswith(".lading-part"))
    yield from wrong_in_the_end(bench, scene, before, after)


def every(calls: Sequence[Call]) -> Iterator[Call]:
    """Which calls to be killed at: of a row of like ones, for a database's pages, the first and the last."""
    for _, row in groupby(calls, key=lambda call: call[1:]):
        alike = list(row)
        yield from alike if os.environ.get("LADING_TORTURE") else dict.fromkeys((alike[0], alike[-1]))


def observed(bench: Bench, scene: Scene) -> tuple[State, Sequence[Call], State]:
    """What is there before the command, the calls that it makes, and what is there afterwards."""
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    calls = bench.disk.calls()
    assert len(calls) > 10
    return before, calls, bench.state()


_Each = TypeVar("_Each")


def spread(
    benches: Sequence[Bench], each: Iterable[_Each], attempt: Callable[[Bench, _Each], Iterator[str]]
) -> list[tuple[_Each, str]]:
    """What is wrong with each, found on all benches at a time."""
    free: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        free.put(bench)

    def tried(one: _Each) -> list[tuple[_Each, str]]:
        bench = free.get()
        try:
            return [(one, told) for told in attempt(bench, one)]
        finally:
            free.put(bench)

    with ThreadPoolExecutor(len(benches)) as pool:
        return [found for some in pool.map(tried, each) for found in some]


@pytest.mark.parametrize("name", SCENES)
def test_whatever_call_it_is_killed_at_recovery_finishes_it_or_takes_it_back(
    benches: Sequence[Bench], name: str
) -> None:
    scene = SCENES[name]
    before, calls, after = observed(benches[0], scene)
    assert spread(benches, every(calls), lambda bench, call: wrong(bench, scene, call, before, after)) == []


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(
    ("sent", "again"), [(signal.SIGINT, False), (signal.SIGTERM, True)], ids=["SIGINT", "repeated SIGTERM"]
)
def test_whatever_call_a_signal_comes_at_recovery_finishes_it_or_rolls_it_back(
    benches: Sequence[Bench], name: str, sent: signal.Signals, again: bool
) -> None:
    scene = SCENES[name]
    before, calls, after = observed(benches[0], scene)
    interrupts = [Interrupt(call, sent, is_after, again) for call in calls for is_after in (False, True)]
    if not os.environ.get("LADING_TORTURE"):
        chance, span = random.Random(f"{SEED} {name} {sent}"), len(interrupts) / CHOSEN
        interrupts = [interrupts[int(span * (each + chance.random()))] for each in range(CHOSEN)]
    found = spread(benches, interrupts, lambda bench, each: wrong_after(bench, scene, each, before, after))
    assert found == [], f"LADING_SEED={SEED}"


@pytest.mark.parametrize("name", ["fetch", "fetch by http", "fetch, resumed", "mv to another file system"])
def test_bytes_and_name_reach_the_disk_before_they_are_recorded(benches: Sequence[Bench], name: str) -> None:
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
