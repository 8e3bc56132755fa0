"""Compares the first commands of a new user with what a person would type instead, as whole processes.

    python bench/front_door.py [--rounds N] [--size MIB] [--only PART …] [--json FILE]

disk: from an empty machine state to a verified raw disk of 20 GiB. A compressed qcow2, as vendors publish them, is on
an nginx on loopback, beside its SHA256SUMS. lading is one command; the peer is curl, `sha256sum --check`, `qemu-img
convert`, `qemu-img resize` and `sync FILE`, one after the other. lading flushes what it publishes; the same without
`sync` is shown too.

list: `lading images ubuntu:` of signed simplestreams as large as Ubuntu's, about 7 MB of JSON, without and with a
cache. The peers are curl, gpgv and Python's json.load of the same file. help: `lading --help`, beside `python -c pass`.

The ways run in turns for several rounds; the figures are medians. Processor time depends less on what else runs.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.common.race import MEBIBYTE, Goal, Run, compare, machine, medians, processor_medians, run, show, verdict
from bench.unpacking import plain_data
from tests.integration.services.nginx import Nginx, nginx
from tests.openpgp import Keys
from tests.streams import UBUNTU_LIST, signed

PARTS: Final = ("disk", "list", "help")
GROWN: Final = "20G"
LADING: Final = (sys.executable, "-m", "lading")
RELEASES: Final = 24
ARCHITECTURES: Final = ("amd64", "arm64", "armhf", "ppc64el", "s390x")
SERIALS: Final = 14
FTYPES: Final = (
    "disk1.img", "disk-kvm.img", "uefi1.img", "lxd.tar.xz", "manifest", "ova", "root.tar.gz", "squashfs",
    "squashfs.manifest", "tar.gz", "vmdk", "azure.vhd.zip", "kvm.manifest",
)  # fmt: skip
"""The types of a version's files on Ubuntu's mirror."""
BY_HAND: Final = "curl, sha256sum, qemu-img convert, resize"
PARSED: Final = "curl, gpgv, json.load"
GOALS: Final = (
    Goal("by hand, with sync", "lading fetch, raw, 20 GiB", (f"{BY_HAND}, sync",), 1.0),
    Goal("by hand, without sync", "lading fetch, raw, 20 GiB", (BY_HAND,), None),
    Goal(PARSED, "lading images, cold", (PARSED,), None),
    Goal(PARSED, "lading images, cached", (PARSED,), None),
    Goal("python -c pass", "lading --help", ("python -c pass",), None),
)
SECONDS: Final = {"lading images, cold": 1.5, "lading images, cached": 0.4, "lading --help": 0.15}
"""The most seconds on a machine with nothing else to do."""


def make_qcow2(folder: Path, size: int) -> Path:
    """Makes a compressed qcow2 of a disk of four times the size, with this machine's libraries as data."""
    disk, image = folder / "disk.raw", folder / "noble.img"
    with disk.open("wb") as file:
        for part in plain_data(size):
            file.write(part)
        file.truncate(4 * size)
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    disk.unlink()
    with image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest} *{image.name}\n")
    return image


def disk_ways(served: Nginx, target: Path) -> dict[str, Sequence[str]]:
    url, sums = served.url("noble.img"), served.url("SHA256SUMS")
    by_hand = (
        f"cd {target.parent} && curl -sSfO {url} && curl -sSfO {sums} && sha256sum --quiet -c SHA256SUMS"
        f" && qemu-img convert -f qcow2 -O raw noble.img {target} && qemu-img resize -q -f raw {target} {GROWN}"
    )
    return {
        "lading fetch, raw, 20 GiB": [*LADING, "fetch", url, str(target), "--format", "raw", "--size", GROWN],
        BY_HAND: ["sh", "-c", by_hand],
        f"{BY_HAND}, sync": ["sh", "-c", f"{by_hand} && sync {target}"],
    }


def stream() -> dict[str, Any]:
    """A list of products as large as Ubuntu's."""
    products = {
        f"com.ubuntu.cloud:server:{version}:{architecture}": {
            "aliases": f"{version},release{number}", "arch": architecture, "os": "ubuntu",
            "release": f"release{number}", "release_codename": f"Release {number}", "release_title": f"{version} LTS",
            "support_eol": "2029-05-31", "supported": True, "version": version,
            "versions": {serial: _version(version, architecture, serial) for serial in _serials()},
        }
        for number, version in enumerate(_releases())
        for architecture in ARCHITECTURES
    }  # fmt: skip
    return {
        "content_id": "com.ubuntu.cloud:released:download", "datatype": "image-downloads", "format": "products:1.0",
        "products": products, "updated": "Sun, 01 Nov 2026 10:00:00 +0000",
    }  # fmt: skip


def _releases() -> Iterator[str]:
    return (f"{12 + number // 2}.{'04' if number % 2 else '10'}" for number in range(RELEASES))


def _serials() -> Iterator[str]:
    return (f"2026{1 + number // 2:02}{1 + 14 * (number % 2):02}" for number in range(SERIALS))


def _version(version: str, architecture: str, serial: str) -> dict[str, object]:
    def item(ftype: str) -> dict[str, object]:
        path = f"server/releases/{version}/release-{serial}/ubuntu-{version}-server-cloudimg-{architecture}.{ftype}"
        sha256 = hashlib.sha256(path.encode()).hexdigest()
        return {"ftype": ftype, "md5": sha256[:32], "path": path, "sha256": sha256, "size": 600_000_000 + len(path)}

    return {
        "items": {ftype: item(ftype) for ftype in FTYPES},
        "label": "release",
        "pubname": f"ubuntu-{version}-{architecture}-server-{serial}",
    }


def publish_streams(folder: Path, keys_folder: Path) -> Path:
    """Writes signed simplestreams; returns the keyring."""
    keys = Keys(keys_folder)
    key = keys.make("vendor")
    for path, content in signed(keys, key, stream()).items():
        if path.startswith("streams/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    keys.close()
    return key.keyring


def list_ways(served: Nginx, keyring: Path) -> dict[str, Sequence[str]]:
    listed = f"{UBUNTU_LIST}.sjson"
    parse = "import json, sys; print(len(json.load(sys.stdin)['products']))"
    by_hand = (
        f"curl -sSf {served.url(listed)} | gpgv -q --keyring {keyring} --output - 2>/dev/null"
        f" | {sys.executable} -c {shlex.quote(parse)}"
    )
    return {
        "lading images, cold": [*LADING, "images", "ubuntu:"],
        "lading images, cached": [*LADING, "images", "ubuntu:"],
        PARSED: ["sh", "-c", by_hand],
    }


HELP_WAYS: Final[Mapping[str, Sequence[str]]] = {
    "lading --help": [*LADING, "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


class Machine:
    """A machine on which lading was never run."""

    def __init__(self, top: Path, served: Nginx, keyring: Path | None) -> None:
        self.home, self.target = top / "home", top / "target.raw"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        if keyring is not None:
            self.environment |= {
                "LADING_CATALOGS__UBUNTU__KIND": "simplestreams",
                "LADING_CATALOGS__UBUNTU__URL": served.url(""),
                "LADING_CATALOGS__UBUNTU__KEYRING": str(keyring),
                "LADING_CATALOGS__UBUNTU__ARCHITECTURE": "amd64",
            }

    def carry(self, command: Sequence[str], *, is_new: bool) -> Run:
        """Runs a way on the empty machine, or on the one that the last way left."""
        for path in () if not is_new else (self.target, self.target.with_name("noble.img")):
            path.unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir()
        os.sync()
        return run(command, self.environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds for the medians (default 5)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="MiB of data in the disk (default 1024)")
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    options = parser.parse_args()
    print(", ".join(f"{name}: {value}" for name, value in machine().items()))
    with contextlib.ExitStack() as stack:
        top, web, keys = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-"))) for _ in range(3)
        )
        served = stack.enter_context(nginx(web))
        keyring = None
        ways: dict[str, Sequence[str]] = {}
        if "list" in options.only:
            keyring = publish_streams(served.folder, keys)
            print(f"the list has {(served.folder / f'{UBUNTU_LIST}.sjson').stat().st_size / 1e6:.1f} MB")
            ways |= list_ways(served, keyring)
        empty = Machine(top, served, keyring)
        if "disk" in options.only:
            image = make_qcow2(served.folder, options.size * MEBIBYTE)
            print(f"the image has {image.stat().st_size / MEBIBYTE:.0f} MiB, its disk {options.size} MiB of data")
            ways |= disk_ways(served, empty.target)
        if "help" in options.only:
            ways |= HELP_WAYS
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, command in ways.items():
                runs[way].append(empty.carry(command, is_new=way != "lading images, cached"))
    seconds, processor = medians(runs), processor_medians(runs)
    rows = compare([each for each in GOALS if each.lading in seconds], seconds)
    show(rows)
    for way, done in runs.items():
        goal = f" (goal {SECONDS[way]} s){verdict(seconds[way] <= SECONDS[way])}" if way in SECONDS else ""
        each = " ".join(f"{run.seconds:.2f}" for run in done)
        print(f"  {way:<48}{seconds[way]:>7.2f} s{processor[way]:>7.2f} s of processor time{goal} ({each})")
    print(f"  load at the end: {os.getloadavg()}")
    if options.json:
        figures = {"machine": machine(), "rows": rows, "seconds": seconds, "processor": processor}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
