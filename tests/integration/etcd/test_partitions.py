"""Two hosts in network namespaces of their own; one is cut off from etcd while the other goes on."""

import os
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest
from tests.integration.etcd.hosts import Host
from tests.integration.services.etcd import Etcd
from tests.packages import needs

NOBLE: Final = random.Random("noble").randbytes(1 << 20)
LOST: Final = "is lost: its lease expired while this process was stopped or did not reach etcd"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Forwarder:
    """Passes on connections to an address of this host to a port on loopback."""

    def __init__(self, address: str, port: int) -> None:
        self._port = port
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            if each is one:
                each.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Network:
    """A namespace with one link to this host."""

    def __init__(self) -> None:
        chance = random.SystemRandom()
        token = f"{chance.randrange(1 << 32):08x}"
        self.name, self._near, far = f"lading-{token}", f"ld{token}n", f"ld{token}f"
        # Four addresses of a net that is private, and seldom used.
        net, first = f"10.213.{chance.randrange(256)}", chance.randrange(64) * 4
        self.address, inside = f"{net}.{first + 1}", f"{net}.{first + 2}"
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self._near, "type", "veth", "peer", "name", far, "netns", self.name)
            ip("addr", "add", f"{self.address}/30", "dev", self._near)
            ip("link", "set", self._near, "up")
            ip("-n", self.name, "addr", "add", f"{inside}/30", "dev", far)
            ip("-n", self.name, "link", "set", far, "up")
            ip("-n", self.name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError:
            self.remove()
            raise

    def cut(self) -> None:
        ip("link", "set", self._near, "down")

    def mend(self) -> None:
        ip("link", "set", self._near, "up")

    def remove(self) -> None:
        ip("netns", "del", self.name)


@pytest.fixture
def networks() -> Iterator[tuple[Network, Network]]:
    needs("ip")
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    with ExitStack() as made:
        found = []
        for _ in range(2):
            try:
                found.append(Network())
            except subprocess.CalledProcessError as refused:
                pytest.skip(f"can't make a network namespace: {refused.stderr.decode().strip()}")
            made.callback(found[-1].remove)
        yield found[0], found[1]


@pytest.fixture
def hosts(
    tmp_path: Path, etcd: Etcd, networks: tuple[Network, Network], request: pytest.FixtureRequest
) -> Iterator[tuple[Host, Host]]:
    (tmp_path / "vms").mkdir()
    made = []
    with ExitStack() as ending:
        for number, network in enumerate(networks, 1):
            forwarder = Forwarder(network.address, int(etcd.endpoints[0].rpartition(":")[2]))
            ending.callback(forwarder.close)
            host = Host(
                f"host{number}", tmp_path / f"host{number}", tmp_path / "vms", etcd, request.node.name,
                prefix=("ip", "netns", "exec", network.name), order=("file",),
                endpoints=[f"http://{network.address}:{forwarder.port}"],
            )  # fmt: skip
            (host.images / "noble").write_bytes(NOBLE)
            host.add("noble", NOBLE, f"file://{host.images}/noble")
            ending.callback(host.end)
            made.append(host)
        yield made[0], made[1]


def test_hosts_in_namespaces_share_a_target(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    done = [each.end() for each in [each.start("fetch", "noble", each.path("1"), "--json") for each in hosts]]
    assert [each.code for each in done] == [0, 0], done
    assert sorted('"present": true' in each.out for each in done) == [False, True]
    assert first.recorded("1") == second.recorded("1")
    assert second.run("rm", second.path("1")).code == 0
    assert [*first.vms.iterdir()] == []


def test_a_host_that_is_cut_off_publishes_nothing(hosts: tuple[Host, Host], networks: tuple[Network, Network]) -> None:
    first, second = hosts
    cut_off = first.start(
        "fetch", "noble", first.path("1"), stop=("lading.adapters.destinations.file.notes", "Notes.landed", "before")
    )
    cut_off.wait_stopped()
    networks[0].cut()
    published = second.run("fetch", "noble", second.path("1"))  # it waits for the lease
    assert published.code == 0, published.err
    record, inode = second.recorded("1"), (second.vms / "1").stat().st_ino
    cut_off.thaw()
    done = cut_off.end()
    assert (done.code, LOST in done.err, "Traceback" in done.err) == (7, True, False), done.err
    networks[0].mend()
    recovered = first.run("recover")
    assert (recovered.code, first.intents()) == (0, []), recovered.err
    assert [(each.name, each.stat().st_ino) for each in first.vms.iterdir()] == [("1", inode)]
    assert first.recorded("1") == record
