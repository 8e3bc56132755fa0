"""Power failures: the file system goes down while a command works, is mounted again, and recovery makes it whole.

The command is killed at a call that changes the disk, and the file system shut down just then (FS_IOC_SHUTDOWN): what
had not reached the disk is lost. Every second time the database is lost as well, and rebuilt from its record.
LADING_TORTURE says how many failures each file system has; LADING_SEED makes a run again.
"""

import fcntl
import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.disk.faulty_disk import Call, FaultyDisk
from tests.disk.forking import Forks
from tests.disk.rig import DATA, DATABASE, SCENES, DiskRig, Scene, State
from tests.faulty_server import FaultyServer, Reply
from tests.integration.conftest import make_file_system
from tests.loop_devices import LoopDevice
from tests.torture import TORTURE

from lading.adapters.sqlite.record import Record

FAILURES: Final = TORTURE or 25
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
GOING_DOWN: Final = 0x8004587D
"""XFS_IOC_GOINGDOWN, ext4's EXT4_IOC_SHUTDOWN: Linux, fs/xfs/libxfs/xfs_fs.h and fs/ext4/ext4.h."""
LOG_FLUSHED: Final = 1
LOG_LOST: Final = 2


class Disk:
    """A file system in a file, which can lose its power."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        self.folder.mkdir()

    def mount(self) -> None:
        # Each time from another device: a restart may change its number.
        self._device = LoopDevice(self.image, self.image.stat().st_size)
        subprocess.run(["mount", self._device.path, str(self.folder)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
        self._device.remove()
        # A process in a mount namespace of its own, as bubblewrap makes them, may keep a copy of the mount for a while:
        # then the next mount would be of the file system that went down.
        give_up = time.monotonic() + 120
        while subprocess.run(["losetup", "--associated", str(self.image)], check=True, capture_output=True).stdout:
            assert time.monotonic() < give_up
            time.sleep(0.01)

    def sync(self) -> None:
        subprocess.run(["sync", "--file-system", str(self.folder)], check=True)

    def fail(self, log: int) -> None:
        """Everything that has not reached the disk is lost: with LOG_LOST the newest of the log too."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, GOING_DOWN, struct.pack("=L", log))
        finally:
            os.close(descriptor)
        self.unmount()
        self.mount()


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    make_file_system(request.param, tmp_path / "image")
    disk = Disk(tmp_path / "image", tmp_path / "disk")
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


@pytest.mark.parametrize("log", [LOG_FLUSHED, LOG_LOST])
def test_a_failure_loses_what_was_not_flushed_and_nothing_else(disk: Disk, log: int) -> None:
    for name in ("flushed", "lost"):
        with (disk.folder / name).open("wb") as file:
            file.write(DATA)
            file.flush()
            if name == "flushed":
                os.fsync(file.fileno())
    disk.fail(log)
    assert (disk.folder / "flushed").read_bytes() == DATA
    assert not (disk.folder / "lost").exists() or (disk.folder / "lost").stat().st_size < len(DATA)


@pytest.fixture
def bench(
    disk: Disk,
    faulty_disk: Callable[..., FaultyDisk],
    forks: Sequence[Forks],
    tmp_path: Path,
    small_disk: Path,
    faulty_server: FaultyServer,
) -> DiskRig:
    """A host whose database and targets are on that disk."""
    catalog, elsewhere = tmp_path / "catalog", small_disk / "other"
    catalog.mkdir()
    (catalog / "noble.img").write_bytes(DATA)
    top = disk.folder / "host"
    made = DiskRig(top, catalog, elsewhere, forks[0], faulty_disk(top, elsewhere))
    made.add(faulty_server.answer("/noble.img", Reply(DATA)))
    return made


class Ordinary(NamedTuple):
    """How a scene goes without a failure."""

    before: State
    calls: Sequence[Call]
    after: State


def ordinary(bench: DiskRig, scene: Scene) -> Ordinary:
    bench.prepare(scene)
    before = bench.state()
    bench.disk.calls()
    assert bench.run(scene, bench.disk.counted()).returncode == 0
    return Ordinary(before, bench.disk.calls(), bench.state())


def wrong(
    bench: DiskRig, disk: Disk, scene: Scene, usual: Ordinary, orders: Mapping[str, str], log: int, *, is_lost: bool
) -> Iterator[str]:
    """What is not as it should be after the failure, where the database `is_lost` with it or not."""
    bench.prepare(scene)
    disk.sync()
    bench.run(scene, orders)
    disk.fail(log)
    if is_lost and lose_database(bench.top / "state" / DATABASE):
        rebuilt = bench.forks.run(
            "recover", "--rebuild", folder=bench.top, variables=bench.variables("file,http,download")
        )
        if rebuilt.returncode or "no longer recorded" in rebuilt.stdout:
            yield f"rebuild: {rebuilt.returncode}, {rebuilt.stdout}{rebuilt.stderr}"
    recovered = bench.forks.run("recover", folder=bench.top, variables=bench.variables("file,http,download"))
    if recovered.returncode or recovered.stderr:
        yield f"recover: {recovered.returncode}, {recovered.stderr}"
    state = bench.state()
    if state not in (usual.before, usual.after):
        sizes = {path: len(data) for path, data in state.files.items()}
        yield f"neither done nor undone: {sizes}, recorded {state.recorded}, {state.integrity}"
    again = bench.run(scene, {})
    if state == usual.before and again.returncode != 0:
        yield f"tried again: {again.returncode}, {again.stderr}"
    if bench.state() != usual.after:
        yield f"tried again: {[*bench.state().files]}, recorded {bench.state().recorded}"


def lose_database(path: Path) -> bool:
    """Removes all but its record. Whether that holds anything."""
    contents = Record(path).read()
    if contents is None or contents.is_empty:
        return False
    for each in path.parent.glob(f"{path.name}*"):
        if each != Record(path).path:
            each.unlink()
    return True


def test_after_a_power_failure_all_is_whole_and_recorded_or_as_before(bench: DiskRig, disk: Disk) -> None:
    chance = random.Random(SEED)
    usual: dict[str, Ordinary] = {}
    found: list[tuple[str, Call, int, str]] = []
    for _ in range(FAILURES):
        name, log = chance.choice(list(SCENES)), chance.choice((LOG_FLUSHED, LOG_LOST))
        scene = SCENES[name]
        if name not in usual:
            usual[name] = ordinary(bench, scene)
        call = chance.choice(usual[name].calls)
        orders = chance.choice((bench.disk.kill_at, bench.disk.kill_after))(call.number)
        is_lost = chance.random() < 0.5
        told = wrong(bench, disk, scene, usual[name], orders, log, is_lost=is_lost)
        found += [(name, call, log, f"{'lost, ' if is_lost else ''}{each}") for each in told]
    assert found == [], f"LADING_SEED={SEED}"
