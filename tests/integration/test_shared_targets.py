"""Several databases and several spellings of one target: whoever goes by one keeps what others put there.

Operations are killed now and then; each is recovered. LADING_TORTURE says how many there are; LADING_SEED makes a run
again.
"""

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.integration.conftest import mounted
from tests.integration.test_kills import IMAGES, Host
from tests.torture import TORTURE

OPERATIONS: Final = TORTURE or 40
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
DATABASES: Final = ("state", "state-2")
SPELLINGS: Final = ("disk/vms", "link", "bound")
NAMES: Final = ("1", "2")
OTHERS: Final = "somebody"
"""Whoever of several put a file there."""


class Party(NamedTuple):
    """Who goes by a database and a spelling."""

    database: str
    spelling: str


class File(NamedTuple):
    """One file, as opposed to another one at the same place."""

    inode: int
    written_ns: int
    data: bytes


@pytest.fixture
def vms(tmp_path: Path) -> Iterator[Path]:
    """A folder on ext4, which gives a new file the inode number of a removed one; it goes by three names."""
    for disk in mounted("ext4", tmp_path / "image", tmp_path / "disk"):
        folder, bound = disk / "vms", tmp_path / "bound"
        folder.mkdir()
        bound.mkdir()
        (tmp_path / "link").symlink_to(folder)
        subprocess.run(["mount", "--bind", str(folder), str(bound)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(bound)], check=True)


def files(folder: Path) -> dict[str, File]:
    found = {}
    for path in folder.iterdir():
        status = path.stat()
        found[path.name] = File(status.st_ino, status.st_mtime_ns, path.read_bytes())
    return found


class Walk:
    """Random operations, and what is wrong after each."""

    def __init__(self, hosts: Sequence[Host], vms: Path) -> None:
        self._hosts, self._vms = hosts, vms
        self._chance = random.Random(SEED)
        self._owners: dict[str, Party | str] = {}

    def step(self) -> Iterator[str]:
        before = files(self._vms)
        orders = [self._chosen() for _ in range(self._chance.choice((1, 1, 2)))]
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            list(pool.map(self._run, self._hosts, orders))
        for database in DATABASES:
            self._hosts[0].run("recover", order="file,http,download", state=database)
            yield from (f"{database}: the intent of {each} is open" for each in self._hosts[0].intents(database))
        after = files(self._vms)
        told = "; ".join(f"{party.database}, {party.spelling}: {' '.join(command)}" for party, command, *_ in orders)
        yield from (f"{each} after {told}" for each in self._wrong(before, after, orders))
        for name in NAMES:
            if name not in after:
                self._owners.pop(name, None)
            elif after[name][:2] != before[name][:2] if name in before else True:
                self._owners[name] = orders[0][0] if len(orders) == 1 else OTHERS

    def _chosen(self) -> tuple[Party, Sequence[str], str, float | None]:
        party = Party(self._chance.choice(DATABASES), self._chance.choice(SPELLINGS))
        one, other = (f"{party.spelling}/{name}" for name in self._chance.sample(NAMES, 2))
        fetch = ["fetch", self._chance.choice(list(IMAGES)), one, *self._chance.choice(([], ["--force"]))]
        command = self._chance.choice((fetch, fetch, ["rm", one], ["rm", one], ["mv", one, other]))
        order = self._chance.choice(("file", "http")) if command is fetch else "file,http"
        return party, command, order, self._chance.choice((None, self._chance.uniform(0, 0.2)))

    def _run(self, host: Host, operation: tuple[Party, Sequence[str], str, float | None]) -> None:
        party, command, order, seconds = operation
        host.run(*command, order=order, seconds=seconds, state=party.database)

    def _wrong(
        self,
        before: dict[str, File],
        after: dict[str, File],
        orders: Sequence[tuple[Party, Sequence[str], str, float | None]],
    ) -> Iterator[str]:
        yield from (f"{name} is left" for name in after if name not in NAMES)
        for name in NAMES:
            if name in after and after[name].data not in IMAGES.values():
                yield f"{name} is torn"
            touching = [order for order in orders if any(each.endswith(f"/{name}") for each in order[1])]
            owner = self._owners.get(name, OTHERS)
            if name not in before or (name in after and after[name][:2] == before[name][:2]):
                continue
            if any("--force" in command for _, command, *_ in touching):
                continue
            if owner != OTHERS and owner not in [party for party, *_ in touching]:
                yield f"{name}, which {owner} put there, is {'replaced' if name in after else 'gone'}"


def test_what_another_database_or_spelling_put_there_is_kept(
    tmp_path: Path, vms: Path, forks: Sequence[Forks], faulty_server: FaultyServer
) -> None:
    (tmp_path / "elsewhere").mkdir()
    first = Host(tmp_path, tmp_path / "elsewhere", forks[0], faulty_server)
    walk = Walk([first, *(first.by(each) for each in forks[1:2])], vms)
    for _ in range(OPERATIONS):
        assert list(walk.step()) == [], f"LADING_SEED={SEED}"
