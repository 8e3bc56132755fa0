"""Two hosts in network namespaces of their own; one loses its network while the other works."""

import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest
from tests.integration.etcd.hosts import Host
from tests.integration.services.etcd import Etcd
from tests.integration.services.network import Host as NetworkHost
from tests.integration.services.network import network

NOBLE: Final = random.Random("noble").randbytes(1 << 20)
LOST: Final = "is lost: its lease expired while this process was stopped or did not reach etcd"


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


@pytest.fixture
def networks() -> Iterator[Sequence[NetworkHost]]:
    with network(2) as made:
        yield made


@pytest.fixture
def hosts(
    tmp_path: Path, etcd: Etcd, networks: Sequence[NetworkHost], request: pytest.FixtureRequest
) -> Iterator[tuple[Host, Host]]:
    (tmp_path / "vms").mkdir()
    made = []
    with ExitStack() as ending:
        for number, there in enumerate(networks, 1):
            forwarder = Forwarder(there.outside, int(etcd.endpoints[0].rpartition(":")[2]))
            ending.callback(forwarder.close)
            host = Host(
                f"host{number}", tmp_path / f"host{number}", tmp_path / "vms", etcd, request.node.name,
                prefix=there.command, order=("file",),
                endpoints=[f"http://{there.outside}:{forwarder.port}"],
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


def test_a_partitioned_host_publishes_nothing(hosts: tuple[Host, Host], networks: Sequence[NetworkHost]) -> None:
    first, second = hosts
    partitioned = first.start(
        "fetch", "noble", first.path("1"), stop=("lading.adapters.destinations.file.notes", "Notes.landed", "before")
    )
    partitioned.wait_stopped()
    networks[0].disconnect()
    published = second.run("fetch", "noble", second.path("1"))  # it waits for the lease
    assert published.code == 0, published.err
    record, inode = second.recorded("1"), (second.vms / "1").stat().st_ino
    partitioned.thaw()
    done = partitioned.end()
    assert (done.code, LOST in done.err, "Traceback" in done.err) == (7, True, False), done.err
    networks[0].reconnect()
    recovered = first.run("recover")
    assert (recovered.code, first.intents()) == (0, []), recovered.err
    assert [(each.name, each.stat().st_ino) for each in first.vms.iterdir()] == [("1", inode)]
    assert first.recorded("1") == record
