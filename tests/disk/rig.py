"""A host's folders, as a command finds them, on a disk that misbehaves to order."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.disk.faulty_disk import FaultyDisk
from tests.disk.forking import Forks

from lading import Association, Image, Work
from lading.adapters.codec.documents import image_from_document
from lading.adapters.destinations.file.partial import facts, part_path
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.ports.journal import Intent, Verb

Done = subprocess.CompletedProcess[str]
DATA: Final = os.urandom(200_000) + bytes(1 << 20) + os.urandom(200_000)
DATABASE: Final = "associations.sqlite"


class Scene(NamedTuple):
    """What is there, and the command."""

    command: Sequence[str]
    fetched: str = ""
    """What was fetched before."""
    occupied: str = ""
    """What is there but is not lading's."""
    order: str = "file"
    kept: str = ""
    """Where a fetch was cut off after its first mebibyte."""


SCENES: Final = {
    "fetch, the first of all": Scene(["fetch", "noble", "vms/1"]),
    "fetch": Scene(["fetch", "noble", "vms/1"], fetched="vms/0"),
    "fetch by download": Scene(["fetch", "noble", "vms/1"], fetched="vms/0", order="download"),
    "fetch by http": Scene(["fetch", "noble", "vms/1"], order="http"),
    "fetch, resumed": Scene(["fetch", "noble", "vms/1"], kept="vms/1", order="http"),
    "fetch --force": Scene(["fetch", "noble", "vms/1", "--force"], fetched="vms/0", occupied="vms/1"),
    "fetch --force by http": Scene(["fetch", "noble", "vms/1", "--force"], occupied="vms/1", order="http"),
    "mv": Scene(["mv", "vms/1", "vms/2"], fetched="vms/1"),
    "mv to another file system": Scene(["mv", "vms/1", "other/2"], fetched="vms/1"),
    "rm": Scene(["rm", "vms/1"], fetched="vms/1"),
}


@dataclass(frozen=True, slots=True)
class State:
    """What can be seen from outside, less the files of the database and of locks."""

    files: Mapping[str, bytes]
    recorded: Sequence[str]
    integrity: str = "ok"


@dataclass(frozen=True, slots=True)
class DiskRig:
    """A host's folders, again and again, and the command."""

    top: Path
    catalog: Path
    other: Path | None
    """A folder on another file system."""
    forks: Forks
    disk: FaultyDisk

    def prepare(self, scene: Scene) -> None:
        """Make everything new, as the scene begins."""
        shutil.rmtree(self.top, ignore_errors=True)
        (self.top / "vms").mkdir(parents=True)
        if self.other is not None:
            shutil.rmtree(self.other, ignore_errors=True)
            self.other.mkdir()
            (self.top / "other").symlink_to(self.other)
        if scene.occupied:
            (self.top / scene.occupied).write_bytes(b"precious")
        if scene.fetched:
            self._put(self.top / scene.fetched)
        if scene.kept:
            self._keep(str(self.top / scene.kept))

    def _put(self, target: Path) -> None:
        target.write_bytes(DATA)
        now, mark, folder = datetime.now(UTC), fingerprint(str(target)), folder_identity(str(target.parent))
        image = Image("noble-id", "noble")
        association = Association(str(target), "file", image, None, now, fingerprint=mark, folder=folder)
        with closing(Database(self.top / "state" / DATABASE)) as database:
            FileAssociations(database).put(association).unwrap()

    def _keep(self, target: str) -> None:
        Path(part_path(target)).write_bytes(DATA[: 1 << 20])
        document = json.loads((self.catalog / "documents" / "noble.json").read_text())
        image = image_from_document(document).unwrap()
        location = next(each for each in image.locations if each.scheme == "http")
        image = replace(image, locations=())
        file, folder = fingerprint(part_path(target)), folder_identity(str(Path(target).parent))
        notes = {
            "part": facts(Work(target, image, location), '"1"'),
            "temporary": list(file),
            "folder": list(folder) if folder else None,
        }
        intent = Intent(target, Verb.FETCH, "http", datetime.now(UTC), image, location, notes=notes)
        with closing(Database(self.top / "state" / DATABASE)) as database:
            FileJournal(database).begin(intent).unwrap()

    def run(self, scene: Scene, orders: Mapping[str, str]) -> Done:
        variables = {**self.variables(scene.order), **orders}
        return self.forks.run(*self.arguments(scene), folder=self.top, variables=variables)

    def arguments(self, scene: Scene) -> list[str]:
        return [str(self.top / each) if "/" in each else each for each in scene.command]

    def variables(self, order: str = "file") -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.catalog / "documents"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / "state" / DATABASE),
            "LADING_HANDLERS__ORDER": order,
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(self.catalog),
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
            "PYTHONWARNINGS": "error",
        }

    def add(self, url: str) -> None:
        """Put the image into the catalog, which has it on a web server too."""
        self.top.mkdir()
        arguments = ["catalog", "add", str(self.catalog / "noble.img"), "--name", "noble", "--id", "noble-id"]
        added = self.forks.run(*arguments, folder=self.top, variables=self.variables())
        assert added.returncode == 0, added.stderr
        (path,) = (self.catalog / "documents").glob("*.json")
        document = json.loads(path.read_text())
        document["locations"].append({"url": url})
        path.unlink()
        (self.catalog / "documents" / "noble.json").write_text(json.dumps(document))

    def state(self) -> State:
        """What is there, without the database's own files; what is recorded, with paths relative to the host."""
        folders = [self.top, *([self.other] if self.other else [])]
        found = {path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
        ours = {
            path
            for path in found
            if path.suffix != ".lock" and not (path.parent.name == "state" and path.name.startswith(DATABASE))
        }
        files = {self.relative(str(path)): path.read_bytes() for path in ours}
        recorded, integrity = self._database()
        return State(files, recorded, integrity)

    def _database(self) -> tuple[Sequence[str], str]:
        """Of a copy: to look at one may be to repair it."""
        if not (self.top / "state" / DATABASE).exists():
            return [], "ok"
        copy = self.top.with_name(f"{self.top.name}-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.top / "state", copy)
        with closing(sqlite3.connect(copy / DATABASE)) as database:
            integrity = str(database.execute("PRAGMA integrity_check").fetchone()[0])
            known = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            rows = database.execute("SELECT target FROM associations ORDER BY target").fetchall() if known else []
        return [self.relative(target) for (target,) in rows], integrity

    def relative(self, path: str) -> str:
        if self.other and path.startswith(str(self.other)):
            return f"other{path.removeprefix(str(self.other))}"
        return os.path.relpath(path, self.top)
