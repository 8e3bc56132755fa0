"""Commands that get SIGINT or SIGTERM at calls that change the disk: nothing is torn, nothing recorded is gone."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, NamedTuple

import pytest
from tests.disk.faulty_disk import Call
from tests.disk.rig import DATA, SCENES, DiskRig, Scene, State
from tests.integration.test_crashes import every, recovered
from tests.torture import TORTURE

ENDS: Final = {signal.SIGINT: {130, -signal.SIGINT}, signal.SIGTERM: {143, -signal.SIGTERM}}
"""A second one kills, and so does one that comes when the command is done."""
STEP: Final = 1 if TORTURE else 8
"""Each how manieth call is tried."""


class Interrupt(NamedTuple):
    """A signal at a call, or at each of several."""

    number: signal.Signals
    call: Call
    calls: int


def wrong(bench: DiskRig, scene: Scene, interrupt: Interrupt, before: State, after: State) -> Iterator[str]:
    """What is not as it should be."""
    bench.prepare(scene)
    first = interrupt.call.number
    done = bench.run(scene, bench.disk.signal(interrupt.number, first, first + interrupt.calls - 1))
    # One that comes in the last moment finds all done.
    if done.returncode not in {*ENDS[interrupt.number], 0} or "Traceback" in done.stderr:
        yield f"exit code {done.returncode}: {done.stderr}"
    state = bench.state()
    if done.returncode == 0 and state != after:
        yield f"it said that all is well, and there is {[*state.files]}, recorded {state.recorded}"
    for path, data in state.files.items():
        if not path.endswith(".lading-part") and data not in (before.files.get(path), after.files.get(path)):
            yield f"{path} is torn: {len(data)} bytes"
    if told := recovered(bench):
        yield told
    state = bench.state()
    if state not in (before, after):
        yield f"neither done nor undone: {[*state.files]}, recorded {state.recorded}, {state.integrity}"
    if state == before and bench.run(scene, {}).returncode != 0:
        yield "it can't be done again"


@pytest.mark.parametrize("calls", [1, 4], ids=["once", "repeatedly"])
@pytest.mark.parametrize("name", SCENES)
def test_a_signal_at_any_call_leaves_it_done_or_undone(benches: Sequence[DiskRig], name: str, calls: int) -> None:
    scene, bench = SCENES[name], benches[0]
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    made, after = bench.disk.calls(), bench.state()
    free: SimpleQueue[DiskRig] = SimpleQueue()
    for each in benches:
        free.put(each)

    def attempt(interrupt: Interrupt) -> list[tuple[str, str]]:
        bench = free.get()
        try:
            call = interrupt.call
            where = f"{interrupt.number.name} at {call.number} {call.name} {bench.relative(call.path)}"
            return [(where, each) for each in wrong(bench, scene, interrupt, before, after)]
        finally:
            free.put(bench)

    chosen = [*every(made)][calls % STEP :: STEP]
    interrupts = [Interrupt(list(ENDS)[call.number % 2], call, calls) for call in chosen]
    with ThreadPoolExecutor(len(benches)) as pool:
        found = [each for some in pool.map(attempt, interrupts) for each in some]
    assert found == [], "\n".join(map(str, found))


@pytest.mark.parametrize("name", ["fetch by http"])
def test_what_had_come_is_kept_when_the_last_flush_is_interrupted(benches: Sequence[DiskRig], name: str) -> None:
    bench, scene = benches[0], SCENES[name]
    bench.prepare(scene)
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    flush = next(
        call for call in bench.disk.calls() if (call.name, bench.relative(call.path)[:5]) == ("fsync", "vms/#")
    )
    bench.prepare(scene)
    assert bench.run(scene, bench.disk.signal(signal.SIGTERM, flush.number, flush.number)).returncode == 143
    assert bench.state().files == {"vms/.1.lading-part": DATA}
    resumed = bench.run(scene._replace(command=[*scene.command, "--json"]), {})
    assert '"resumed": 1048576' in resumed.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("name", ["fetch by http"])
def test_a_fetch_is_complete_when_its_last_unlink_is_interrupted(
    benches: Sequence[DiskRig], name: str, number: signal.Signals
) -> None:
    bench, scene = benches[0], SCENES[name]
    bench.prepare(scene)
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    [unlink] = [call for call in bench.disk.calls() if call.name == "unlinkat" and ".lading-part" in call.path]
    bench.prepare(scene)
    done = bench.run(scene, bench.disk.signal(number, unlink.number, unlink.number))
    assert (done.returncode, "the fetch is complete" in done.stderr) == (128 + number, True), done.stderr
    assert bench.state() == State({"vms/1": DATA}, ["vms/1"])


@pytest.mark.parametrize("name", ["fetch --force"])
def test_nothing_is_left_when_a_forced_fetch_is_interrupted(benches: Sequence[DiskRig], name: str) -> None:
    bench, scene = benches[0], SCENES[name]
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    link = next(call for call in bench.disk.calls() if call.name == "linkat" and ".lading-part" in call.path)
    bench.prepare(scene)
    assert bench.run(scene, bench.disk.signal(signal.SIGINT, link.number, link.number)).returncode == 130
    assert bench.state() == before
