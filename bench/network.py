"""Compares verified `lading fetch` over the network with other tools, as whole processes in one run.

The image has 1 GiB of random bytes. It comes from a Glance and an nginx on loopback, which are started as in the
integration tests, and goes to memory and to disk. All ways run in turns for several rounds; the figures are medians.
Four fetches at once, and `lading verify` of one target and of four, run in the same rounds. Then the peak memory and
the handling of zeros are measured.

A peer that is not installed is left out, and its row says so. `--peers` names a virtual environment with the peers in
Python: python-openstackclient and pooch. aria2 and curl are those of the machine.

lading flushes what it publishes, and no other program does: so the peer is `curl` and then `sync FILE`.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common.race import (
    GIBIBYTE,
    HASH,
    MEBIBYTE,
    Disk,
    Goal,
    Run,
    compare,
    machine,
    make_disk,
    medians,
    places,
    processor_medians,
    run,
    show,
    verdict,
)
from tests.integration.services.cache import cache
from tests.integration.services.glance import Glance, glance, token
from tests.integration.services.nginx import Nginx, nginx

TOKEN: Final = token("member", "reader")
# With an output, the SDK writes and verifies itself; without one, the caller writes, and nothing is verified.
SDK: Final = """
import sys, openstack
cloud = openstack.connect(cloud="bench")
cloud.image.download_image(sys.argv[1], stream=True, output=sys.argv[2], chunk_size=1 << 20)
"""
SDK_LOOP: Final = """
import sys, openstack
answer = openstack.connect(cloud="bench").image.download_image(sys.argv[1], stream=True, chunk_size=1 << 20)
with open(sys.argv[2], "wb") as target:
    for piece in answer.iter_content(1 << 20):
        target.write(piece)
"""
POOCH: Final = """
import pathlib, sys, pooch
target = pathlib.Path(sys.argv[3])
pooch.retrieve(sys.argv[1], f"sha512:{sys.argv[2]}", fname=target.name, path=target.parent)
"""


IMAGES: Final = 4
"""Images that are fetched, and targets that are verified, at once."""
HASHED: Final = f"sha512 of {IMAGES} images, on all cores"
"""Calculated: the time of one, times the images, divided by the cores."""
GOALS: Final = (
    Goal("Glance: the larger of curl, sync and sha512", "lading, Glance", ("curl and sync, Glance", "sha512"), 1.2),
    Goal("Glance: openstacksdk, verified", "lading, Glance", ("SDK, verified",), 0.6),
    Goal("Glance: openstacksdk, own loop, unverified", "lading, Glance", ("SDK, own loop",), 0.5),
    Goal("Glance: openstack image save", "lading, Glance", ("image save",), 0.2),
    Goal("nginx: the larger of curl, sync and sha512", "lading, nginx", ("curl and sync, nginx", "sha512"), 1.15),
    Goal("nginx: the larger of curl and sha512", "lading, nginx", ("curl, nginx", "sha512"), None),
    Goal("nginx: aria2c -x4, sha-512", "lading, nginx", ("aria2c",), 1.0),
    Goal("nginx: pooch, sha512", "lading, nginx", ("pooch",), 0.7),
    Goal(f"nginx: {IMAGES} at once; their sha512 on all cores", f"lading, {IMAGES} at once", (HASHED,), 1.6),
    Goal("verify: sha512", "lading verify", ("sha512",), 1.1),
    Goal(f"verify: {IMAGES} at once; their sha512 on all cores", f"lading verify, {IMAGES} at once", (HASHED,), None),
)
MOST_MEMORY: Final = 160
"""MiB."""
MOST_BLOCKS: Final = 1.02


class Peers(NamedTuple):
    """The commands of the peers; None when a peer is not installed."""

    openstack: str | None
    pooch: str | None
    """A Python that can import it."""
    aria2c: str | None

    @classmethod
    def found(cls, venv: Path | None) -> "Peers":
        openstack, aria2c = shutil.which("openstack"), shutil.which("aria2c")
        if venv is None:
            return cls(openstack, sys.executable if importlib.util.find_spec("pooch") else None, aria2c)
        python, own = venv / "bin" / "python", venv / "bin" / "openstack"
        has_pooch = subprocess.run([python, "-c", "import pooch"], stderr=subprocess.DEVNULL, check=False)
        return cls(str(own) if own.exists() else openstack, None if has_pooch.returncode else str(python), aria2c)


class Bench:
    """The services, their images, and the ways to fetch them."""

    def __init__(self, folder: Path, glance: Glance, nginx: Nginx, peers: Peers) -> None:
        self.folder, self.glance, self.nginx, self.peers = folder, glance, nginx, peers
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": "",
            "LADING_HANDLERS__ORDER": "http,download",
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.0/8",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "",
        }
        self.with_glance = {"LADING_CATALOG__KIND": "glance", "LADING_CATALOG__CLOUD": "bench"}
        self.with_folder = {"LADING_CATALOG__KIND": "file", "LADING_CATALOG__FOLDER": str(folder / "catalog")}
        cloud = {
            "auth_type": "admin_token",
            "auth": {"endpoint": glance.url, "token": TOKEN},
            # Without it the SDK, with a token and no Keystone, reads the list of versions instead of the data.
            "image_endpoint_override": glance.url,
        }
        # JSON is YAML.
        (folder / "clouds.yaml").write_text(json.dumps({"clouds": {"bench": cloud}}))
        (folder / "catalog").mkdir()

    def serve(self, name: str, size: int, data: int) -> Disk:
        """Makes an image on nginx, and adds it to the file catalog."""
        disk = make_disk(self.nginx.folder / f"{name}.img", size, data)
        document = {
            "id": name, "size": size, "disk_format": "raw", "container_format": "bare", "status": "active",
            "os_hash_algo": "sha512", "os_hash_value": disk.digest, "locations": [{"url": self.url(disk)}],
        }  # fmt: skip
        (self.folder / "catalog" / f"{name}.json").write_text(json.dumps(document))
        return disk

    def upload(self, disk: Disk) -> str:
        """Uploads the image to Glance, and returns its id there."""
        image_id: str = self.glance.create()["id"]
        headers = [f"-HX-Auth-Token: {self.glance.administrator}", "-HContent-Type: application/octet-stream"]
        command = ["curl", "-sSf", "-T", str(disk.path), *headers, self.data_url(image_id)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return image_id

    def url(self, disk: Disk) -> str:
        return self.nginx.url(disk.path.name)

    def data_url(self, image_id: str) -> str:
        return f"{self.glance.url}/v2/images/{image_id}/file"

    def ways(self, disk: Disk, image_id: str, target: str) -> dict[str, Sequence[str]]:
        """The peers' commands that fetch the image to the target; `sha512` only hashes it."""
        curl = ["curl", "-sSf", "-o", target]
        checksum, folder, name = f"--checksum=sha-512={disk.digest}", os.path.dirname(target), os.path.basename(target)  # noqa: PTH119, PTH120
        ways: dict[str, Sequence[str]] = {
            "sha512": [sys.executable, "-c", HASH, str(disk.path)],
            "curl, Glance": [*curl, "-H", f"X-Auth-Token: {TOKEN}", self.data_url(image_id)],
            "curl, nginx": [*curl, self.url(disk)],
            "SDK, verified": [sys.executable, "-c", SDK, image_id, target],
            "SDK, own loop": [sys.executable, "-c", SDK_LOOP, image_id, target],
        }
        for server in ("Glance", "nginx"):
            command = f"{shlex.join(ways[f'curl, {server}'])} && sync {target}"
            ways[f"curl and sync, {server}"] = ["sh", "-c", command]
        if self.peers.openstack:
            ways["image save"] = [
                self.peers.openstack, "--os-cloud", "bench", "image", "save", "--file", target, image_id,
            ]  # fmt: skip
        if self.peers.aria2c:
            # By default it first fills the file with zeros.
            options = ["-q", "-x4", "--file-allocation=none", checksum]
            ways["aria2c"] = [self.peers.aria2c, *options, "-d", folder, "-o", name, self.url(disk)]
        if self.peers.pooch:
            ways["pooch"] = [self.peers.pooch, "-c", POOCH, self.url(disk), disk.digest, target]
        return ways

    def carry(self, command: Sequence[str], target: Path, size: int) -> Run:
        """Runs a peer."""
        os.sync()
        done = run(command, self.environment)
        if target.exists():
            self._clear(target, size)
        return done

    def fetch(self, image_id: str, catalog: Mapping[str, str], target: Path, size: int) -> tuple[Run, int]:
        """Runs lading. Returns also the bytes that the target occupies on the disk."""
        os.sync()
        # Each run makes a database of its own, as on a new host.
        with tempfile.TemporaryDirectory(dir=self.folder) as data:
            variables = {**self.environment, **catalog, "XDG_DATA_HOME": data}
            done = self._run_fetch(image_id, target, variables)
        blocks = target.stat().st_blocks * 512
        self._clear(target, size)
        return done, blocks

    def fetch_and_verify(self, disk: Disk, target: Path) -> dict[str, Run]:
        """Runs one lading for each of several images at once, and then verifies one target, and all at once."""
        targets = [target.with_name(f"{target.name}-{number}") for number in range(IMAGES)]
        os.sync()
        with tempfile.TemporaryDirectory(dir=self.folder) as data:
            # Each process is as on a host of its own: else one would fetch, and the others would copy.
            homes = [
                {**self.environment, **self.with_folder, "XDG_DATA_HOME": f"{data}/{each.name}"} for each in targets
            ]
            with ThreadPoolExecutor(IMAGES) as pool:
                started = time.perf_counter()
                runs = list(pool.map(self._run_fetch, [disk.name] * IMAGES, targets, homes))
                seconds, processor = time.perf_counter() - started, sum(each.processor for each in runs)
                fetched = Run(seconds, max(each.peak for each in runs), processor)
        with tempfile.TemporaryDirectory(dir=self.folder) as data:
            home = {**self.environment, **self.with_folder, "XDG_DATA_HOME": data}
            for each in targets:
                each.unlink()
                self._run_fetch(disk.name, each, home)
            verify = [sys.executable, "-m", "lading", "verify"]
            verified = run([*verify, str(targets[0])], home)
            together = run([*verify, *map(str, targets)], home)
        for each in targets:
            self._clear(each, disk.size)
        return {
            f"lading, {IMAGES} at once": fetched,
            "lading verify": verified,
            f"lading verify, {IMAGES} at once": together,
        }

    def _run_fetch(self, image: str, target: Path, variables: Mapping[str, str]) -> Run:
        return run([sys.executable, "-m", "lading", "fetch", image, str(target)], variables)

    def _clear(self, target: Path, size: int) -> None:
        if target.stat().st_size != size:
            sys.exit(f"{target} has {target.stat().st_size} bytes instead of {size}")
        target.unlink()

    def race(self, disk: Disk, small: Disk, target: Path, rounds: int) -> dict[str, list[Run]]:
        """Runs all ways in turns, for several rounds."""
        image_id, small_id = self.upload(disk), self.upload(small)
        ways = self.ways(disk, image_id, str(target))
        runs: dict[str, list[Run]] = {}
        for _ in range(rounds):
            for way, command in ways.items():
                runs.setdefault(way, []).append(self.carry(command, target, disk.size))
            for way, reference, catalog, size in (
                ("lading, Glance", image_id, self.with_glance, disk.size),
                ("lading, nginx", disk.name, self.with_folder, disk.size),
                ("lading, Glance, 4 KiB", small_id, self.with_glance, small.size),
                ("lading, nginx, 4 KiB", small.name, self.with_folder, small.size),
            ):
                runs.setdefault(way, []).append(self.fetch(reference, catalog, target, size)[0])
            for way, done in self.fetch_and_verify(disk, target).items():
                runs.setdefault(way, []).append(done)
        self.glance.delete(image_id)
        return runs


@contextlib.contextmanager
def bench(peers: Peers) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-"))) for _ in range(3)]
        running = stack.enter_context(glance(folders[1], cache(), locations=False, direct_url=False))
        yield Bench(folders[0], running, stack.enter_context(nginx(folders[2])), peers)


def memory(runs: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """The peak memory of lading for each image, in MiB."""
    return {way: max(each.peak for each in done) / MEBIBYTE for way, done in runs.items() if way.startswith("lading")}


def measure_large(bench: Bench, target: Path) -> dict[str, float]:
    """The peak memory for an image of 8 GiB of zeros, in MiB."""
    disk = bench.serve("large", 8 * GIBIBYTE, 0)
    done, _ = bench.fetch(disk.name, bench.with_folder, target, disk.size)
    disk.path.unlink()
    return {"lading, nginx, 8 GiB": done.peak / MEBIBYTE}


def measure_zeros(bench: Bench, target: Path) -> float:
    """The target's blocks for 4 GiB, of which 3.5 GiB are zeros, as a share of the data."""
    disk = bench.serve("zeros", 4 * GIBIBYTE, GIBIBYTE // 2)
    _, blocks = bench.fetch(disk.name, bench.with_folder, target, disk.size)
    disk.path.unlink()
    return blocks / disk.data


def measure(bench: Bench, disks: tuple[Disk, Disk], target: Path, options: argparse.Namespace) -> dict[str, object]:
    """Measures one place and prints the figures."""
    print(f"\n{target.parent}, 1 GiB, {options.rounds} rounds")
    runs = bench.race(*disks, target, options.rounds)
    times = medians(runs)
    times[HASHED] = IMAGES * times["sha512"] / (os.cpu_count() or 1)
    rows = compare(GOALS, times)
    show(rows)
    processor = processor_medians(runs)
    for way, seconds in times.items():
        used = f", {processor[way]:.2f} s of processor time" if way in processor else ""
        print(f"  {way:<44}{seconds:>10.2f} s{used}")
    peaks = memory(runs) | (measure_large(bench, target) if options.large else {})
    for way, peak in peaks.items():
        print(f"  peak, {way:<38}{peak:>10.1f} MiB{verdict(peak <= MOST_MEMORY)}")
    share = measure_zeros(bench, target)
    print(f"  {'4 GiB, 3.5 GiB of zeros: blocks / data':<44}{share:>10.3f}{verdict(share <= MOST_BLOCKS)}")
    spread = {way: [each.seconds for each in done] for way, done in runs.items()}
    return {"rows": rows, "medians": times, "seconds": spread, "peaks_mebibytes": peaks, "blocks_of_data": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds for the medians (default 3)")
    parser.add_argument(
        "--on", nargs="+", default=["shm", "disk"], choices=["shm", "disk"], help="places of the targets (default: all)"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="VENV", help="a virtual environment with python-openstackclient and pooch"
    )
    parser.add_argument(
        "--large", action="store_true", help="measure also the memory for 8 GiB, which are hashed twice"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    figures: dict[str, object] = {"machine": machine(), "rounds": options.rounds}
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with bench(Peers.found(options.peers)) as ready:
        disk, small = ready.serve("image", GIBIBYTE, GIBIBYTE), ready.serve("small", 4096, 4096)
        for place, top in places(options.on).items():
            with tempfile.TemporaryDirectory(prefix="lading-bench-", dir=top) as folder:
                figures[place] = measure(ready, (disk, small), Path(folder) / "target", options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
