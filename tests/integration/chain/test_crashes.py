"""Fetches that unpack, convert and grow, killed at calls that change the disk, and recovered: all or nothing."""

import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.disk.faulty_disk import Call, FaultyDisk
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.integration.chain.host import GROWN, ChainHost, Images
from tests.packages import needs
from tests.torture import TORTURE

KILLED: Final = -9
ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
STEP: Final = 1 if TORTURE else 8
"""Each how manieth call is tried."""


class Scene(NamedTuple):
    """An image, and the fetch of it."""

    kind: str
    packing: str = ""
    options: str = ""
    order: str = "http"
    occupied: bool = False
    is_named: bool = False
    """On a file system without O_TMPFILE."""


SCENES: Final = {
    "unpack": Scene("raw", "xz"),
    "unpack a file": Scene("raw", "zip", order="file"),
    "convert": Scene("qcow2", options="--format raw"),
    "convert a file": Scene("qcow2", options="--format raw --preallocation falloc", order="file"),
    "grow": Scene("raw", options=f"--size {GROWN}"),
    "unpack, convert, grow": Scene("qcow2", "gz", f"--format raw --size {GROWN} --fix-gpt"),
    "unpack, convert, grow, named": Scene("qcow2", "gz", f"--format raw --size {GROWN} --fix-gpt", is_named=True),
    "replace": Scene("qcow2", "zst", "--format raw --force", occupied=True),
    "replace, named": Scene("qcow2", "zip", "--format raw --force", occupied=True, is_named=True),
    "replace by a grown one": Scene("raw", options=f"--size {GROWN} --force", occupied=True),
}


class Stage:
    """A scene's host, made anew for each attempt."""

    def __init__(self, scene: Scene, top: Path, forks: Forks, server: FaultyServer, disk: FaultyDisk) -> None:
        self.scene, self.disk, self.host = scene, disk, ChainHost(top, forks, server)

    def prepare(self) -> None:
        for each in self.host.vms.iterdir():
            each.unlink()
        shutil.rmtree(self.host.top / "state", ignore_errors=True)
        if self.scene.occupied:
            self.host.target.write_bytes(b"precious")

    def orders(self, given: Mapping[str, str]) -> Mapping[str, str]:
        if not self.scene.is_named:
            return given
        return {**self.disk.counted(), **self.disk.fail(errno.EOPNOTSUPP, "openat", path=str(self.host.vms)), **given}

    def fetch(self, given: Mapping[str, str]) -> int:
        arguments = ["fetch", "noble", str(self.host.target), *self.scene.options.split()]
        return self.host.run(*arguments, order=self.scene.order, disk=self.orders(given)).returncode

    def state(self) -> tuple[Mapping[str, bytes], Sequence[str]]:
        return self.host.files(), self.host.targets()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    images: Images,
    faulty_disk: Callable[..., FaultyDisk],
    forks: Sequence[Forks],
    quick_folder: Path,
    faulty_server: FaultyServer,
) -> Stage:
    needs("qemu-img", "fdisk")
    scene = SCENES[request.getfixturevalue("name")]
    top = quick_folder / "host"
    made = Stage(scene, top, forks[0], faulty_server, faulty_disk(top))
    made.host.add("noble", images.packed(scene.kind, scene.packing))
    return made


def wrong(stage: Stage, call: Call, before: object, after: object) -> Iterator[str]:
    """What is not as it should be after the fetch was killed at that call."""
    stage.prepare()
    if (code := stage.fetch(stage.disk.kill_at(call.number))) != KILLED:
        yield f"it was not killed: {code}"
    found = stage.host.files().get("vm", b"")
    if found not in (b"precious" if stage.scene.occupied else b"", after[0]["vm"]):  # type: ignore[index]
        yield f"the target is torn: {len(found)} bytes"
    # Recovery itself is killed first, sometimes.
    every = "file,http"
    stage.host.run("recover", "--discard", order=every, disk=stage.disk.kill_at(1 + call.number % 17))
    for discard in ([], ["--discard"]):
        done = stage.host.run("recover", *discard, order=every)
        if done.returncode or done.stderr:
            yield f"recover: {done.stderr}"
    if (state := stage.state()) not in (before, after):
        yield f"neither done nor undone: {[*state[0]]}, recorded {state[1]}"
    code = stage.fetch({})
    if state == before and code != 0:
        yield f"tried again: {code}"
    if stage.state() != after:
        yield f"tried again: {[*stage.state()[0]]}, recorded {stage.state()[1]}"


def every(calls: Sequence[Call], vms: Path) -> Iterator[Call]:
    """Which calls to be killed at: of a row of like ones that change the targets' folder, the first.

    At length: all of those, and some that change the database, at which tests/integration/test_crashes.py kills too.
    """
    there = [call for call in calls if call.path.startswith(str(vms))]
    if TORTURE:
        yield from there
        yield from [call for call in calls if call not in there][::7]
        return
    for _, row in groupby(there, key=lambda call: call[1:]):
        yield next(row)


def rehearse(stage: Stage, name: str) -> tuple[object, list[Call], object]:
    """Fetches once in peace: the state before, the calls to break, and the state after."""
    stage.prepare()
    before = stage.state()
    stage.prepare()
    stage.disk.calls()
    assert stage.fetch(stage.disk.counted()) == 0
    calls, after = stage.disk.calls(), stage.state()
    assert len(calls) > 10
    return before, [*every(calls, stage.host.vms)][len(name) % STEP :: STEP], after


@pytest.mark.parametrize("name", SCENES)
def test_whatever_call_it_is_killed_at_it_is_done_or_undone(stage: Stage, name: str) -> None:
    before, chosen, after = rehearse(stage, name)
    found = [(call.number, call.name, call.path, each) for call in chosen for each in wrong(stage, call, before, after)]
    assert found == []


def failed(stage: Stage, call: Call, error: int, before: object, after: object) -> Iterator[str]:
    """What is not as it should be after that call of the fetch has failed."""
    stage.prepare()
    fault = stage.disk.fail(error, first=call.number, last=call.number)
    arguments = ["fetch", "noble", str(stage.host.target), *stage.scene.options.split()]
    done = stage.host.run(*arguments, order=stage.scene.order, disk=fault)
    state = stage.state()
    if done.returncode not in {0, 4, 7, 11} or len(done.stderr.splitlines()) > 4:
        yield f"exit code {done.returncode}: {done.stderr}"
    if state not in ((after,) if done.returncode == 0 else (before, after)):
        yield f"exit code {done.returncode}, and there is {[*state[0]]}, recorded {state[1]}: {done.stderr}"
    if done.returncode and (code := stage.fetch({})) != 0:
        yield f"tried again: {code}"
    if stage.state() != after:
        yield f"tried again: {[*stage.state()[0]]}"


@pytest.mark.parametrize("name", [name for name, scene in SCENES.items() if not scene.is_named])
def test_a_call_that_fails_changes_nothing_and_it_works_when_tried_again(stage: Stage, name: str) -> None:
    before, chosen, after = rehearse(stage, name)
    found = [
        (call.number, call.name, call.path, each)
        for call in chosen
        for each in failed(stage, call, ERRORS[call.number % len(ERRORS)], before, after)
    ]
    assert found == []
