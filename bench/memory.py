"""Measures the memory of a program that embeds lading, after many fetches and after one fetch.

    python bench/memory.py [--fetches N] [--json FILE]

Each program is a separate process. It fetches a verified image of 4 MiB as a stream and removes it, many times, in one
thread or in eight. After each tenth of the fetches it prints its resident memory (VmRSS of proc(5), MiB). The output is
the first, the last and the largest of these figures: the memory of a program that runs for months must not grow.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from returns.result import Success

from lading import Digest, Image, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import StreamSource

SIZE: Final = 4 << 20
"""Bytes of the image."""


def resident() -> int:
    """The resident memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS"))


def program(folder: Path, fetches: int, threads: int) -> None:
    """Fetches and removes the image that many times, and prints the resident memory after each tenth."""
    source = folder / "source"
    data = os.urandom(SIZE)
    source.write_bytes(data)
    image = Image("id", size=SIZE, disk_format="raw", digest=Digest("sha512", hashlib.sha512(data).hexdigest()))
    transfer = FileDestination(MemoryVerifiedFiles())

    def fetch(number: int) -> None:
        work = Work(str(folder / f"vm-{number}"), image)
        transfer.fetch(work, SourceOpener(lambda _: Success(StreamSource(source.open("rb"), SIZE)), "stream")).unwrap()
        transfer.remove(work).unwrap()

    step = max(1, fetches // 10)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, fetches, step):
            list(pool.map(fetch, range(first, min(first + step, fetches))))
            print(resident(), flush=True)


def measure(fetches: int, threads: int) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--program", folder, "--fetches", str(fetches), "--threads", str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetches", type=int, default=2000, metavar="N", help="number of fetches (default 2000)")
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--program", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    arguments = parser.parse_args()
    if arguments.program is not None:
        program(arguments.program, arguments.fetches, arguments.threads)
        return
    figures = {}
    for fetches, threads in ((1, 1), (arguments.fetches, 1), (arguments.fetches, 8)):
        memory = measure(fetches, threads)
        figures[f"{fetches} fetches, {threads} threads"] = memory
        print(
            f"{fetches:>6} fetches, {threads} threads: {memory[0]} MiB, {memory[-1]} at the end, at most {max(memory)}"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
