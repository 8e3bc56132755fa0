"""What the races have in common: whole processes, timed; disks; goals as a share of a peer's time."""

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
    """Bytes."""


def run(command: Sequence[str], variables: Mapping[str, str]) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None  # noqa: S101 - for the type checker
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{said}")
    return Run(seconds, usage.ru_maxrss * 1024)


def medians(runs: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """Seconds, by way."""
    return {way: statistics.median(each.seconds for each in done) for way, done in runs.items()}


class Goal(NamedTuple):
    """What lading shall take at most, as a share of the slowest of these peers."""

    name: str
    lading: str
    peers: tuple[str, ...]
    most: float | None
    """None: no goal, but good to know."""


def judged(goals: Sequence[Goal], medians: Mapping[str, float], start_up: str | None = None) -> list[dict[str, object]]:
    """The goals' table; with a way that is nothing but lading's start-up, also without it."""
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
            print("   not measured: there is no such peer here")
            continue
        most, ratio = row["goal"], row["ratio"]
        assert isinstance(ratio, float)  # noqa: S101 - for the type checker
        print(f"{row['peer']:>10.2f}", end="")
        if beyond:
            print(f"{row['beyond']:>17.2f}", end="")
        print(f"{ratio:>8.2f}", end="")
        if isinstance(most, float):
            print(f"{most:>8.2f}{told(ratio <= most)}")
        else:
            print(f"{'–':>8}")


def told(is_met: bool) -> str:  # noqa: FBT001 - its one argument
    return "  met" if is_met else "  MISSED"


class Disk(NamedTuple):
    """A raw image as a file, as services are given it."""

    name: str
    path: Path
    digest: str
    data: int
    """Bytes that are no hole."""

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def make_disk(path: Path, size: int, data: int) -> Disk:
    """Data in 64 pieces, at the most, that begin at a block; holes between them."""
    pieces = min(64, data // 4096)
    with path.open("w+b") as file:
        file.truncate(size)
        for number in range(pieces):
            file.seek(number * (size // pieces))
            # In small steps: a process starts with its parent's memory on its account (getrusage(2)).
            for start in range(0, data // pieces, MEBIBYTE):
                file.write(os.urandom(min(MEBIBYTE, data // pieces - start)))
        os.fsync(file.fileno())
        file.seek(0)
        return Disk(path.stem, path, hashlib.file_digest(file, "sha512").hexdigest(), data)


def places(asked: Sequence[str]) -> dict[str, str | None]:
    """Where targets can be: the folder in which to make one, None for the usual."""
    places: dict[str, str | None] = {}
    if "shm" in asked and Path("/dev/shm").is_dir():  # noqa: S108 - the place for it
        places["shm"] = "/dev/shm"  # noqa: S108
    if "disk" in asked:
        places["disk"] = None
    return places


def machine() -> dict[str, object]:
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")), "?")
    versions = {"python": platform.python_version(), "kernel": platform.release()}
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg(), **versions}
