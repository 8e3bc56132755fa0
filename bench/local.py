"""Compares `lading fetch` of a file of this host with `cp --reflink=auto --sparse=auto`, as whole processes in one run.

The image is sparse: 4 GiB with 256 MiB of data. It is measured on XFS (reflink), this disk and tmpfs, where available.
lading flushes what it publishes and cp does not, so `cp` is also timed with `sync FILE` after it. Times are medians.
"Beyond start-up" means minus the time of `lading fetch` for an image of one block.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 1 << 20
LADING = [sys.executable, "-m", "lading"]
# Prints the seconds from the start of the process until it reads the source's first byte.
FIRST_BYTE = r"""
import os, sys, time
def print_time(*arguments):
    os.write(2, f"{time.time() - float(os.environ['STARTED'])}\n".encode())
    os._exit(0)
for name in ("copy_file_range", "preadv", "pread"):
    setattr(os, name, print_time)
from lading.__main__ import main
main()
"""


class Run(NamedTuple):
    seconds: float
    peak: int
    """Bytes."""


def run(command: Sequence[str], **variables: str) -> Run:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")
    return Run(seconds, usage.ru_maxrss * 1024)


def make_disk(path: Path, size: int, data: int) -> None:
    """Makes an image with data in 64 pieces, and holes between them."""
    with path.open("wb") as disk:
        disk.truncate(size)
        for piece in range(64 if data else 0):
            disk.seek(piece * (size // 64))
            disk.write(os.urandom(data // 64))
        os.fsync(disk.fileno())


@contextlib.contextmanager
def folders(requested: Sequence[str]) -> Iterator[dict[str, Path]]:
    """A folder on each of the requested kinds of file system that is available."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Path] = {}
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-")))
        if "disk" in requested:
            kind = subprocess.run(["stat", "-f", "-c", "%T", home], capture_output=True, text=True, check=True)
            found[f"disk ({kind.stdout.strip()})"] = home
        if "tmpfs" in requested and Path("/dev/shm").is_dir():  # noqa: S108 - the place for it
            found["tmpfs"] = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        if "xfs" in requested and os.geteuid() == 0 and shutil.which("mkfs.xfs"):
            image, mounted = home / "xfs.img", home / "xfs"
            make_disk(image, 2048 * MEBIBYTE, 0)
            mounted.mkdir()
            subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
            subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
            stack.callback(lambda: subprocess.run(["umount", mounted], check=True))
            found["xfs (reflink)"] = mounted
        yield found


class Bench:
    """The images in one folder, and the ways to copy them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "none"),
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(folder),
        }
        make_disk(folder / "big.img", 4096 * MEBIBYTE, 256 * MEBIBYTE)
        make_disk(folder / "small.img", 4096, 0)
        catalog = folder / "data" / "lading" / "catalog"
        catalog.mkdir(parents=True)
        for name in ("big", "small"):
            # With a digest, which a verified fetch needs; sha512 is Glance's algorithm.
            with (folder / f"{name}.img").open("rb") as disk:
                digest = hashlib.file_digest(disk, "sha512").hexdigest()
            document = {
                "id": name, "size": (folder / f"{name}.img").stat().st_size, "disk_format": "raw",
                "os_hash_algo": "sha512", "os_hash_value": digest, "locations": [{"url": f"file://{folder}/{name}.img"}],
            }  # fmt: skip
            (catalog / f"{name}.json").write_text(json.dumps(document))

    def fetch(self, name: str, *, verify: bool) -> Run:
        target = self.folder / "target"
        variables = self.variables | {"LADING_LANDING__VERIFY": str(verify).lower()}
        done = run([*LADING, "fetch", name, str(target)], **variables)
        self.blocks = target.stat().st_blocks
        run([*LADING, "rm", str(target)], **variables)
        return done

    def copy(self, *, flush: bool) -> Run:
        target = self.folder / "target"
        command = f"cp --reflink=auto --sparse=auto {self.folder}/big.img {target}" + (
            f" && sync {target}" if flush else ""
        )
        done = run(["sh", "-c", command])
        subprocess.run(["sync", target], check=True)
        self.blocks = target.stat().st_blocks
        target.unlink()
        return done

    def first_byte(self) -> float:
        variables = os.environ | self.variables | {"STARTED": str(time.time()), "LADING_LANDING__VERIFY": "false"}
        command = [sys.executable, "-c", FIRST_BYTE, "fetch", "big", str(self.folder / "target")]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return float(done.stderr.split()[0])


def measure(folder: Path, rounds: int, *, verify: bool) -> dict[str, float]:
    bench = Bench(folder)
    ways: dict[str, Callable[[], Run]] = {
        "start-up": lambda: bench.fetch("small", verify=False),
        "cp": lambda: bench.copy(flush=False),
        "cp, sync": lambda: bench.copy(flush=True),
        "lading": lambda: bench.fetch("big", verify=False),
        **({"lading, verified": lambda: bench.fetch("big", verify=True)} if verify else {}),
    }
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    blocks: dict[str, int] = {}
    first: list[float] = []
    for _ in range(rounds):
        for way, run_once in ways.items():
            runs[way].append(run_once())
            blocks[way] = bench.blocks
        first.append(bench.first_byte())
    figures = {f"{way} (s)": statistics.median(each.seconds for each in done) for way, done in runs.items()}
    beyond = figures["lading (s)"] - figures["start-up (s)"]
    return figures | {
        "lading beyond start-up / cp": beyond / figures["cp (s)"],
        "lading beyond start-up / cp, sync": beyond / figures["cp, sync (s)"],
        "first byte (s)": statistics.median(first),
        "blocks, cp": blocks["cp, sync"],
        "blocks, lading": blocks["lading"],
        "peak memory, lading (MiB)": max(each.peak for each in runs["lading"]) / MEBIBYTE,
        **({"peak, verified (MiB)": max(each.peak for each in runs["lading, verified"]) / MEBIBYTE} if verify else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds for the medians (default 5)")
    parser.add_argument(
        "--on",
        nargs="+",
        default=["xfs", "disk", "tmpfs"],
        choices=["xfs", "disk", "tmpfs"],
        help="file systems of the targets (default: all)",
    )
    parser.add_argument("--verify", action="store_true", help="measure also with verification, which hashes 4 GiB")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    with folders(options.on) as found:
        for kind, folder in found.items():
            table[kind] = measure(folder, options.rounds, verify=options.verify)
            print(kind)
            for name, value in table[kind].items():
                print(f"  {name:<36}{value:>12.3f}" if isinstance(value, float) else f"  {name:<36}{value:>12}")
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
