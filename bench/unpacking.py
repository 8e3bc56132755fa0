"""Compares the unpacking of images with the fastest command-line decompressor, as whole processes in one run.

The plain image has 512 MiB: data of this machine's libraries, and a quarter of zeros. lading only decompresses here:
nothing is hashed or written, and the commands write to /dev/null. Times are medians. "Beyond start-up" means minus the
time for an image of one block.
"""

import argparse
import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common.race import MEBIBYTE, Goal, Run, compare, machine, medians, run, show

# In the time of this process: Python's start and the load of the libraries are part of it.
LADING: Final = """
import os, sys
from lading.adapters.formats.unpacking.unpacked import Limits, Unpacked
from lading.adapters.stream import pipeline
from lading.adapters.stream.sources import FileSource
source = FileSource(os.open(sys.argv[1], os.O_RDONLY))
pipeline.run(Unpacked(source, Limits(most=1 << 40)), (), id)
"""
START_UP: Final = "lading, start-up"
PACKED: Final = {
    "gz": ("gzip -1 -c", ("igzip -dc", "pigz -dc", "gzip -dc")),
    "xz": ("xz -1 -T1 -c", ("xz -T0 -dc",)),
    "xz in blocks": ("xz -1 -T1 --block-size=8MiB -c", ("xz -T0 -dc",)),
    "zst": ("zstd -3 -qc", ("zstd -qdc",)),
    "lz4": ("lz4 -qc", ("lz4 -qdc",)),
    "bz2": ("bzip2 -c", ("pbzip2 -dc", "bzip2 -dc")),
}
"""By kind: the command that compresses, and those that decompress."""


def plain_data(size: int) -> Iterator[bytes]:
    """Libraries of this machine, as often as needed, and after each 3 MiB one MiB of zeros."""
    libraries = sorted(each for each in Path("/usr/lib").rglob("*.so*") if each.is_file() and not each.is_symlink())
    done = 0
    while done < size:
        for library in libraries:
            with library.open("rb") as file:
                while done < size and (data := file.read(3 * MEBIBYTE)):
                    part = (data + bytes(len(data) // 3))[: size - done]
                    yield part
                    done += len(part)


def make(folder: Path, size: int, kinds: Sequence[str]) -> dict[str, Path]:
    plain = folder / "disk.raw"
    with plain.open("wb") as disk:
        for part in plain_data(size):
            disk.write(part)
    files = {}
    for kind in kinds:
        command, _ = PACKED[kind]
        if shutil.which(command.split()[0]) is not None:
            files[kind] = folder / f"disk.{kind.replace(' ', '-')}"
            with files[kind].open("wb") as output:
                subprocess.run([*shlex.split(command), str(plain)], stdout=output, check=True)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds for the medians (default 3)")
    parser.add_argument("--size", type=int, default=512, metavar="MIB", help="MiB of the plain image (default 512)")
    parser.add_argument("--kinds", nargs="+", default=list(PACKED), choices=list(PACKED), help="default: all")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lading-bench-", dir=os.environ.get("TMPDIR")) as folder:
        files = make(Path(folder), options.size * MEBIBYTE, options.kinds)
        (small := Path(folder) / "small.gz").write_bytes(gzip.compress(bytes(4096)))
        ways = {START_UP: [sys.executable, "-c", LADING, str(small)]}
        ways |= {f"lading {kind}": [sys.executable, "-c", LADING, str(path)] for kind, path in files.items()}
        for kind, path in files.items():
            for command in PACKED[kind][1]:
                if shutil.which(command.split()[0]) is not None:
                    ways[f"{command} ({kind})"] = [*shlex.split(command), str(path)]
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, command_line in ways.items():
                runs[way].append(run(command_line, os.environ))
    seconds = medians(runs)
    goals = []
    for kind in files:
        peers = [f"{command} ({kind})" for command in PACKED[kind][1] if f"{command} ({kind})" in seconds]
        fastest = min(peers, key=seconds.__getitem__)
        goals.append(Goal(fastest, f"lading {kind}", (fastest,), 1.0))
    rows = compare(goals, seconds, START_UP)
    show(rows)
    peak = max(each.peak for way in runs if way.startswith("lading") for each in runs[way])
    print(f"  peak memory, lading: {peak // MEBIBYTE} MiB")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "rows": rows, "peak": peak}, indent=2))


if __name__ == "__main__":
    main()
