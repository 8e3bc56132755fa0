"""Compares `lading fetch` to a loop device with `dd` and sha512, as whole processes in one run; needs root.

The image is 1 GiB of random bytes in a file. lading hashes it twice: as shipped, and as it is read back. So the larger
of these is 1:

- `dd oflag=direct bs=4M` to the device, flushed, and `dd iflag=direct bs=4M` from it;
- the digests: twice sha512 of the image.

Times are medians. The loop device's file is on this disk, or in the folder that `--folder` names.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 1 << 20
HASH: Final = "import hashlib, sys; hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha512')"
"""OpenSSL's sha512, which is faster than that of coreutils."""
LADING: Final = (sys.executable, "-m", "lading")


def run(command: Sequence[str], **variables: str) -> None:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {done.stderr}")


def seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


class Bench:
    """An image in a folder, and a loop device."""

    def __init__(self, folder: Path, device: str, size: int) -> None:
        self._image, self._device = folder / "noble.img", device
        digest = hashlib.sha512()
        with self._image.open("wb") as disk:
            for _ in range(size // MEBIBYTE):
                digest.update(piece := os.urandom(MEBIBYTE))
                disk.write(piece)
            os.fsync(disk.fileno())
        self._variables = {
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "none"),
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(folder),
        }
        document = {
            "id": "noble", "size": size, "disk_format": "raw", "os_hash_algo": "sha512",
            "os_hash_value": digest.hexdigest(), "locations": [{"url": f"file://{self._image}"}],
        }  # fmt: skip
        catalog = folder / "data/lading/catalog"
        catalog.mkdir(parents=True)
        (catalog / "noble.json").write_text(json.dumps(document))

    def copy(self) -> None:
        run(["dd", f"if={self._image}", f"of={self._device}", "oflag=direct", "bs=4M", "conv=fsync"])
        run(["dd", f"if={self._device}", "of=/dev/null", "iflag=direct", "bs=4M"])

    def hash(self) -> None:
        for _ in range(2):
            run([sys.executable, "-c", HASH, str(self._image)])

    def fetch(self) -> None:
        run([*LADING, "fetch", "--force", "noble", self._device], **self._variables)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mebibytes", type=int, default=1024)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=None)
    options = arguments.parse_args()
    if os.geteuid() != 0:
        print("not measured: a loop device needs root")
        return
    with tempfile.TemporaryDirectory(prefix="lading-bench-", dir=options.folder) as name:
        folder, size = Path(name), options.mebibytes * MEBIBYTE
        with (folder / "disk").open("wb") as disk:
            disk.truncate(size)
        made = subprocess.run(["losetup", "-f", "--show", folder / "disk"], capture_output=True, text=True, check=True)
        device = made.stdout.strip()
        try:
            bench = Bench(folder, device, size)
            ways = {"dd and read-back": bench.copy, "sha512, twice": bench.hash, "lading fetch": bench.fetch}
            times: dict[str, list[float]] = {each: [] for each in ways}
            for _ in range(options.rounds):
                for each, act in ways.items():
                    times[each].append(seconds(act))
        finally:
            subprocess.run(["losetup", "-d", device], check=True)
    medians = {each: statistics.median(some) for each, some in times.items()}
    peer = max(medians["dd and read-back"], medians["sha512, twice"])
    for each, median in medians.items():
        print(f"{each:<20}{median:6.2f} s  {median / peer:5.2f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"peak memory of a process: {peak} MiB; goal: at most 1.15 x the larger of the first two")


if __name__ == "__main__":
    main()
