"""Compares `lading fetch` of images in other forms with the tools that a person would use, as whole processes.

    python bench/forms.py [--rounds N] [--size MIB] [--only KIND …] [--folder FOLDER] [--json FILE]

Packed images: a disk of 4 GiB, with data of this machine's libraries and a quarter of zeros, comes from an nginx on
loopback as xz, gz and zst. The peer is one pipe of curl, `tee` into sha512sum and the fastest decompressor that is
installed, and then `sync FILE`. Where that can leave out zeros it does so, as lading does. The packed file consists of
streams of 512 MiB each, so that it is made soon; `xz -T0` makes blocks, which its decompressor takes on all cores.

Converted images: a qcow2 with 4 GiB, of which 1 GiB is random data, comes from nginx and from a folder, and becomes
raw. The peers are `qemu-img convert` and then `sync FILE`, and SHA-512 of what was shipped.

Every catalog has the SHA-512 of what was shipped, which lading compares; and it hashes the disk, for `lading verify`.
The ways run in turns for several rounds; the figures are medians. Peak memory is of the largest process.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common.race import (
    HASH,
    MEBIBYTE,
    Goal,
    Run,
    compare,
    machine,
    make_disk,
    medians,
    processor_medians,
    run,
    show,
    verdict,
)
from bench.unpacking import plain_data
from tests.integration.services.nginx import Nginx, nginx

MOST_MEMORY: Final = 160
"""MiB."""


class Packing(NamedTuple):
    compress: str
    decompress: tuple[str, ...]
    """From standard input to TARGET, the fastest first."""


PACKINGS: Final = {
    "xz": Packing("xz -6 -T1 -c", ("xz -T0 -dc > TARGET",)),
    "xz -T0": Packing("xz -6 -T0 -c", ("xz -T0 -dc > TARGET",)),
    "gz": Packing("gzip -6 -c", ("igzip -dc > TARGET", "pigz -dc > TARGET", "gzip -dc > TARGET")),
    "zst": Packing("zstd -3 -qc", ("zstd -dqf --sparse -o TARGET",)),
}
"""xz leaves out zeros by itself; those of gz cannot."""
CONVERTED: Final = "qcow2"


class Bench:
    """The nginx, the catalog, and the ways of each image."""

    def __init__(self, folder: Path, nginx: Nginx) -> None:
        self.catalog, self.target, self.nginx = folder / "catalog", folder / "target", nginx
        self.catalog.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "LADING_CATALOG__KIND": "file",
            "LADING_CATALOG__FOLDER": str(self.catalog),
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(nginx.folder),
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.0/8",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "",
        }

    def serve(self, name: str, disk_format: str, container_format: str) -> Path:
        """Adds the file on nginx to the catalog, by its name, and in the folder as `NAME, folder`."""
        path = self.nginx.folder / name
        digest = subprocess.run(["sha512sum", path], check=True, capture_output=True, text=True).stdout.split()[0]
        for image, url in ((name, self.nginx.url(name)), (f"{name}, folder", path.as_uri())):
            document = {
                "id": image, "size": path.stat().st_size, "disk_format": disk_format, "status": "active",
                "container_format": container_format, "os_hash_algo": "sha512", "os_hash_value": digest,
                "locations": [{"url": url}],
            }  # fmt: skip
            (self.catalog / f"{image}.json").write_text(json.dumps(document))
        return path

    def packed(self, kind: str, stream: Path, count: int) -> dict[str, Sequence[str]]:
        """Makes an image of so many equal streams; returns the ways to fetch it."""
        packing = PACKINGS[kind]
        name = f"disk.{kind.replace(' ', '')}"
        with (self.nginx.folder / name).open("wb") as file:
            for _ in range(count):
                with stream.open("rb") as source:
                    shutil.copyfileobj(source, file, MEBIBYTE)  # see `make_disk` for the small steps
        self.serve(name, "raw", "compressed")
        ways: dict[str, Sequence[str]] = {f"lading, {kind}": self.lading(name)}
        for command in installed(packing.decompress):
            decompress = command.replace("TARGET", shlex.quote(str(self.target)))
            pipe = f"curl -sSf {self.nginx.url(name)} | tee >(sha512sum >/dev/null) | {decompress}"
            ways[peer(command, kind)] = ["bash", "-c", f"set -o pipefail; {pipe} && sync {self.target} && wait"]
        return ways

    def converted(self, size: int) -> dict[str, Sequence[str]]:
        """Makes a qcow2; returns the ways to fetch and to convert it."""
        disk = make_disk(self.nginx.folder / "disk.raw", size, size // 4)
        path = self.nginx.folder / "disk.qcow2"
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk.path, path], check=True)
        disk.path.unlink()
        self.serve(path.name, "qcow2", "bare")
        convert = f"qemu-img convert -f qcow2 -O raw {path} {self.target} && sync {self.target}"
        return {
            "lading, qcow2 from nginx": [*self.lading(path.name), "--format", "raw"],
            "lading, qcow2 from a folder": [*self.lading(f"{path.name}, folder"), "--format", "raw"],
            "qemu-img convert, sync": ["sh", "-c", convert],
            "sha512, qcow2": [sys.executable, "-c", HASH, str(path)],
        }

    def lading(self, image: str) -> list[str]:
        return [sys.executable, "-m", "lading", "fetch", image, str(self.target)]

    def carry(self, command: Sequence[str], size: int) -> Run:
        os.sync()
        # Each run makes a database of its own, as on a new host.
        with tempfile.TemporaryDirectory(dir=self.target.parent) as data:
            done = run(command, {**self.environment, "XDG_DATA_HOME": data})
        if self.target.exists():
            if self.target.stat().st_size != size:
                sys.exit(f"{command} made {self.target.stat().st_size} bytes instead of {size}")
            self.target.unlink()
        return done


def installed(commands: Sequence[str]) -> list[str]:
    return [each for each in commands if shutil.which(each.split()[0]) is not None]


def peer(command: str, kind: str) -> str:
    return f"curl, sha512sum, {command.partition(' ')[0]} ({kind})"


def make_streams(folder: Path, size: int, kinds: Sequence[str]) -> dict[str, Path]:
    """One compressed stream of each kind, which is kept in the folder for the next run."""
    plain, streams = folder / f"plain-{size}", {}
    for kind in kinds:
        if kind not in PACKINGS or not installed([PACKINGS[kind].compress]):
            continue
        streams[kind] = folder / f"stream-{size}.{kind.replace(' ', '')}"
        if streams[kind].exists():
            continue
        if not plain.exists():
            with plain.open("wb") as disk:
                for part in plain_data(size * MEBIBYTE):
                    disk.write(part)
        with (unfinished := folder / "unfinished").open("wb") as output:
            subprocess.run([*shlex.split(PACKINGS[kind].compress), str(plain)], stdout=output, check=True)
        unfinished.rename(streams[kind])
    plain.unlink(missing_ok=True)
    return streams


def goals_of(ways: Mapping[str, float]) -> list[Goal]:
    goals = []
    for kind, packing in PACKINGS.items():
        peers = [peer(each, kind) for each in packing.decompress if peer(each, kind) in ways]
        if peers:
            fastest = min(peers, key=ways.__getitem__)
            goals.append(Goal(fastest, f"lading, {kind}", (fastest,), 1.0))
    for origin in ("nginx", "a folder"):
        if (way := f"lading, qcow2 from {origin}") in ways:
            peers = ["qemu-img convert, sync", "sha512, qcow2"]
            goals.append(Goal(f"{origin}: the larger of convert, sync and sha512", way, tuple(peers), 1.2))
    return goals


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    kinds = [*PACKINGS, CONVERTED]
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds for the medians (default 3)")
    parser.add_argument("--size", type=int, default=4096, metavar="MIB", help="MiB of the disks (default 4096)")
    parser.add_argument("--stream", type=int, default=512, metavar="MIB", help="MiB in a stream (default 512)")
    parser.add_argument(
        "--only", nargs="+", default=kinds, choices=kinds, metavar="KIND", help=f"of {', '.join(kinds)}"
    )
    parser.add_argument("--folder", type=Path, help="keep compressed data there for the next run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    size = options.size * MEBIBYTE
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with contextlib.ExitStack() as stack:
        top, served = (Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-"))) for _ in range(2))
        bench = Bench(top, stack.enter_context(nginx(served)))
        streams = make_streams(options.folder or top, options.stream, options.only)
        ways: dict[str, Sequence[str]] = {}
        for kind, stream in streams.items():
            ways |= bench.packed(kind, stream, options.size // options.stream)
        if CONVERTED in options.only:
            ways |= bench.converted(size)
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, command in ways.items():
                runs[way].append(bench.carry(command, size))
    seconds, processor = medians(runs), processor_medians(runs)
    rows = compare(goals_of(seconds), seconds)
    show(rows)
    peaks = {way: max(each.peak for each in done) / MEBIBYTE for way, done in runs.items()}
    for way, done in runs.items():
        peak = f"{peaks[way]:.0f} MiB{verdict(peaks[way] <= MOST_MEMORY)}" if way.startswith("lading") else ""
        each = " ".join(f"{run.seconds:.2f}" for run in done)
        print(f"  {way:<36}{seconds[way]:>7.2f} s{processor[way]:>7.2f} s of processor time {peak} ({each})")
    print(f"  load at the end: {os.getloadavg()}")
    if options.json:
        figures = {"machine": machine(), "rows": rows, "seconds": seconds, "processor": processor, "peaks": peaks}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
