"""Measures a database of a million associations: one lookup, compared with sqlite3 alone, and a list of all.

    python bench/associations.py [--count N] [--rounds N] [--database FILE] [--json FILE]

A lookup is `FileAssociations.get`, which returns an Association. Its peer is sqlite3's own SELECT of the same row by
its key, as text. Both are timed in turns on the same targets, which each round draws at random. The list reads all
associations in a separate process, which reports the time to the first one and its peak memory. Another process reads
only the first association, for comparison. A FILE that exists already is measured unchanged.
"""

import argparse
import json
import platform
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from lading.adapters.sqlite.associations import FileAssociations, put_step
from lading.adapters.sqlite.database import Database
from lading.ports.association import Association, Fingerprint
from lading.ports.image import Digest, Image
from lading.ports.location import Location

LOOKUPS: Final = 2_000
"""Lookups of each way in a round."""
BATCH: Final = 5_000
"""Associations in one transaction when the database is filled."""
GOAL: Final = 100.0
"""The most microseconds for a lookup."""
PEER: Final = "SELECT target, handler, image_id, document FROM associations WHERE target = ?"


def association(number: int) -> Association:
    """An association as a fetch records it: of an image of Glance with its hashes and some properties."""
    content = f"{number % 200:08x}"
    digest = Digest("sha512", content * 16)
    image = Image(
        f"{content}-4e4c-4c1a-a73d-069cbf4541e6",
        name=f"noble-server-{content}",
        size=3_758_096_384,
        disk_format="raw",
        container_format="bare",
        digest=digest,
        checksum=content * 4,
        properties={"os_distro": "ubuntu", "os_version": "24.04", "hw_disk_bus": "virtio", "min_disk": 0, "tags": []},
    )
    return Association(
        target=target(number),
        handler=("file", "rbd", "download")[number % 3],
        image=image,
        location=Location(f"rbd://b7d1c1b8/images/{image.id}/snap", {"store": "ceph"}),
        landed_at=datetime.fromtimestamp(1_767_225_600 + number, UTC),
        method="copy",
        size=image.size,
        digest=digest,
        verified=True,
        fingerprint=Fingerprint(2049, number, 3_758_096_384, 1_767_225_600_000_000_000, 1_767_225_600_000_000_000),
    )


def target(number: int) -> str:
    return f"/var/lib/nova/instances/{number:08x}-9a2b-4d5e-8f60-1c2d3e4f5a6b/disk"


def fill(path: Path, count: int) -> None:
    """Fills a new database."""
    with closing(Database(path)) as database:
        numbers = iter(range(count))
        while batch := [put_step(association(number)) for number in islice(numbers, BATCH)]:
            database.change(*batch)


def count_associations(path: Path) -> int:
    with closing(Database(path)) as database:
        return int(str(database.rows("SELECT count(*) FROM associations")[0][0]))


def timed(look_up: Callable[[str], object], targets: list[str]) -> Iterator[float]:
    """Yields the microseconds of each lookup."""
    for each in targets:
        started = time.perf_counter_ns()
        found = look_up(each)
        yield (time.perf_counter_ns() - started) / 1000
        if found is None:
            sys.exit(f"{each} was not found")


def measure_lookups(path: Path, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """The median over all rounds, and the smallest and largest median of a round."""
    took: dict[str, list[list[float]]] = {"lading": [], "sqlite3": []}
    with closing(Database(path)) as database, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        associations = FileAssociations(database)
        ways: dict[str, Callable[[str], object]] = {
            "lading": lambda each: associations.get(each).unwrap(),
            "sqlite3": lambda each: connection.execute(PEER, (each,)).fetchone(),
        }
        draw = random.Random(count)  # noqa: S311 - a sample, no secret
        for number in range(rounds):
            targets = [target(draw.randrange(count)) for _ in range(LOOKUPS)]
            # The first way finds fewer pages in memory, so each way is first in every second round.
            for name in sorted(ways, reverse=bool(number % 2)):
                took[name].append(list(timed(ways[name], targets)))
    return {name: summary(several) for name, several in took.items()}


def summary(rounds: list[list[float]]) -> dict[str, float]:
    medians = [statistics.median(each) for each in rounds]
    everything = sorted(each for several in rounds for each in several)
    return {
        "median": statistics.median(everything),
        "fastest_round": min(medians),
        "slowest_round": max(medians),
        "p99": everything[len(everything) * 99 // 100],
    }


def list_here(path: Path, most: int | None) -> dict[str, float]:
    """Lists that many associations, None for all. The process must do nothing else: its peak memory is measured."""
    started = time.perf_counter()
    with closing(Database(path)) as database:
        listed = FileAssociations(database).list()
        next(listed)
        first = time.perf_counter() - started
        count = 1 + sum(1 for _ in islice(listed, None if most is None else most - 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
    return {"count": count, "first": first * 1e3, "all": time.perf_counter() - started, "peak": peak / 2**20}


def in_a_process(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout or "{}")
    return found


def measure(path: Path, count: int, rounds: int) -> dict[str, object]:
    figures: dict[str, object] = {}
    if not path.exists():
        started = time.perf_counter()
        # In a process: the peak memory of later ones includes that of their parent at their start (getrusage(2)).
        in_a_process("--database", f"{path}", "--count", f"{count}", "--only", "fill")
        figures["fill_per_second"] = count / (time.perf_counter() - started)
    figures["count"] = count_associations(path)
    figures["database_mebibytes"] = path.stat().st_size / 2**20
    figures["list"] = in_a_process("--database", f"{path}", "--only", "list")
    figures["list_first_only"] = in_a_process("--database", f"{path}", "--only", "first")
    figures["lookup_microseconds"] = measure_lookups(path, count_associations(path), rounds)
    figures["python"], figures["sqlite"] = platform.python_version(), sqlite3.sqlite_version
    return figures


def show(figures: dict[str, object]) -> None:
    lookups, listed, first = figures["lookup_microseconds"], figures["list"], figures["list_first_only"]
    assert isinstance(lookups, dict)  # noqa: S101 - for the type checker
    assert isinstance(listed, dict)  # noqa: S101
    assert isinstance(first, dict)  # noqa: S101
    print(f"{figures['count']:,} associations, {figures['database_mebibytes']:,.0f} MiB", end="")
    print(f", Python {figures['python']}, SQLite {figures['sqlite']}\n")
    print(f"{'one lookup, µs':<28}{'median':>10}{'rounds':>20}{'99 %':>10}")
    for name, each in lookups.items():
        spread = f"{each['fastest_round']:.1f} … {each['slowest_round']:.1f}"
        print(f"{name:<28}{each['median']:>10.1f}{spread:>20}{each['p99']:>10.1f}")
    print(f"goal: below {GOAL:.0f}: {'met' if lookups['lading']['median'] < GOAL else 'MISSED'}\n")
    print(f"{'list, in its own process':<28}{'first, ms':>10}{'all, s':>20}{'peak, MiB':>10}")
    for name, each in (("all associations", listed), ("only the first one", first)):
        print(f"{name:<28}{each['first']:>10.1f}{each['all']:>20.2f}{each['peak']:>10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--count", type=int, default=1_000_000, metavar="N", help="associations in the database (default 1,000,000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, metavar="N", help=f"rounds of {LOOKUPS:,} lookups each (default 10)"
    )
    parser.add_argument(
        "--database", type=Path, metavar="FILE", help="the database; it is kept. Default: a temporary file"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--only", choices=["fill", "list", "first"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "fill":
        fill(options.database, options.count)
    elif options.only:
        print(json.dumps(list_here(options.database, 1 if options.only == "first" else None)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(options.database or Path(folder) / "lading.db", options.count, options.rounds)
        show(figures)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
