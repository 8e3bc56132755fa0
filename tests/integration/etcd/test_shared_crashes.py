"""A host is killed at a call that changes the disk, another host works on the target, and the first comes back.

LADING_TORTURE makes it every call; LADING_SEED makes a run again.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.disk.faulty_disk import FaultyDisk
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer, Reply
from tests.integration.etcd.hosts import Host, lock_keys, revoke_leases
from tests.integration.services.etcd import Etcd
from tests.torture import TORTURE

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
CALLS: Final = 4
"""At which it is killed, in the short run."""
KILLED: Final = -9
IMAGES: Final = {name: random.Random(name).randbytes(1_500_000) for name in ("noble", "jammy")}
REPLACE: Final = ("fetch", "jammy", "1", "--force")
SCENES: Final[Mapping[str, tuple[Sequence[str], Sequence[str]]]] = {
    "a fetch, then a fetch": (("fetch", "noble", "1"), REPLACE),
    "a replacement, then a removal": (("fetch", "jammy", "1", "--force"), ("rm", "1")),
    "a removal, then a fetch": (("rm", "1"), REPLACE),
    "a move, then a fetch": (("mv", "1", "2"), REPLACE),
    "a move, then the same move": (("mv", "1", "2"), ("mv", "1", "2")),
    "a move, then a removal": (("mv", "1", "2"), ("rm", "1")),
}


class World:
    """Two hosts with a folder and a record of their own."""

    def __init__(self, top: Path, etcd: Etcd, forks: Forks, urls: Mapping[str, str]) -> None:
        self.vms = top / "vms"
        self.vms.mkdir(parents=True)
        self._forks, namespace = forks, f"crashes-{random.SystemRandom().randrange(1 << 60)}"
        self.first, self.second = (Host(each, top / each, self.vms, etcd, namespace) for each in ("host1", "host2"))
        for name, data in IMAGES.items():
            self.first.add(name, data, urls[name])
            self.second.add(name, data, urls[name])

    def run(self, host: Host, command: Sequence[str], orders: Mapping[str, str] | None = None) -> int:
        arguments = [host.path(each) if each in {"1", "2"} else each for each in command]
        variables = {
            "PATH": os.environ["PATH"], "HOME": str(host.top), "LADING_CONFIG": str(host.top / "lading.toml"),
            **(orders or {}),
        }  # fmt: skip
        done = self._forks.run(*arguments, folder=host.top, variables=variables)
        assert done.returncode in {KILLED, 0, 5, 6, 7}, (command, done)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    def files(self) -> dict[str, tuple[int, bytes]]:
        return {str(each): (each.stat().st_ino, each.read_bytes()) for each in self.vms.iterdir()}

    def wrong(self, orders: Mapping[str, str], command: Sequence[str], others: Sequence[str]) -> Iterator[str]:
        """What is wrong when the first host has come back."""
        if self.run(self.first, command, orders) != KILLED:
            yield "it was not killed"
        if lock_keys(self.first.etcd, self.first.namespace):
            revoke_leases(self.first.etcd, self.first.namespace)
        has_made = self.run(self.second, others) == 0 and others[0] != "rm"
        target = self.second.path(others[2]) if has_made else ""
        before, record = self.files().get(target), self.second.associations.get(target) if has_made else None
        assert self.run(self.first, ["recover", "--discard"]) == 0
        if has_made and (self.files().get(target), self.first.associations.get(target)) != (before, record):
            yield "what the other host made is destroyed"
        recorded, files = {each.target: each for each in self.second.associations.list()}, self.files()
        if recorded.keys() != files.keys():
            yield f"recorded {[*recorded]}, there {[*files]}"
        for path, (_, data) in files.items():
            image = recorded[path].image if path in recorded else None
            if image is None or data != IMAGES[image.id]:
                yield f"{path} is torn"
        yield from (f"the intent of {each.target} is open" for each in self.first.intents())


@pytest.mark.parametrize("scene", SCENES)
def test_whatever_call_a_host_is_killed_at_the_others_work_stays(
    tmp_path: Path,
    etcd: Etcd,
    forks: Sequence[Forks],
    faulty_server: FaultyServer,
    faulty_disk: Callable[..., FaultyDisk],
    scene: str,
) -> None:
    command, others = SCENES[scene]
    urls = {name: faulty_server.answer(f"/{name}", Reply(data)) for name, data in IMAGES.items()}

    def prepared(name: str) -> tuple[World, FaultyDisk]:
        world = World(tmp_path / name, etcd, forks[0], urls)
        if command[:2] != ("fetch", "noble"):
            assert world.run(world.first, ("fetch", "noble", "1")) == 0
        return world, faulty_disk(world.vms, world.first.top / "state")

    world, disk = prepared("counted")
    assert world.run(world.first, command, disk.counted()) == 0
    numbers = [each.number for each in disk.calls()]
    assert len(numbers) > CALLS
    chance = random.Random(SEED)
    found = []
    for number in numbers if TORTURE else sorted(chance.sample(numbers, CALLS)):
        world, disk = prepared(str(number))
        found += [(number, each) for each in world.wrong(disk.kill_at(number), command, others)]
    assert found == [], f"LADING_SEED={SEED}"
