"""Two hosts over one folder and one record: together, one after the other, and one killed where the other goes on.

LADING_TORTURE says how many kills there are; LADING_SEED makes a run again.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from returns.result import Failure
from tests.disk.forking import Forks
from tests.faulty_server import STALL, FaultyServer, Reply
from tests.integration.etcd.hosts import Host, lock_keys, revoke_leases, wait_until
from tests.integration.services.etcd import Etcd
from tests.torture import TORTURE

from lading import Association, Fingerprint, Folder

KILLS: Final = TORTURE or 15
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
KILLED: Final = -9
IMAGES: Final = {name: random.Random(name).randbytes(2_500_000) for name in ("noble", "jammy")}
NAMES: Final = ("1", "2")


@pytest.fixture(params=["text", "table"])
def scope(request: pytest.FixtureRequest, tmp_path: Path) -> str | Mapping[str, str]:
    """All targets, or only those in the folder."""
    return "shared" if request.param == "text" else {str(tmp_path / "vms"): "shared"}


def two_hosts(top: Path, etcd: Etcd, namespace: str, scope: str | Mapping[str, str]) -> tuple[Host, Host]:
    (top / "vms").mkdir()
    first, second = (Host(name, top / name, top / "vms", etcd, namespace, scope) for name in ("host1", "host2"))
    return first, second


@pytest.fixture
def hosts(
    tmp_path: Path, etcd: Etcd, scope: str | Mapping[str, str], request: pytest.FixtureRequest
) -> Iterator[tuple[Host, Host]]:
    made = two_hosts(tmp_path, etcd, request.node.name, scope)
    yield made
    for each in made:
        each.end()


def listed(host: Host) -> Sequence[str]:
    return [each.target for each in host.associations.list()]


def test_two_hosts_that_fetch_one_target_at_once_download_it_once(
    hosts: tuple[Host, Host], faulty_server: FaultyServer
) -> None:
    data = IMAGES["noble"]
    url = faulty_server.answer("/noble", Reply(data, after=1 << 20, then=STALL))
    for each in hosts:
        each.add("noble", data, url)
    running = [each.start("fetch", "noble", each.path("1"), "--json") for each in hosts]
    faulty_server.wait_stalled()
    faulty_server.go_on()
    done = [each.end() for each in running]
    assert [each.code for each in done] == [0, 0], done
    assert sorted('"present": true' in each.out for each in done) == [False, True]
    assert len(faulty_server.requests_for("/noble")) == 1
    assert [(each.name, each.read_bytes()) for each in hosts[0].vms.iterdir()] == [("1", data)]
    assert [listed(each) for each in hosts] == [[hosts[0].path("1")]] * 2
    assert hosts[0].recorded("1") == hosts[1].recorded("1")


def test_what_one_host_fetched_the_other_moves_verifies_and_removes(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    (first.images / "noble").write_bytes(IMAGES["noble"])
    first.add("noble", IMAGES["noble"], f"file://{first.images}/noble")
    assert first.run("fetch", "noble", first.path("1")).code == 0
    for command in (["verify", "1"], ["mv", "1", "2"], ["rm", "2"]):
        done = second.run(command[0], *map(second.path, command[1:]))
        assert done.code == 0, done.err
    assert ([*first.vms.iterdir()], listed(first)) == ([], [])


def test_partial_data_of_a_dead_host_is_not_in_the_way(hosts: tuple[Host, Host], faulty_server: FaultyServer) -> None:
    first, second = hosts
    data = IMAGES["noble"]
    url = faulty_server.answer("/noble", Reply(data, after=1 << 20, then=STALL), Reply(data))
    for each in hosts:
        each.add("noble", data, url)
    dead = first.start("fetch", "noble", first.path("1"))
    left = first.vms / ".1@host1.lading-part"
    wait_until(left.exists)
    dead.kill()
    revoke_leases(first.etcd, first.namespace)
    assert second.run("fetch", "noble", second.path("1")).code == 0
    assert {each.name for each in first.vms.iterdir()} == {"1", left.name}
    record = second.recorded("1")
    assert first.run("recover").code == 0
    assert ([each.name for each in first.vms.iterdir()], first.recorded("1")) == (["1"], record)
    assert (first.vms / "1").read_bytes() == data


class Pair:
    """Two hosts that work on the same few targets; the first one's commands are killed."""

    def __init__(self, hosts: tuple[Host, Host], forks: Forks, server: FaultyServer) -> None:
        self.first, self.second = hosts
        self._forks = forks
        self._chance = random.Random(SEED)
        self.killed: dict[str, int] = {}
        for name, data in IMAGES.items():
            url = server.answer(f"/{name}", Reply(data, pace=(1 << 18, 0.01)))
            for each in hosts:
                (each.images / name).write_bytes(data)
                each.add(name, data, url, f"file://{each.images}/{name}")

    def run(self, host: Host, *arguments: str, seconds: float | None = None) -> int:
        variables = {
            "PATH": os.environ["PATH"], "HOME": str(host.top), "LADING_CONFIG": str(host.top / "lading.toml"),
            "LADING_HANDLERS__ORDER": self._chance.choice(("http,file", "file,http")),
        }  # fmt: skip
        done = self._forks.run(*arguments, folder=host.top, variables=variables, seconds=seconds)
        assert done.returncode in {KILLED, 0, 4, 5, 6, 7, 10, 11}, (arguments, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    def chosen(self) -> Sequence[str]:
        one, other = map(self.first.path, self._chance.sample(NAMES, 2))
        fetch = ["fetch", self._chance.choice(list(IMAGES)), one, *self._chance.choice(([], ["--force"]))]
        return self._chance.choice((fetch, fetch, ["rm", one], ["mv", one, other]))

    def step(self) -> Iterator[str]:
        """A command of the first host is killed, the second does something, and the first comes back."""
        command = self.chosen()
        if self.run(self.first, *command, seconds=self._chance.uniform(0.02, 0.35)) != KILLED:
            return
        self.killed[command[0]] = self.killed.get(command[0], 0) + 1
        if lock_keys(self.first.etcd, self.first.namespace):
            revoke_leases(self.first.etcd, self.first.namespace)
        others = [self.chosen() for _ in range(self._chance.choice((0, 1, 2)))]
        done, made = list[Sequence[str]](), dict[str, tuple[int, object]]()
        for each in others:
            if self.run(self.second, *each) == 0:
                done.append(each)
                made.pop(each[1], None)
                if each[0] != "rm":
                    target = each[2]
                    made[target] = (os.stat(target).st_ino, self.second.associations.get(target))
        assert self.run(self.first, "recover", *self._chance.choice(([], ["--discard"]))) == 0
        told = f"{' '.join(command)} was killed; the other: {'; '.join(map(' '.join, others))}"
        for target, (inode, record) in made.items():
            if not os.path.exists(target) or os.stat(target).st_ino != inode:
                yield f"{target} of the other host is destroyed: {told}"
            elif self.first.associations.get(target) != record:
                yield f"the record of {target} of the other host is destroyed: {told}"
        if command[0] == "mv" and any(each[1:2] == command[2:] or each[2:] == [command[2], "--force"] for each in done):
            # It may have had its new name already, and the old record or both. What was done to it there, by its new
            # record or by force, leaves the old one.
            self.forget_missing(command[1])
        yield from (f"{each}: {told}" for each in self.wrong())

    def forget_missing(self, target: str) -> None:
        if not os.path.exists(target):
            self.run(self.second, "forget", target)

    def wrong(self) -> Iterator[str]:
        """What is torn, lost or left."""
        recorded = {each.target: each for each in self.second.associations.list()}
        found = {str(each) for each in self.first.vms.iterdir()}
        for target in sorted(found | recorded.keys()):
            if target not in recorded:
                yield f"{target} is there, and not recorded"
            elif target not in found:
                yield f"{target} is recorded, and not there"
            elif (image := recorded[target].image) is None or Path(target).read_bytes() != IMAGES[image.id]:
                yield f"{target} is torn"
        for host in (self.first, self.second):
            yield from (f"the intent of {each.target} is open" for each in host.intents())


@pytest.mark.parametrize("scope", ["text"], indirect=True)
def test_a_host_that_comes_back_destroys_nothing_that_the_other_made(
    hosts: tuple[Host, Host], forks: Sequence[Forks], faulty_server: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = Pair(hosts, forks[0], faulty_server)
    found: list[str] = []
    while sum(pair.killed.values()) < KILLS:
        found += pair.step()
    with capsys.disabled():
        print(f"\nkills on shared storage {pair.killed} (seed {SEED}), {len(found)} wrong")  # noqa: T201
    assert found == [], f"LADING_SEED={SEED}"


def test_a_disk_that_each_host_numbers_otherwise_is_one_disk(hosts: tuple[Host, Host]) -> None:
    """As GFS2 on a volume that is 253:3 on one host and 253:5 on the other, and which tells no birth."""
    first, second = hosts
    file, folder = Fingerprint(64771, 12, 5, 7, 7), Folder(64771, 2)
    target = first.path("1")
    landed = Association(target, "http", None, None, datetime(2026, 1, 1, tzinfo=UTC), fingerprint=file, folder=folder)
    assert not isinstance(first.associations.put(landed), Failure)
    found = second.recorded("1")
    assert found is not None
    assert found.folder is not None
    assert found.folder.is_same_folder(Folder(64773, 2))
    assert not found.folder.is_same_folder(Folder(64773, 3))
    assert found.fingerprint is not None
    assert found.fingerprint.is_unchanged(file._replace(device=64773))
