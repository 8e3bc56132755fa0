"""Compares `lading fetch` from Ceph and its object gateway with other tools, as whole processes in one run.

The image has 1 GiB of random bytes. It is in a Ceph that keeps its objects in memory, and that is started as in the
integration tests. It is exported, and fetched by S3 and by Swift, to memory and to disk. Then a sparse image of
10 GiB with 512 MiB of data is compared with a full image of 512 MiB, and clones are measured. All ways run in turns
for several rounds; the figures are medians.

The tools of Ceph and QEMU and `aws` verify nothing, `swift` verifies an MD5. So lading fetches twice: verified, as with
Glance's images, and without a digest in the catalog, as with Nova's snapshots. `sha512` alone is the least time that a
verification takes. lading flushes what it publishes, and no peer does: a row without a goal has `rbd export` and then
`sync FILE`. "Beyond start-up" means minus the time of `lading fetch` for a file of one block; for clones the start-up
of the peer's Python is subtracted too.

A peer that is not installed is left out, and its row says so. `--peers` names a virtual environment with the peers in
Python: awscli and python-swiftclient. The others are those of the machine.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
    run,
    show,
    verdict,
)
from tests.integration.services.cache import Unbuildable, cache, environment
from tests.integration.services.ceph import ceph, lacking
from tests.integration.services.rgw import KEY, SWIFT_KEY, SWIFT_USER, Rgw, lacking_gateway, rgw

# As Nova does it, on one connection: the parent is opened to check that it can be cloned.
CLONE: Final = """
import sys, rados, rbd
conf, parent, child = sys.argv[1:]
with rados.Rados(conffile=conf, rados_id="admin") as cluster:
    with cluster.open_ioctx("images") as images, cluster.open_ioctx("vms") as vms:
        with rbd.Image(images, parent, snapshot="snap", read_only=True):
            pass
        features = int(cluster.conf_get("rbd_default_features"))
        rbd.RBD().clone(images, parent, "snap", vms, child, features=features)
"""
START_UP: Final = "lading, one block: file"
GOALS: Final = (
    Goal("rbd export, nothing to verify", "lading, rbd, no digest", ("rbd export",), 0.8),
    Goal("rbd export, lading verifies", "lading, rbd", ("rbd export",), 0.8),
    Goal("the larger of rbd export and sha512", "lading, rbd", ("rbd export", "sha512"), None),
    Goal("rbd export, then sync FILE", "lading, rbd, no digest", ("rbd export and sync",), None),
    Goal("qemu-img convert, nothing to verify", "lading, rbd, no digest", ("qemu-img convert",), 1.0),
    Goal("qemu-img convert, lading verifies", "lading, rbd", ("qemu-img convert",), 1.0),
    Goal("aws s3 cp, nothing to verify", "lading, s3, no digest", ("aws s3 cp",), 0.6),
    Goal("aws s3 cp, lading verifies", "lading, s3", ("aws s3 cp",), 0.6),
    Goal("the larger of aws s3 cp and sha512", "lading, s3", ("aws s3 cp", "sha512"), None),
    Goal("swift download, nothing to verify", "lading, swift, no digest", ("swift download",), 0.7),
    Goal("swift download (MD5), lading verifies", "lading, swift", ("swift download",), 0.7),
    Goal("thin: lading, all there, nothing to verify", "lading, thin, no digest", ("lading, full, no digest",), 1.3),
    Goal("thin: lading, all there, verified", "lading, thin", ("lading, full",), 1.3),
    Goal("thin: the larger of that and sha512", "lading, thin", ("lading, full", "sha512, thin"), None),
    Goal("rbd export, hashed in an earlier fetch", "lading, rbd, hashed before", ("rbd export",), None),
    Goal("thin: hashed in an earlier fetch", "lading, thin, hashed before", ("lading, thin, no digest",), 1.1),
    Goal("thin: rbd export, nothing to verify", "lading, thin, no digest", ("rbd export, thin",), None),
)
MOST_BLOCKS: Final = 1.02
MOST_BESIDE: Final = 0.05
"""The most seconds that a clone may take longer than with the bindings alone."""
MOST_CLONE: Final = 0.1
"""The most seconds for a clone, beyond start-up."""
MOST_GROWTH: Final = 1.5
"""The most growth of a clone's time for an image ten times as large."""
CLONES: Final = 4
"""Clones in a round: they are short, and their times differ much."""


class Peers(NamedTuple):
    """The commands of the peers; None when a peer is not installed."""

    qemu: str | None
    aws: str | None
    swift: tuple[str, ...]
    """Empty when it is not installed."""

    @classmethod
    def found(cls, venv: Path | None) -> "Peers":
        def command(name: str) -> str | None:
            own = venv / "bin" / name if venv else None
            return str(own) if own and own.exists() else shutil.which(name)

        swift = command("swift")
        return cls(shutil.which("qemu-img"), command("aws"), (swift,) if swift else _services_swift())


def _services_swift() -> tuple[str, ...]:
    """The swift command in the environment of the tests' services."""
    with contextlib.suppress(Unbuildable):
        return (str(environment(cache()) / "bin" / "python"), "-m", "swiftclient.shell")
    return ()


class Disks(NamedTuple):
    image: Disk
    full: Disk
    """Half as large."""
    thin: Disk
    """Ten times as large, with the data of `full`."""
    block: Disk


class Bench:
    """The services, their images, and the ways to fetch them."""

    def __init__(self, folder: Path, gateway: Rgw, peers: Peers, size: int) -> None:
        self.folder, self.ceph, self.gateway, self.peers = folder, gateway.ceph, gateway, peers
        self.blocks: dict[str, int] = {}
        """The bytes on the disk of the last target of each of lading's ways."""
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "LADING_CONFIG": str(folder / "lading.toml"),
            "AWS_ACCESS_KEY_ID": KEY.access,
            "AWS_SECRET_ACCESS_KEY": KEY.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            **self.ceph.variables,
        }
        (folder / "lading.toml").write_text(
            f"""
[catalog]
folder = "{folder / "catalog"}"
[handlers]
order = ["file", "rbd", "s3", "swift"]
[handlers.file]
allowed_folders = ["{folder}"]
[handlers.rbd]
ceph_conf = "{self.ceph.conf}"
[handlers.s3]
endpoint = "{gateway.url}"
access_key = "{KEY.access}"
secret_key = "{KEY.secret}"
[handlers.swift]
hosts = ["{gateway.host}"]
"""
        )
        (folder / "catalog").mkdir()
        gateway.bucket("images")
        self.disks = self._disks(size)
        self.qemu_source = f"rbd:images/{self.disks.image.name}@snap:conf={self.ceph.conf}"
        if peers.qemu:
            seen = subprocess.run([peers.qemu, "info", self.qemu_source], capture_output=True, check=False)
            if seen.returncode:  # Debian has its rbd in a package of its own, qemu-block-extra
                self.peers = peers._replace(qemu=None)

    # Images

    def _disks(self, size: int) -> Disks:
        """Makes the images, and uploads them."""
        disks = Disks(
            make_disk(self.folder / "image.img", size, size),
            make_disk(self.folder / "full.img", size // 2, size // 2),
            make_disk(self.folder / "thin.img", size * 10, size // 2),
            make_disk(self.folder / "block.img", 4096, 4096),
        )
        for disk in disks:
            location = self.ceph.put(disk.path, "images", disk.name)
            self._document(f"{disk.name}-rbd", location, disk.size, disk.digest)
            self._document(f"{disk.name}-rbd-bare", location, 0, None)  # as Nova registers its snapshots
        for disk in (disks.image, disks.block):
            self._upload(disk)
            for kind, url in {
                "s3": self.gateway.s3_location("images", disk.name),
                "swift": self.gateway.swift_location("images", disk.name),
            }.items():
                self._document(f"{disk.name}-{kind}", url, disk.size, disk.digest)
                self._document(f"{disk.name}-{kind}-bare", url, disk.size, None)
        self._document("block-file", disks.block.path.as_uri(), disks.block.size, disks.block.digest)
        return disks

    def _document(self, name: str, url: str, size: int, digest: str | None) -> None:
        """Adds an image to lading's catalog."""
        document = {
            "id": name, "size": size, "disk_format": "raw", "container_format": "bare",
            "status": "active", "os_hash_algo": digest and "sha512", "os_hash_value": digest,
            "locations": [{"url": url}],
        }  # fmt: skip
        (self.folder / "catalog" / f"{name}.json").write_text(json.dumps(document))

    def _upload(self, disk: Disk) -> None:
        """Uploads one object, which S3 and Swift both serve."""
        url = f"{self.gateway.storage_url}/images/{disk.name}"
        headers = [f"-HX-Auth-Token: {self.gateway.token()}", "-HContent-Type: application/octet-stream"]
        subprocess.run(["curl", "-sSf", "-T", str(disk.path), *headers, url], check=True, stdout=subprocess.DEVNULL)

    # Exports

    def race(self, target: Path, rounds: int) -> dict[str, list[Run]]:
        """Runs all ways to a file in turns, for several rounds."""
        image, full, thin, block = self.disks
        lading = {
            "lading, rbd": ("image-rbd", image),
            "lading, rbd, no digest": ("image-rbd-bare", image),
            "lading, s3": ("image-s3", image),
            "lading, s3, no digest": ("image-s3-bare", image),
            "lading, swift": ("image-swift", image),
            "lading, swift, no digest": ("image-swift-bare", image),
            "lading, full": ("full-rbd", full),
            "lading, full, no digest": ("full-rbd-bare", full),
            "lading, thin": ("thin-rbd", thin),
            "lading, thin, no digest": ("thin-rbd-bare", thin),
            **{f"lading, one block: {kind}": (f"block-{kind}", block) for kind in ("file", "rbd", "s3", "swift")},
        }
        known = {"lading, rbd, hashed before": ("image-rbd", image), "lading, thin, hashed before": ("thin-rbd", thin)}
        home = str(self.folder / "known")
        for name, disk in known.values():
            self._fetch(name, str(target), home)
            self._clear(target, disk)
        runs: dict[str, list[Run]] = {}
        for _ in range(rounds):
            for way, (name, disk) in known.items():
                runs.setdefault(way, []).append(self._fetch(name, str(target), home))
                self._clear(target, disk)
            for way, (command, disk) in self._peers(str(target)).items():
                os.sync()
                runs.setdefault(way, []).append(run(command, self.environment))
                if target.exists():
                    self._clear(target, disk)
            for way, (name, disk) in lading.items():
                runs.setdefault(way, []).append(self._fetch(name, str(target)))
                self.blocks[way] = target.stat().st_blocks * 512
                self._clear(target, disk)
        return runs

    def _peers(self, target: str) -> dict[str, tuple[Sequence[str], Disk]]:
        """The peers' commands that fetch an image to the target; `sha512` only hashes it."""
        image, _, thin, _ = self.disks
        export = ["rbd", "export", "--no-progress", f"images/{image.name}@snap", target]
        peers: dict[str, tuple[Sequence[str], Disk]] = {
            "sha512": ([sys.executable, "-c", HASH, str(image.path)], image),
            "sha512, thin": ([sys.executable, "-c", HASH, str(thin.path)], thin),
            "rbd export": (export, image),
            "rbd export and sync": (["sh", "-c", f"{' '.join(export)} && sync {target}"], image),
            "rbd export, thin": (["rbd", "export", "--no-progress", f"images/{thin.name}@snap", target], thin),
        }
        if self.peers.qemu:
            convert = ["convert", "-f", "raw", "-O", "raw", self.qemu_source, target]
            peers["qemu-img convert"] = ([self.peers.qemu, *convert], image)
        if self.peers.aws:
            copy = ["--endpoint-url", self.gateway.url, "s3", "cp", "--no-progress", f"s3://images/{image.name}"]
            peers["aws s3 cp"] = ([self.peers.aws, *copy, target], image)
        if self.peers.swift:
            signed_in = ["-A", self.gateway.auth_url, "-U", SWIFT_USER, "-K", SWIFT_KEY]
            download = ["download", "images", image.name, "-o", target]
            peers["swift download"] = ([*self.peers.swift, *signed_in, *download], image)
        return peers

    def _fetch(self, name: str, target: str, home: str | None = None) -> Run:
        """Runs lading. `home` has its database; None: each run makes one, as on a new host."""
        os.sync()
        with tempfile.TemporaryDirectory(dir=self.folder) as data:
            variables = {**self.environment, "XDG_DATA_HOME": home or data}
            return run([sys.executable, "-m", "lading", "fetch", name, target], variables)

    def _clear(self, target: Path, disk: Disk) -> None:
        if target.stat().st_size != disk.size:
            sys.exit(f"{target} has {target.stat().st_size} bytes instead of {disk.size}")
        target.unlink()

    # Clones

    def race_clones(self, target: Path, rounds: int) -> dict[str, list[Run]]:
        """Clones the image and one ten times as large. The target is for the measurement of the start-up."""
        image, _, thin, block = self.disks
        python, clone = [sys.executable, "-c"], "vms/clone"
        ways: dict[str, Sequence[str]] = {
            "librbd": [*python, CLONE, str(self.ceph.conf), image.name, clone.rpartition("/")[2]],
            "rbd clone": ["rbd", "clone", f"images/{image.name}@snap", clone],
        }
        lading = {"lading, clone": image, "lading, clone, ten times as large": thin}
        runs: dict[str, list[Run]] = {way: [] for way in ("python", START_UP, *ways, *lading)}
        for _ in range(rounds):
            runs["python"].append(run([*python, ""], self.environment))
            runs[START_UP].append(self._fetch("block-file", str(target)))
            self._clear(target, block)
            for way, command in ways.items():
                runs[way].append(run(command, self.environment))
                self.ceph.rbd("rm", "--no-progress", clone)
            for way, disk in lading.items():
                runs[way].append(self._fetch(f"{disk.name}-rbd", f"rbd:{clone}"))
                self.ceph.rbd("rm", "--no-progress", clone)
        return runs


@contextlib.contextmanager
def bench(peers: Peers, size: int) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-"))) for _ in range(3)]
        # Space for three images and the object, and as much again so that the cluster never warns of a full disk.
        cluster = stack.enter_context(ceph(folders[1] / "ceph", size=max(6 * size, 2 * GIBIBYTE)))
        yield Bench(folders[0], stack.enter_context(rgw(folders[2], cluster)), peers, size)


def measure(bench: Bench, target: Path, rounds: int) -> dict[str, object]:
    """Measures one place and prints the figures."""
    print(f"\n{target.parent}, {shown(bench.disks.image.size)}, {rounds} rounds")
    runs = bench.race(target, rounds)
    times = medians(runs)
    rows = compare(GOALS, times, START_UP)
    show(rows)
    peaks = {way: max(each.peak for each in done) / MEBIBYTE for way, done in runs.items()}
    for way, seconds in times.items():
        print(f"  {way:<44}{seconds:>10.2f} s{peaks[way]:>12.1f} MiB at its peak")
    thin = bench.disks.thin
    shares = {way: taken / thin.data for way, taken in bench.blocks.items() if way.startswith("lading, thin")}
    for way, share in shares.items():
        print(f"  blocks / data, {way:<29}{share:>10.3f}{verdict(share <= MOST_BLOCKS)}")
    spread = {way: [each.seconds for each in done] for way, done in runs.items()}
    return {"rows": rows, "medians": times, "seconds": spread, "peaks_mebibytes": peaks, "blocks_of_data": shares}


def measure_clones(bench: Bench, target: Path, rounds: int) -> dict[str, object]:
    """Measures clones and prints the figures."""
    image, thin = shown(bench.disks.image.size), shown(bench.disks.thin.size)
    print(f"\nclones of {image} and of {thin}, {rounds} rounds")
    runs = bench.race_clones(target, rounds)
    times = medians(runs)
    for way, seconds in times.items():
        print(f"  {way:<44}{seconds:>10.3f} s")
    small, large = (times[way] - times[START_UP] for way in ("lading, clone", "lading, clone, ten times as large"))
    beside, growth = small - (times["librbd"] - times["python"]), large / small
    print(f"  {f'{image}, beyond start-up':<44}{small:>10.3f} s{verdict(small <= MOST_CLONE)}")
    print(f"  {f'{thin}, beyond start-up':<44}{large:>10.3f} s{verdict(large <= MOST_CLONE)}")
    print(f"  {'longer than librbd, both beyond start-up':<44}{beside:>10.3f} s{verdict(beside <= MOST_BESIDE)}")
    print(f"  {f'{thin} / {image}, both beyond start-up':<44}{growth:>10.2f}{verdict(growth <= MOST_GROWTH)}")
    figures = {"beyond_start_up": [small, large], "longer_than_librbd": beside, "growth": growth}
    return {
        **figures,
        "medians": times,
        "seconds": {way: [each.seconds for each in done] for way, done in runs.items()},
    }


def shown(size: int) -> str:
    return f"{size // GIBIBYTE} GiB" if size % GIBIBYTE == 0 else f"{size // MEBIBYTE} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds for the medians (default 3)")
    parser.add_argument(
        "--on", nargs="+", default=["shm", "disk"], choices=["shm", "disk"], help="places of the targets (default: all)"
    )
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB", help="size of the image in MiB (default 1024, as in the goals)"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="VENV", help="a virtual environment with awscli and python-swiftclient"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    if reason := lacking() or lacking_gateway():
        print(f"not measured: {reason}")
        return
    size = options.size * MEBIBYTE
    figures: dict[str, object] = {"machine": machine(), "rounds": options.rounds, "size": size}
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with bench(Peers.found(options.peers), size) as ready:
        for place, top in places(options.on).items():
            with tempfile.TemporaryDirectory(prefix="lading-bench-", dir=top) as folder:
                figures[place] = measure(ready, Path(folder) / "target", options.rounds)
        with tempfile.TemporaryDirectory(prefix="lading-bench-") as folder:
            figures["clones"] = measure_clones(ready, Path(folder) / "target", options.rounds * CLONES)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
