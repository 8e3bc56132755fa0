"""The file system of the targets is mounted and unmounted between operations: nothing is forgotten or put beneath it.

Operations are killed now and then. LADING_TORTURE says how many there are; LADING_SEED makes a run again.
"""

import os
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.integration.conftest import make_file_system
from tests.integration.test_kills import IMAGES, Host
from tests.torture import TORTURE

OPERATIONS: Final = TORTURE or 25
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
ORDER: Final = "file,http,download"
TARGETS: Final = ("vms/1", "vms/2", "vms/3")


class Volume:
    """The file system that `vms` is on."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self.folder = image, folder
        self.is_mounted = False

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.folder)], check=True)
        self.is_mounted = True

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
        self.is_mounted = False


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    make_file_system("ext4", tmp_path / "image")
    (tmp_path / "vms").mkdir()
    volume = Volume(tmp_path / "image", tmp_path / "vms")
    volume.mount()
    (volume.folder / "lost+found").rmdir()
    try:
        yield volume
    finally:
        if volume.is_mounted:
            volume.unmount()


def chosen(chance: random.Random) -> tuple[Sequence[str], str]:
    """A command, and an order of handlers."""
    one, other = chance.sample(TARGETS, 2)
    fetch = ["fetch", chance.choice(list(IMAGES)), one, *chance.choice(([], ["--force"]))]
    command = chance.choice((fetch, fetch, ["rm", one], ["mv", one, other], ["recover"]))
    return command, chance.choice(("file", "http")) if command is fetch else ORDER


def chosen_of_recorded(chance: random.Random, recorded: Mapping[str, str]) -> Sequence[str]:
    """A command about a target that lading knows to be on the file system."""
    if not recorded:
        return ["recover"]
    one, other = chance.choice(sorted(recorded)), chance.choice(TARGETS)
    return chance.choice((["recover"], ["rm", one], ["mv", one, other], ["fetch", recorded[one], one]))


def test_while_a_file_system_is_not_mounted_nothing_on_it_is_forgotten(
    tmp_path: Path, volume: Volume, small_disk: Path, forks: Sequence[Forks], faulty_server: FaultyServer
) -> None:
    chance = random.Random(SEED)
    host = Host(tmp_path, small_disk, forks[0], faulty_server)
    host.run("fetch", "noble", "vms/1", order="file")
    for _ in range(OPERATIONS):
        command, order = chosen(chance)
        host.run(*command, order=order, seconds=chance.choice((None, chance.uniform(0, 0.3))))
        volume.unmount()
        recorded = host.recorded()
        asked = chosen_of_recorded(chance, recorded)
        host.run(*asked, order=ORDER)
        told = f"{' '.join(command)}; not mounted: {' '.join(asked)}"
        found = [f"{each} is forgotten" for each in sorted(recorded.keys() - host.recorded().keys())]
        for name in os.listdir(volume.folder):
            found.append(f"{name} is beneath the mount point")
            (volume.folder / name).unlink()
        volume.mount()
        host.run("recover", order=ORDER)
        found += [f"{kind}: {words}" for kind, words in host.wrong()]
        assert found == [], f"{told} (LADING_SEED={SEED})"
