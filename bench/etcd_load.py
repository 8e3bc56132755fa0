"""Measures how many changes a second an etcd of one member and of three can make.

    python bench/etcd_load.py [--seconds N] [--workers N ...] [--members N ...] [--json FILE]

Workers put associations and remove them, each under its lock, as fast as they can: as hosts do that fetch and remove
without images. A worker is a process. The workers share this machine with etcd, so its figures are less than those of
an etcd with machines of its own.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.associations import association, target
from bench.common.etcd_counters import counters
from bench.common.race import machine
from tests.integration.services.etcd import Etcd, Member, etcd
from tests.packages import program, want

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.settings import EtcdSettings

START_UP: Final = 0.3
"""Seconds for each worker to start and connect, before all of them begin."""


def processor_seconds(members: Sequence[Member]) -> float:
    """The processor time of the members since their start."""
    ticks = 0
    for each in members:
        assert each.process.running is not None  # noqa: S101 - for the type checker
        # proc(5): utime and stime are the 14th and 15th fields. The second may have spaces.
        fields = Path(f"/proc/{each.process.running.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def simulate(endpoints: tuple[str, ...], begin: float, end: float, number: int) -> list[float]:
    """Fetches and removes as a host does it, without images. Returns the milliseconds of each.

    `begin` and `end` are of the monotonic clock, which all processes share.
    """
    turn = number % len(endpoints)  # each host has another member as its first
    cluster = Cluster(EtcdSettings(endpoints=endpoints[turn:] + endpoints[:turn], timeout=60))
    name = f"load-{number}"
    locks = EtcdLocks(cluster, Keys("load"), host=name)
    store = EtcdAssociations(cluster, Keys("load"), Scopes(name), locks.fence)

    def change(*, fetch: bool) -> None:
        with locks.hold(f"target {target(number)}"):
            (store.put(association(number)) if fetch else store.remove(target(number))).unwrap()

    change(fetch=False)  # connects
    time.sleep(max(0.0, begin - time.monotonic()))
    took: list[float] = []
    while time.monotonic() < end:
        started = time.perf_counter()
        change(fetch=len(took) % 2 == 0)
        took.append((time.perf_counter() - started) * 1e3)
    return took


class Load(NamedTuple):
    """Changes by so many workers at once."""

    changes: float
    """A second, each under its lock."""
    writes: float
    """A second, in the log of raft."""
    flushes: float
    """A second, of the first member's log."""
    median: float
    """Milliseconds of a change."""
    slowest: float
    """Milliseconds: 99 of 100 take less."""
    etcd: float
    """Processor milliseconds of all members for a change."""


def measure_load(running: Etcd, workers: int, seconds: float) -> Load:
    first = running.members[0]
    begin = time.monotonic() + 2 + START_UP * workers
    work = partial(simulate, running.endpoints, begin, begin + seconds)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        results = [pool.submit(work, number) for number in range(workers)]
        time.sleep(max(0.0, begin - time.monotonic()))
        before, used = counters(first), processor_seconds(running.members)
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        more, used = counters(first), processor_seconds(running.members) - used
        more.subtract(before)
        changes = sorted(each for result in results for each in result.result())
    return Load(
        len(changes) / seconds,
        more["etcd_server_proposals_committed_total"] / seconds,
        more["etcd_disk_wal_fsync_duration_seconds_count"] / seconds,
        statistics.median(changes),
        changes[len(changes) * 99 // 100],
        used * 1e3 / len(changes),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, metavar="N", help="of each load (default 10)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 4, 16, 64], metavar="N", help="at once (default: 1 4 16 64)"
    )
    parser.add_argument(
        "--members", type=int, nargs="+", default=[1, 3], metavar="N", help="sizes of the etcds (default: 1 3)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    if program("etcd") is None:
        print(f"not measured: {want('etcd')}")
        return
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    figures: dict[str, dict[int, Load]] = {}
    for size in options.members:
        with tempfile.TemporaryDirectory(prefix="lading-bench-") as folder, etcd(Path(folder), size) as running:
            figures[f"etcd of {size}"] = {
                each: measure_load(running, each, options.seconds) for each in options.workers
            }
    print(f"\n{'workers':<22}{'changes/s':>11}{'writes/s':>11}{'flushes/s':>11}", end="")
    print(f"{'median, ms':>12}{'99 %, ms':>11}{'etcd, ms':>11}  of processor time for a change")
    for name, loads in figures.items():
        for workers, each in loads.items():
            print(f"{name:<14}{workers:>8}{each.changes:>11.0f}{each.writes:>11.0f}{each.flushes:>11.0f}", end="")
            print(f"{each.median:>12.1f}{each.slowest:>11.1f}{each.etcd:>11.2f}")
    if options.json:
        found = {name: {each: load._asdict() for each, load in loads.items()} for name, loads in figures.items()}
        options.json.write_text(json.dumps({"machine": machine(), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
