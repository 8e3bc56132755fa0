"""Measures what hosts ask of an etcd that keeps their associations and locks, and extrapolates to many hosts.

    python bench/etcd_hosts.py [--commands N] [--count N] [--json FILE]

1. Commands: `lading fetch` and others run as processes, in turn. etcd's own counters and a relay before it tell the
   requests, writes and bytes of each. A write is an entry in the log of raft: most of the members flush each.
2. Locks: what a process asks that holds a lock, and one that waits for it, over two times of a lease.
3. Associations: the bytes of each in etcd's database, etcd's memory, and its time to start again.

The last table extrapolates from these figures to 100, 1,000 and 10,000 hosts. See docs/scale.md.
"""

import argparse
import json
import os
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.associations import association
from bench.common.etcd_counters import counters
from bench.common.race import MEBIBYTE, machine, make_disk, run
from tests.integration.services.etcd import Etcd, Member, etcd
from tests.packages import program, want
from tests.proxies import Relay

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks

LEASE: Final = 6
"""Seconds of a lease while locks are measured."""
NO_EXPIRY: Final = 600
"""Seconds of a lease that does not expire while commands are measured."""
DEFAULT_LEASE: Final = 30
KEYS_EACH: Final = 4
"""Keys of an association whose digest is the catalog's: the target, the handler, the image's id, and the digest."""
FETCH_SECONDS: Final = 60
RENEWALS: Final = 3
"""Keep-alives in the time of a lease."""
PER_DAY: Final = 100
"""Fetches of a host in a day, and as many removals."""
PER_HOST: Final = 100
"""Targets of a host."""
PEAK: Final = 10
"""Operations a second in the busiest time, as a multiple of the mean."""
SECONDS_PER_DAY: Final = 86_400
HOSTS: Final = (100, 1_000, 10_000)


class Meter(Relay):
    """A relay before a member that counts connections and bytes."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._server = urlsplit(url).hostname, urlsplit(url).port
        self.bytes = self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        self.connections += 1
        with socket.create_connection(self._server) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            others = {client: server, server: client}
            while True:
                for each in select.select([client, server], [], [])[0]:
                    data = each.recv(65536)
                    if not data:
                        return
                    self.bytes += len(data)
                    others[each].sendall(data)


class Asked(NamedTuple):
    """What etcd was asked, for each operation."""

    requests: Mapping[str, float]
    """By gRPC's name of the method."""
    writes: float
    leases: float
    """Each is revoked by etcd when it expires: one more write."""
    log_bytes: float
    """Bytes in the log of raft, of one member."""
    wire_bytes: float
    connections: float


METHODS: Final = ("Range", "Txn", "LeaseGrant", "LeaseKeepAlive", "Lock", "Watch")


def asked(member: Member, meter: Meter, operations: Sequence[Callable[[], object]]) -> Asked:
    """Runs the operations one after another."""
    before, moved, opened = counters(member), meter.bytes, meter.connections
    for each in operations:
        each()
    count = len(operations)
    more = counters(member)
    more.subtract(before)
    return Asked(
        {name: more[name] / count for name in METHODS},
        more["etcd_server_proposals_committed_total"] / count,
        more["etcd_debugging_lease_granted_total"] / count,
        more["etcd_disk_wal_write_bytes_total"] / count,
        (meter.bytes - moved) / count,
        (meter.connections - opened) / count,
    )


def measure_commands(running: Etcd, folder: Path, count: int, *, locks: bool) -> dict[str, Asked]:
    """Each command, on as many targets. `locks`: these are in etcd too."""
    (member,) = running.members
    with Meter(member.url) as meter:
        environment = host(folder, meter.url, locks=locks)

        def lading(*arguments: str) -> None:
            run([sys.executable, "-m", "lading", *arguments], environment)

        vms = [str(folder / f"vm{number}") for number in range(count)]
        moved = [f"{each}-moved" for each in vms]
        lading("ls")  # makes the database of the journal
        return {
            "fetch": asked(member, meter, [partial(lading, "fetch", "noble", each) for each in vms]),
            "fetch, at the target already": asked(
                member, meter, [partial(lading, "fetch", "noble", each) for each in vms]
            ),
            "verify": asked(member, meter, [partial(lading, "verify", each) for each in vms]),
            "mv": asked(member, meter, [partial(lading, "mv", *each) for each in zip(vms, moved, strict=True)]),
            f"ls of {count}": asked(member, meter, [partial(lading, "ls")] * count),
            "rm": asked(member, meter, [partial(lading, "rm", each) for each in moved]),
        }


def host(folder: Path, endpoint: str, *, locks: bool) -> dict[str, str]:
    """The variables of a host with one image in its catalog."""
    disk = make_disk(folder / "noble.img", MEBIBYTE, MEBIBYTE)
    document = {
        "id": "9b3f0c1e-4e4c-4c1a-a73d-069cbf4541e6", "name": "noble", "size": disk.size, "disk_format": "raw",
        "container_format": "bare", "os_hash_algo": "sha512", "os_hash_value": disk.digest,
        "locations": [{"url": disk.path.as_uri()}],
    }  # fmt: skip
    (folder / "catalog").mkdir()
    (folder / "catalog" / "noble.json").write_text(json.dumps(document))
    shared = f'[locks]\nkind = "etcd"\nscope = "storage"\nlease = {NO_EXPIRY}\n' if locks else ""
    (folder / "lading.toml").write_text(
        f'[catalog]\nfolder = "{folder / "catalog"}"\n[handlers.file]\nallowed_folders = ["{folder}"]\n'
        f'[associations]\nkind = "etcd"\nendpoints = ["{endpoint}"]\nnamespace = "{folder.name}"\n{shared}'
    )
    return {
        "PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8",
        "LADING_CONFIG": str(folder / "lading.toml"), "XDG_DATA_HOME": str(folder / "data"),
    }  # fmt: skip


def measure_locks(running: Etcd) -> dict[str, Asked]:
    """Over two times of a lease: a process without a lock, one that holds a lock, and in addition one that waits."""
    (member,) = running.members
    with Meter(member.url) as meter:
        cluster = Cluster(running.settings(endpoints=(meter.url,)))
        holder, waiter = (
            EtcdLocks(cluster, Keys("locks"), host=name, scope="storage", seconds=LEASE) for name in ("one", "two")
        )
        time_passes = partial(time.sleep, 2 * LEASE)
        with waiter.hold("target /one"), holder.hold("target /two"):
            pass  # connects
        found = {"no lock": asked(member, meter, [time_passes])}
        with holder.hold("target /vm"):
            found["a lock is held"] = asked(member, meter, [time_passes])
            waiting = threading.Thread(target=hold_once, args=(waiter, "target /vm"))

            def wait() -> None:
                waiting.start()
                time_passes()

            found["it is held, and another one waits"] = asked(member, meter, [wait])
        waiting.join()
    return found


def hold_once(locks: EtcdLocks, name: str) -> None:
    with locks.hold(name):
        pass


def measure_associations(running: Etcd, count: int) -> dict[str, float]:
    """Puts the associations of hosts, and forgets all revisions but the last."""
    (member,) = running.members
    cluster = Cluster(running.settings())

    def put(number: int) -> None:
        store = EtcdAssociations(cluster, Keys("many"), Scopes(f"compute-{number // PER_HOST:05}.example.org"))
        store.put(association(number)).unwrap()

    running.compact()
    before = size_in_use(member)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(count)))
    running.compact()
    after = size_in_use(member)
    memory = resident(member)
    started = time.perf_counter()
    member.process.kill()
    member.start()
    return {
        "count": count,
        "bytes_each": (after - before) / count,
        "memory_mebibytes": memory,
        "restart_seconds": time.perf_counter() - started,
    }


def size_in_use(member: Member) -> int:
    member.ask("maintenance/defragment", {}, seconds=120)
    return int(member.ask("maintenance/status", {})["dbSizeInUse"])


def resident(member: Member) -> float:
    """MiB."""
    assert member.process.running is not None  # noqa: S101 - for the type checker
    lines = Path(f"/proc/{member.process.running.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class Estimate(NamedTuple):
    """What so many hosts ask. Rates are a second, in the busiest time."""

    hosts: int
    keys: int
    mebibytes: float
    """Of etcd's database, without earlier revisions."""
    writes: float
    reads: float
    wire_kibibytes: float
    leases: float
    """Leases at a time, with the default lease of 30 s."""
    keep_alives: float


def estimates(commands: Mapping[str, Asked], associations: Mapping[str, float]) -> list[Estimate]:
    """For hosts that each fetch and remove so many targets a day."""
    both = [commands["fetch"], commands["rm"]]
    found = []
    for hosts in HOSTS:
        rate = hosts * PER_DAY / SECONDS_PER_DAY * PEAK
        leases = rate * sum(each.leases for each in both)
        held_leases = rate * commands["fetch"].leases * FETCH_SECONDS
        found.append(
            Estimate(
                hosts,
                hosts * PER_HOST * KEYS_EACH,
                hosts * PER_HOST * associations["bytes_each"] / MEBIBYTE,
                rate * sum(each.writes + each.leases for each in both),
                rate * sum(reads(each) for each in both),
                rate * sum(each.wire_bytes for each in both) / 1024,
                leases * DEFAULT_LEASE + held_leases,
                held_leases * RENEWALS / DEFAULT_LEASE,
            )
        )
    return found


def reads(each: Asked) -> float:
    """The requests that write nothing."""
    return each.requests["Range"] + each.requests["Txn"] + each.requests["LeaseGrant"] - each.writes


def show(figures: Mapping[str, Mapping[str, Asked]]) -> None:
    for title, found in figures.items():
        print(f"\n{title:<34}", *(f"{name:>15}" for name in METHODS), sep="", end="")
        print(f"{'writes':>8}{'leases':>8}{'log, B':>9}{'wire, B':>9}{'connections':>13}")
        for name, each in found.items():
            print(f"{name:<34}", *(f"{each.requests[method]:>15.2f}" for method in METHODS), sep="", end="")
            print(f"{each.writes:>8.2f}{each.leases:>8.2f}{each.log_bytes:>9.0f}{each.wire_bytes:>9.0f}", end="")
            print(f"{each.connections:>13.1f}")


def show_estimates(title: str, found: Sequence[Estimate]) -> None:
    print(
        f"\n{title}; {PER_HOST} targets of a host, {PER_DAY} fetches of {FETCH_SECONDS} s and as many removals", end=""
    )
    print(f" a day; rates at {PEAK} times the mean")
    print(
        f"{'hosts':>10}{'keys':>12}{'MiB':>10}{'writes/s':>10}{'reads/s':>10}{'KiB/s':>10}{'leases':>10}{'keep-alives/s':>15}"
    )
    for each in found:
        print(f"{each.hosts:>10,}{each.keys:>12,}{each.mebibytes:>10,.0f}{each.writes:>10,.1f}", end="")
        print(f"{each.reads:>10,.1f}{each.wire_kibibytes:>10,.0f}{each.leases:>10,.0f}{each.keep_alives:>15,.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commands", type=int, default=5, metavar="N", help="commands of each kind (default 5)")
    parser.add_argument("--count", type=int, default=2_000, metavar="N", help="associations (default 2,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    if program("etcd") is None:
        print(f"not measured: {want('etcd')}")
        return
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-")))
        for name in ("etcd", "own-locks", "shared-locks"):
            (top / name).mkdir()
        running = stack.enter_context(etcd(top / "etcd"))
        own = measure_commands(running, top / "own-locks", options.commands, locks=False)
        shared = measure_commands(running, top / "shared-locks", options.commands, locks=True)
        locks = measure_locks(running)
        associations = measure_associations(running, options.count)
    show(
        {
            "each command, locks on the host": own,
            "each command, locks in etcd": shared,
            f"over {2 * LEASE} s, lease of {LEASE} s": locks,
        }
    )
    print(
        f"\n{associations['count']:,.0f} associations: {associations['bytes_each']:,.0f} bytes each in the database",
        end="",
    )
    print(f", etcd {associations['memory_mebibytes']:.0f} MiB, started in {associations['restart_seconds']:.1f} s")
    show_estimates("locks on the host", estimates(own, associations))
    show_estimates("locks in etcd", estimates(shared, associations))
    if options.json:
        found = {"machine": machine(), "own_locks": own, "shared_locks": shared, "locks": locks}
        options.json.write_text(json.dumps({**found, "associations": associations}, indent=2) + "\n")


if __name__ == "__main__":
    main()
