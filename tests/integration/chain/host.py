"""A host with images in every form, in a folder and on a web server, and the real command."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer, Reply
from tests.images import MIB
from tests.integration.conversion.disks import disk_with_gpt, image_of
from tests.packages import needs

__all__ = [
    "DISK", "FORMATS", "GROWN", "PACKINGS", "ChainHost", "Done", "Images", "holders", "plain_content", "sha256",
]  # fmt: skip

Done = subprocess.CompletedProcess[str]
DISK: Final = disk_with_gpt()
"""4 MiB, most of them zeros."""
GROWN: Final = 8 * MIB
FORMATS: Final = ("raw", "qcow2", "vmdk, streamOptimized")
PACKINGS: Final = {
    "": "cat image", "gz": "gzip -c image", "bz2": "bzip2 -c image", "xz": "xz -0c image", "zst": "zstd -qc image",
    "lz4": "lz4 -qc image", "tar": "tar -c image", "zip": "rm -f x.zip; zip -q x.zip image; cat x.zip",
    "ova": "tar -c vm.ovf image", "xz, tar": "tar -c image | xz -0c",
}  # fmt: skip
"""The layers of a packed image, from the outermost on, and the command that packs the file `image`."""
_OVF: Final = (
    '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
    '<References><File ovf:id="file1" ovf:href="image"/></References>'
    '<DiskSection><Disk ovf:capacity="1" ovf:diskId="1" ovf:fileRef="file1"/></DiskSection></Envelope>'
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Images:
    """Images and packed files, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "vm.ovf").write_text(_OVF)

    @cache  # noqa: B019 - as long as the tests
    def image(self, kind: str) -> bytes:
        """An image of DISK; `kind` is one of `disks.IMAGES`."""
        needs("qemu-img")
        return image_of(DISK, kind, self.folder).read_bytes()

    @cache  # noqa: B019 - likewise
    def packed(self, kind: str, packing: str) -> bytes:
        """The image, packed by the usual program."""
        needs(*({"zip", "zstd", "lz4"} & {packing, {"zst": "zstd"}.get(packing)}))
        (self.folder / "image").write_bytes(self.image(kind))
        script = f"set -e; {PACKINGS[packing]}"
        return subprocess.run(["sh", "-c", script], cwd=self.folder, stdout=subprocess.PIPE, check=True).stdout


def plain_content(path: Path, image_format: str) -> bytes:
    """The content of the disk in a target."""
    if image_format == "raw":
        return path.read_bytes()
    out = path.parent.parent / "plain"
    driver = "vpc" if image_format == "vhd" else image_format
    subprocess.run(["qemu-img", "convert", "-f", driver, "-O", "raw", path, out], check=True)
    return out.read_bytes()


class ChainHost:
    """A host: its catalog, its targets, its database, and the command."""

    def __init__(self, top: Path, forks: Forks, server: FaultyServer, vms: Path | None = None) -> None:
        self.top, self.forks, self.server = top, forks, server
        self.vms = vms or top / "vms"
        for folder in (top / "images", top / "catalog", self.vms):
            folder.mkdir(exist_ok=True, parents=True)
        self.settings: dict[str, str] = {}

    @property
    def target(self) -> Path:
        return self.vms / "vm"

    def add(self, name: str, data: bytes, **fields: object) -> None:
        """Puts an image into the catalog: in a folder and on the server. Fields that are None are left out."""
        (self.top / "images" / name).write_bytes(data)
        document = {
            "id": name, "name": name, "size": len(data), "os_hash_algo": "sha256", "os_hash_value": sha256(data),
            "locations": [
                {"url": f"file://{self.top}/images/{name}"},
                {"url": self.server.answer(f"/{name}", Reply(data))},
            ],
        } | fields  # fmt: skip
        known = {key: value for key, value in document.items() if value is not None}
        (self.top / "catalog" / f"{name}.json").write_text(json.dumps(known))

    def run(
        self,
        *arguments: str,
        order: str = "file",
        seconds: float | None = None,
        signals: Sequence[int] = (signal.SIGKILL,),
        disk: Mapping[str, str] | None = None,
        **variables: str,
    ) -> Done:
        """Runs the command. It gets signals after so many seconds; `disk` are orders of a FaultyDisk."""
        every = {**self._variables(order), **variables, **(disk or {})}
        done = self.forks.run(*arguments, folder=self.top, variables=every, seconds=seconds, signals=signals)
        assert "Traceback" not in done.stderr, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr
        return done

    def kill_when_held_by(self, program: str, *arguments: str, order: str = "file", **variables: str) -> None:
        """Runs the command, and kills it when it has that program run, with a file of the targets' folder open."""
        command, every = [sys.executable, "-m", "lading", *arguments], {**self._variables(order), **variables}
        with subprocess.Popen(command, cwd=self.top, env=every) as running:
            while not any(each.startswith(program) for each in holders(self.vms)):
                assert running.poll() is None
                time.sleep(0.01)
            running.kill()

    def _variables(self, order: str) -> dict[str, str]:
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.top / "catalog"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / "state" / "associations.sqlite"),
            "LADING_HANDLERS__ORDER": order,
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(self.top / "images"),
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
            "PYTHONWARNINGS": "error",
        }
        return {**known, **self.settings}

    def fetch(self, name: str, *options: str, order: str = "file", target: Path | None = None) -> dict[str, Any]:
        """A fetch that succeeds. Returns what it printed, parsed."""
        done = self.run("fetch", name, str(target or self.target), "--json", *options, order=order)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    def refused(self, name: str, *options: str, order: str = "file", **given: Any) -> str:  # noqa: ANN401 - as `run` has them
        """A fetch that is refused. Returns what it printed; nothing is left."""
        before = sorted(os.listdir(self.vms))
        done = self.run("fetch", name, str(self.target), *options, order=order, **given)
        assert done.returncode in {4, 5, 7, 10, 11}, (done.returncode, done.stdout, done.stderr)
        assert sorted(os.listdir(self.vms)) == before, done.stderr
        return done.stderr

    def recorded(self, target: Path | None = None) -> dict[str, Any]:
        """The record of the target."""
        done = self.run("show", str(target or self.target), "--json")
        assert done.returncode == 0, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    def asked(self, name: str) -> list[str | None]:
        """The ranges of the requests for the image's bytes so far."""
        return [each.range for each in self.server.requests if each.path == f"/{name}" and each.method == "GET"]

    def assert_whole(self, *, names: Sequence[str] = ("vm",)) -> None:
        """The targets verify, and nothing else is there."""
        verified = self.run("verify", "--all", order="file,http")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert sorted(os.listdir(self.vms)) == sorted(names)
        recovered = self.run("recover", order="file,http")
        assert (recovered.returncode, recovered.stderr) == (0, "")
        assert sorted(os.listdir(self.vms)) == sorted(names)

    def files(self) -> dict[str, bytes]:
        """The targets and whatever lies beside them, by name."""
        return {path.name: path.read_bytes() for path in self.vms.iterdir()}

    def targets(self) -> list[str]:
        """The names of the recorded targets."""
        listed = map(json.loads, self.run("ls", "--json").stdout.splitlines())
        return [os.path.basename(each["target"]) for each in listed if each["landed_at"]]

    def assert_nothing(self) -> None:
        """Nothing is there, and nothing is recorded."""
        recovered = self.run("recover", order="file,http")
        assert (recovered.returncode, recovered.stderr) == (0, "")
        assert os.listdir(self.vms) == []
        assert self.run("ls").stdout == ""


def holders(folder: Path) -> list[str]:
    """The other processes that have a file in the folder open, also one that has no name."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            opened = [os.readlink(each) for each in (process / "fd").iterdir()]
            if any(each.startswith(f"{folder}/") for each in opened):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended
            continue
    return found
