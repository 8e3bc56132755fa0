"""Compares associations and locks in etcd, of one member and of three, with SQLite and flock in one run.

    python bench/etcd.py [--count N] [--rounds N] [--members N ...] [--json FILE]

The etcds are started as in the integration tests, on this disk, and flush each write. The same associations are put
into each store: all under one host for `list`, and 100 of each host for `list_host`. All stores take turns in several
rounds. The figures are medians over all rounds, and as a ratio to SQLite or flock.

Then a separate process lists all associations and reports the time to the first one and its peak memory. Another one
reads only the first association, for comparison.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.associations import association, fill, target
from bench.common.race import machine, verdict
from tests.integration.services.etcd import Etcd, etcd
from tests.packages import program, want

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.settings import EtcdSettings
from lading.adapters.flock.locks import FileLocks
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.ports.association import Association
from lading.ports.locks import Locks

PER_HOST: Final = 100
"""Associations of each host, where there are many."""
HOST: Final = "host"
"""The only host, where there is one."""
LOOKUPS: Final = 200
CHANGES: Final = 40
"""Associations that are put and removed, and locks that are acquired, in a round."""
IMAGES: Final = 10
"""Images whose holders are read in a round."""
WRITERS: Final = 16
"""Threads that fill an etcd."""
PEER: Final = "SQLite, flock"
T = TypeVar("T")


class Goal(NamedTuple):
    operation: str
    store: str
    most: float
    """Milliseconds."""


GOALS: Final = (
    Goal("get", "etcd of 1", 10),
    Goal("lock and unlock", "etcd of 1", 20),
    Goal("list, all hosts", "etcd of 1", 1000),
)


@dataclass(frozen=True, slots=True)
class Store:
    """A store with its locks, and its ways to list."""

    get: Callable[[str], object]
    put: Callable[[Association], object]
    remove: Callable[[str], object]
    locks: Locks
    list_own: Callable[[], Iterator[object]]
    list_all: Callable[[], Iterator[object]]
    holders: Callable[[str], Iterator[object]]


def sqlite_store(folder: Path, count: int) -> Store:
    """A database with all associations."""
    path = folder / "lading.db"
    fill(path, count)
    store = FileAssociations(Database(path))
    return Store(
        get=lambda name: store.get(name).unwrap() or sys.exit(f"{name} was not found"),
        put=lambda each: store.put(each).unwrap(),
        remove=lambda name: store.remove(name).unwrap(),
        locks=FileLocks(folder / "locks"),
        list_own=store.list,
        list_all=store.list,
        holders=lambda image: store.list(image_id=image),
    )


def etcd_store(running: Etcd, count: int) -> Store:
    """An etcd with all associations twice: under one host, and under many."""
    cluster = Cluster(running.settings())
    store, many = (EtcdAssociations(cluster, Keys(name), Scopes(HOST)) for name in ("one", "many"))
    hosts = [EtcdAssociations(cluster, Keys("many"), Scopes(host_name(each))) for each in range(-(-count // PER_HOST))]

    def put_both(number: int) -> None:
        store.put(association(number)).unwrap()
        hosts[number // PER_HOST].put(association(number)).unwrap()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(put_both, range(count)))
    return Store(
        get=lambda name: store.get(name).unwrap() or sys.exit(f"{name} was not found"),
        put=lambda each: store.put(each).unwrap(),
        remove=lambda name: store.remove(name).unwrap(),
        locks=EtcdLocks(cluster, Keys("one"), host=HOST),
        list_own=store.list,
        list_all=many.list_host,
        holders=many.holders,
    )


def host_name(number: int) -> str:
    return f"compute-{number:05}.example.org"


def timed(operation: Callable[[T], object], arguments: Iterable[T]) -> list[float]:
    """The milliseconds of each operation."""
    took = []
    for each in arguments:
        started = time.perf_counter_ns()
        operation(each)
        took.append((time.perf_counter_ns() - started) / 1e6)
    return took


def length(listed: Iterator[object]) -> int:
    return sum(1 for _ in listed)


def check(name: str, store: Store, count: int) -> None:
    """Ends the program when the store does not list what was put into it."""
    own, of_all = length(store.list_own()), length(store.list_all())
    if (own, of_all) != (count, count):
        sys.exit(f"{name} lists {own:,} associations of this host and {of_all:,} of all instead of {count:,}")


def measure_round(store: Store, count: int, draw: random.Random) -> dict[str, list[float]]:
    """Milliseconds of each operation."""

    def lock_and_unlock(name: str) -> None:
        with store.locks.hold(name, wait=False) as is_held:
            if not is_held:
                sys.exit(f"{name} is locked")

    new = range(count, count + CHANGES)
    return {
        "get": timed(store.get, [target(draw.randrange(count)) for _ in range(LOOKUPS)]),
        "put": timed(store.put, [association(number) for number in new]),
        "remove": timed(store.remove, [target(number) for number in new]),
        "lock and unlock": timed(lock_and_unlock, [f"target {target(number)}" for number in new]),
        "holders of an image": timed(
            lambda image: length(store.holders(image)), [image_id(draw.randrange(count)) for _ in range(IMAGES)]
        ),
        "list, this host": timed(lambda _: length(store.list_own()), [None]),
        "list, all hosts": timed(lambda _: length(store.list_all()), [None]),
    }


def image_id(number: int) -> str:
    """The id of the association's image."""
    image = association(number).image
    assert image is not None  # noqa: S101 - for the type checker
    return image.id


def measure(stores: Mapping[str, Store], count: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """The median of each operation in each store, and the smallest and largest median of a round, in milliseconds."""
    took: dict[str, list[dict[str, list[float]]]] = {name: [] for name in stores}
    for number in range(rounds):
        for name in sorted(stores, reverse=bool(number % 2)):
            took[name].append(measure_round(stores[name], count, random.Random(number)))  # noqa: S311 - a sample
    return {
        name: {operation: summary([each[operation] for each in several]) for operation in several[0]}
        for name, several in took.items()
    }


def summary(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    medians = [statistics.median(each) for each in rounds]
    return {
        "median": statistics.median(each for several in rounds for each in several),
        "fastest_round": min(medians),
        "slowest_round": max(medians),
    }


def list_here(endpoint: str, most: int | None) -> dict[str, float]:
    """Lists that many associations, None for all. The process must do nothing else: its peak memory is measured."""
    store = EtcdAssociations(Cluster(EtcdSettings(endpoints=(endpoint,))), Keys("many"), Scopes(HOST))
    started = time.perf_counter()
    listed = store.list_host()
    next(listed)
    first = time.perf_counter() - started
    count = 1 + (length(listed) if most is None else 0)
    return {"count": count, "first": first * 1e3, "all": time.perf_counter() - started, "peak": peak_memory()}


def peak_memory() -> float:
    """MiB. getrusage(2) would include the memory of the parent at the start of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def list_in_process(running: Etcd, only: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", only, "--endpoint", running.endpoints[0]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def show(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    others = [name for name in figures if name != PEER]
    print(f"{'median, ms':<22}{PEER:>14}", *(f"{name:>12}{'rounds':>20}{'ratio':>8}" for name in others), sep="")
    for operation, peer in figures[PEER].items():
        print(f"{operation:<22}{peer['median']:>14.3f}", end="")
        for name in others:
            found = figures[name][operation]
            spread = f"{found['fastest_round']:.2f} … {found['slowest_round']:.2f}"
            print(f"{found['median']:>12.2f}{spread:>20}{found['median'] / peer['median']:>8.1f}", end="")
        print()
    for goal in GOALS:
        if goal.store in figures:
            median = figures[goal.store][goal.operation]["median"]
            print(f"goal: {goal.operation}, {goal.store}, at most {goal.most:g} ms:{verdict(median <= goal.most)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="associations (default 10,000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds for the medians (default 5)")
    parser.add_argument(
        "--members", type=int, nargs="+", default=[1, 3], metavar="N", help="sizes of the etcds (default: 1 3)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--only", choices=["all", "first"], help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(list_here(options.endpoint, 1 if options.only == "first" else None)))
        return
    if program("etcd") is None:
        print(f"not measured: {want('etcd')}")
        return
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-")))
        running: dict[str, Etcd] = {}
        stores = {PEER: sqlite_store(top, options.count)}
        for size in options.members:
            name, folder = f"etcd of {size}", top / f"{size}"
            folder.mkdir()
            running[name] = stack.enter_context(etcd(folder, size))
            stores[name] = etcd_store(running[name], options.count)
        for name, store in stores.items():
            check(name, store, options.count)
        figures = measure(stores, options.count, options.rounds)
        listed = {
            name: {only: list_in_process(each, only) for only in ("first", "all")} for name, each in running.items()
        }
    print(f"{options.count:,} associations, {options.rounds} rounds, Python {platform.python_version()}")
    show(figures)
    for name, each in listed.items():
        for only, found in each.items():
            print(f"{name}, a process that reads {only:<6}{found['count']:>8,.0f} associations, ", end="")
            print(f"first {found['first']:.1f} ms, all {found['all']:.2f} s, peak {found['peak']:.1f} MiB")
    if options.json:
        everything = {"machine": machine(), "count": options.count, "milliseconds": figures, "list": listed}
        options.json.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
