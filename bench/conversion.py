"""Compares the conversion of a qcow2 to raw with `qemu-img convert` alone and with SHA-512 of the shipped file.

    python bench/conversion.py [--rounds N] [--folder FOLDER] [--json FILE]

The disk has 4 GiB with 1 GiB of data. lading's part is what a fetch does with the shipped bytes: it hashes them on one
thread while qemu-img converts them in the sandbox, then hashes the result, by BLAKE3 where that is installed, while it
is flushed. The goal is 1.2 times the larger of both peers. Figures are medians, taken in turns.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lading.adapters.formats.conversion.qemu import convert, open_disk
from lading.adapters.formats.hashing import content_algorithm
from lading.adapters.formats.scan import content_digest
from lading.adapters.stream.sources import FileSource

SIZE: Final = 4 << 30
DATA: Final = 1 << 30
PIECES: Final = 64
GOAL: Final = 1.2


def make_image(image: Path) -> None:
    """Makes a qcow2 of a disk with data in pieces, and holes between them."""
    disk = image.with_name("disk")
    with disk.open("wb") as file:
        file.truncate(SIZE)
        for piece in range(PIECES):
            file.seek(piece * (SIZE // PIECES))
            file.write(os.urandom(DATA // PIECES))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    disk.unlink()
    os.sync()


def sha512(image: Path) -> None:
    with image.open("rb") as file:
        hashlib.file_digest(file, "sha512")


def qemu_alone(image: Path, target: Path) -> None:
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, target], check=True)


def lading(image: Path, target: Path, parts: dict[str, list[float]]) -> None:
    hashing = threading.Thread(target=sha512, args=(image,))
    hashing.start()
    with image.open("rb") as source, target.open("w+b") as made:
        started = time.perf_counter()
        convert(open_disk(source.fileno(), "qcow2"), made.fileno(), "raw", list[int]().append)
        converted = time.perf_counter()
        flushing = threading.Thread(target=os.fsync, args=(made.fileno(),))
        flushing.start()
        content_digest(FileSource(made.fileno()), list[int]().append)
        hashed = time.perf_counter()
        flushing.join()
        hashing.join()
        parts["convert"].append(converted - started)
        parts[f"digest ({content_algorithm()})"].append(hashed - converted)
        parts["rest of flush and SHA-512"].append(time.perf_counter() - hashed)


def timed(call: Callable[[], None], target: Path) -> float:
    target.unlink(missing_ok=True)
    os.sync()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lading-bench-", dir=options.folder) as folder:
        image, target = Path(folder, "image"), Path(folder, "target")
        make_image(image)
        parts: dict[str, list[float]] = {"convert": [], f"digest ({content_algorithm()})": []}
        parts["rest of flush and SHA-512"] = []
        ways: dict[str, Callable[[], None]] = {
            "SHA-512 of the shipped file": lambda: sha512(image),
            "qemu-img convert alone": lambda: qemu_alone(image, target),
            "lading": lambda: lading(image, target, parts),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, call in ways.items():
                times[name].append(timed(call, target))
    figures = {name: statistics.median(each) for name, each in times.items()}
    for name, seconds in figures.items():
        print(f"{name:32} {seconds:6.2f} s")
    for name, each in parts.items():
        print(f"    of which {name:25} {statistics.median(each):4.2f} s")
    ratio = figures["lading"] / max(figures["SHA-512 of the shipped file"], figures["qemu-img convert alone"])
    print(f"lading / the larger of both: {ratio:.2f} (goal {GOAL})")
    if options.json:
        options.json.write_text(json.dumps({**figures, "ratio": ratio, "goal": GOAL}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
