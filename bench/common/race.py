"""The common part of the benchmarks: timed processes, disk images, and goals as a share of a peer's time."""

import hashlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

MEBIBYTE: Final = 1 << 20
GIBIBYTE: Final = 1 << 30
HASH: Final = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha512')"


class Run(NamedTuple):
    seconds: float
    peak: int
    """Bytes, of its largest process."""
    processor: float = 0
    """Seconds of all its processes, in them and in the kernel."""


def run(command: Sequence[str], variables: Mapping[str, str]) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None  # noqa: S101 - for the type checker
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{errors}")
    return Run(seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)


def medians(runs: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """The median seconds of each way."""
    return {way: statistics.median(each.seconds for each in done) for way, done in runs.items()}


def processor_medians(runs: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """The median seconds of processor time of each way: they depend less on what else runs than the time does."""
    return {way: statistics.median(each.processor for each in done) for way, done in runs.items()}


class Goal(NamedTuple):
    """The most time that lading may take, as a share of the slowest of these peers."""

    name: str
    lading: str
    peers: tuple[str, ...]
    most: float | None
    """None: measured, but without a goal."""


def compare(
    goals: Sequence[Goal], medians: Mapping[str, float], start_up: str | None = None
) -> list[dict[str, object]]:
    """The table of the goals. `start_up` names a way that measures only lading's start-up, to subtract it."""
    rows: list[dict[str, object]] = []
    for goal in goals:
        row: dict[str, object] = {"against": goal.name, "lading": medians[goal.lading], "goal": goal.most}
        if all(peer in medians for peer in goal.peers):
            slowest = max(goal.peers, key=medians.__getitem__)
            row["peer"] = medians[slowest]
            row["ratio"] = medians[goal.lading] / medians[slowest]
            if start_up is not None:
                start = medians[start_up]
                beyond = medians[slowest] - (start if slowest.startswith("lading") else 0)
                row["beyond"] = (medians[goal.lading] - start) / beyond
        rows.append(row)
    return rows


def show(rows: Sequence[Mapping[str, object]]) -> None:
    beyond = f"{'beyond start-up':>17}" if any("beyond" in row for row in rows) else ""
    print(f"  {'against':<44}{'lading, s':>10}{'peer, s':>10}{beyond}{'ratio':>8}{'goal':>8}")
    for row in rows:
        print(f"  {row['against']:<44}{row['lading']:>10.2f}", end="")
        if "ratio" not in row:
            print("   not measured: this peer is not installed")
            continue
        most, ratio = row["goal"], row["ratio"]
        assert isinstance(ratio, float)  # noqa: S101 - for the type checker
        print(f"{row['peer']:>10.2f}", end="")
        if beyond:
            print(f"{row['beyond']:>17.2f}", end="")
        print(f"{ratio:>8.2f}", end="")
        if isinstance(most, float):
            print(f"{most:>8.2f}{verdict(ratio <= most)}")
        else:
            print(f"{'–':>8}")


def verdict(is_met: bool) -> str:  # noqa: FBT001 - its only argument
    return "  met" if is_met else "  MISSED"


class Disk(NamedTuple):
    """A raw image in a file, for the services."""

    name: str
    path: Path
    digest: str
    data: int
    """Bytes that are not holes."""

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def make_disk(path: Path, size: int, data: int) -> Disk:
    """Makes an image with data in at most 64 pieces that begin at a block, and holes between them."""
    pieces = min(64, data // 4096)
    with path.open("w+b") as file:
        file.truncate(size)
        for number in range(pieces):
            file.seek(number * (size // pieces))
            # In small steps: the peak memory of a process includes that of its parent at its start (getrusage(2)).
            for start in range(0, data // pieces, MEBIBYTE):
                file.write(os.urandom(min(MEBIBYTE, data // pieces - start)))
        os.fsync(file.fileno())
        file.seek(0)
        return Disk(path.stem, path, hashlib.file_digest(file, "sha512").hexdigest(), data)


def places(requested: Sequence[str]) -> dict[str, str | None]:
    """The folders for targets, by the name of the place; None is the default temporary folder."""
    places: dict[str, str | None] = {}
    if "shm" in requested and Path("/dev/shm").is_dir():  # noqa: S108 - the place for it
        places["shm"] = "/dev/shm"  # noqa: S108
    if "disk" in requested:
        places["disk"] = None
    return places


def machine() -> dict[str, object]:
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")), "?")
    versions = {"python": platform.python_version(), "kernel": platform.release()}
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg(), **versions}
