"""Devices that something uses are never written to, and the message says what uses them."""

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from tests.integration.devices.host import SIZE, Host
from tests.loop_devices import LoopDevice
from tests.packages import needs

from lading import TargetFailed, TargetInUse
from lading.adapters.destinations.device import system


@contextmanager
def mounted(device: str, folder: Path) -> Iterator[None]:
    needs("mkfs.ext4")
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_mounted_device_is_refused_even_by_force(host: Host, tmp_path: Path) -> None:
    host.add()
    folder = tmp_path / "a disk"
    with mounted(host.target, folder):
        refusal = host.refusal(force=True)
    assert isinstance(refusal, TargetInUse)
    assert f"{host.target} is mounted at {folder}" in str(refusal)
    assert host.is_untouched


def test_a_device_that_another_program_has_exclusively_is_refused(host: Host) -> None:
    host.add()
    other = os.open(host.target, os.O_RDONLY | os.O_EXCL)
    try:
        refusal = host.refusal(force=True)
    finally:
        os.close(other)
    assert isinstance(refusal, TargetInUse)
    assert "open exclusively" in str(refusal)


def test_a_device_that_a_guest_runs_from_is_refused(host: Host) -> None:
    """QEMU locks bytes of a device as of a file (OFD locks)."""
    host.add()
    guest = os.open(host.target, os.O_RDWR)
    try:
        fcntl.fcntl(guest, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
        refusal = host.refusal(force=True)
    finally:
        os.close(guest)
    assert isinstance(refusal, TargetInUse)
    assert "locked, as QEMU locks disks" in str(refusal)


def test_a_removal_needs_no_idle_device_and_a_wipe_does(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    other = os.open(host.target, os.O_RDONLY | os.O_EXCL)
    try:
        assert "in use" in str(host.dispatcher.remove(host.target, wipe=True).failure())
        host.dispatcher.remove(host.target).unwrap()
    finally:
        os.close(other)


def test_the_disk_of_the_running_system_is_refused(host: Host, tmp_path: Path) -> None:
    root = Path("/").stat().st_dev
    name = next((line.split("=")[1] for line in _uevent(root) if line.startswith("DEVNAME=")), "")
    host.add()
    # In a container the root file system is on no device that can be seen.
    with nullcontext() if Path("/dev", name).is_block_device() else mounted(host.target, tmp_path / "disk"):
        target = f"/dev/{name}" if Path("/dev", name).is_block_device() else host.target
        failure = host.fetch(target=target, force=True).failure()
    assert "is mounted at /" in str(failure)


def _uevent(number: int) -> list[str]:
    path = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/uevent")
    return path.read_text().splitlines() if path.exists() else []


def test_a_read_only_device_is_refused(host: Host, make_loop: Callable[..., LoopDevice]) -> None:
    host.device = make_loop(SIZE, "--read-only")
    host.add()
    refusal = host.refusal()
    assert isinstance(refusal, TargetFailed)
    assert refusal.reason == f"{host.target} is read-only"


def test_a_device_without_a_disk_is_refused(host: Host) -> None:
    host.add()
    name = host.target
    host.device.detach()
    failure = host.fetch(target=name).failure()
    assert "has no size" in str(failure) or "in use" in str(failure) or "there is no device" in str(failure)


# The host's account of its devices, as sysfs has it for disks that tests cannot make.


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk sda with two partitions: sda1 is held by the volume vg0-root, which is mounted at /."""
    disk, volume = tmp_path / "devices/sda", tmp_path / "devices/dm-0"
    texts = {
        disk: {"dev": "8:0", "device/wwid": "naa.5000c500"},
        disk / "sda1": {"dev": "8:1", "partition": "1", "start": "2048"},
        disk / "sda2": {"dev": "8:2", "partition": "2", "start": "4096"},
        volume: {"dev": "253:0", "dm/name": "vg0-root", "dm/uuid": "LVM-abc"},
    }
    for folder, files in texts.items():
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{text}\n")
    for folder in (disk, disk / "sda1", disk / "sda2", volume):
        (folder / "holders").mkdir()
    (disk / "sda1/holders/dm-0").symlink_to(volume)
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    for folder in texts:
        (numbers / (folder / "dev").read_text().strip()).symlink_to(folder)
    monkeypatch.setattr(system, "_SYSTEM", numbers)
    monkeypatch.setattr(system, "_mounts", lambda: {"253:0": "/"})
    monkeypatch.setattr(system, "_swaps", lambda: frozenset({"8:2"}))
    return tmp_path


@pytest.mark.usefixtures("sysfs")
def test_the_use_of_a_disk_is_that_of_its_partitions_and_volumes() -> None:
    held = "is held by vg0-root, which is mounted at /"
    assert system.use_of(os.makedev(8, 0)) == f"has the partition sda1, which {held}"
    assert system.use_of(os.makedev(8, 1)) == held
    assert system.use_of(os.makedev(8, 2)) == "is swap space"
    assert system.use_of(os.makedev(9, 9)) is None


@pytest.mark.usefixtures("sysfs")
def test_a_device_is_known_by_what_a_restart_does_not_change() -> None:
    assert system.identity_of(os.makedev(8, 0)) == "wwid:naa.5000c500"
    assert system.identity_of(os.makedev(8, 2)) == "wwid:naa.5000c500, partition 2 at sector 4096"
    assert system.identity_of(os.makedev(253, 0)) == "dm:LVM-abc"
    assert "since boot" in system.identity_of(os.makedev(9, 9))


@pytest.mark.usefixtures("sysfs")
def test_an_unknown_boot_is_known_to_one_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "boot_id", lambda: None)
    program = "from lading.adapters.destinations.device import system; print(system._UNKNOWN_BOOT)"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    here = system.identity_of(os.makedev(9, 9))
    assert here == system.identity_of(os.makedev(9, 9))
    assert here.rpartition(" since boot ")[2] != other != ""
