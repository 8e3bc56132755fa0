"""Real file systems, mounted for the tests, and the real command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.disk.faulty_disk import FaultyDisk
from tests.disk.forking import Forks
from tests.disk.rig import DATA, SCENES, DiskRig
from tests.faulty_server import FaultyServer, Reply
from tests.openpgp import Key, Keys
from tests.packages import needs

MEBIBYTE = 1 << 20


def make_file_system(kind: str, image: Path) -> None:
    """A small file system of that kind in a file; skips, visibly, where that can't be had."""
    maker = {"xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"], "ext4": ["mkfs.ext4", "-q"]}[
        kind
    ]
    needs(maker[0])
    if os.geteuid() != 0:
        pytest.skip(f"needs root to mount {kind}")
    with image.open("wb") as file:
        file.truncate(400 * MEBIBYTE)
    subprocess.run([*maker, str(image)], check=True, capture_output=True)


def mounted(kind: str, image: Path, folder: Path) -> Iterator[Path]:
    """A small file system of that kind, mounted by loop; skips, visibly, where that can't be had."""
    make_file_system(kind, image)
    folder.mkdir()
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"can't mount {kind}: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session", params=["xfs", "btrfs"])
def reflinking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a file system that clones."""
    top = tmp_path_factory.mktemp(request.param)
    yield from mounted(request.param, top / "image", top / "mounted")


@pytest.fixture(scope="session")
def exfat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on an exFAT, by FUSE: it has no hard links, and no rename that replaces nothing."""
    needs("mkfs.exfat", "mount.exfat-fuse")
    if os.geteuid() != 0:
        pytest.skip("needs root to mount exFAT")
    top = tmp_path_factory.mktemp("exfat")
    image, folder = top / "image", top / "mounted"
    with image.open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    subprocess.run(["mkfs.exfat", str(image)], check=True, capture_output=True)
    made = subprocess.run(["losetup", "-f", "--show", str(image)], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"can't make a loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    folder.mkdir()
    try:
        done = subprocess.run(["mount.exfat-fuse", device, str(folder)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"can't mount exFAT: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """Mounts a tmpfs at a new folder; skips, visibly, where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lading-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 8 MiB."""
    with tmpfs(tmp_path / "small", "size=8m") as folder:
        yield folder


Lading = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's folders: images that may be fetched, and a place for what was fetched."""
    (tmp_path / "images").mkdir()
    (tmp_path / "vms").mkdir()
    return tmp_path


@pytest.fixture
def environment(host: Path) -> dict[str, str]:
    """The variables that a command sees: nothing of whoever runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(host / "home"),
        "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(host / "images"),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def lading(host: Path, environment: dict[str, str]) -> Lading:
    """Runs the command as a user would: `lading("fetch", "noble", "vms/1")`."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lading", *arguments],
            cwd=host,
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    return run


@pytest.fixture(scope="session")
def forks(faulty_library: Path) -> Iterator[Sequence[Forks]]:
    """The command without its start, once for each of a few processors."""
    with ExitStack() as running:
        yield [running.enter_context(Forks(faulty_library)) for _ in range(min(os.cpu_count() or 1, 4))]


@pytest.fixture
def benches(
    faulty_disk: Callable[..., FaultyDisk],
    forks: Sequence[Forks],
    quick_folder: Path,
    faulty_server: FaultyServer,
    request: pytest.FixtureRequest,
) -> Sequence[DiskRig]:
    """As many as run at a time, for the scene of that name."""
    catalog = quick_folder / "catalog"
    catalog.mkdir()
    (catalog / "noble.img").write_bytes(DATA)
    scene = SCENES[request.getfixturevalue("name")]
    other: Path | None = request.getfixturevalue("small_disk") if "other/2" in scene.command else None
    made = []
    for number, running in enumerate(forks):
        top, elsewhere = quick_folder / f"host-{number}", other and other / str(number)
        disk = faulty_disk(top, *([elsewhere] if elsewhere else []))
        made.append(DiskRig(top, catalog, elsewhere, running, disk))
    made[0].add(faulty_server.answer("/noble.img", Reply(DATA)))
    return made


@pytest.fixture
def noble(host: Path, lading: Lading) -> Path:
    """A sparse disk in the catalog, under the name noble."""
    path = host / "images" / "noble.img"
    with path.open("wb") as disk:
        disk.truncate(16 * MEBIBYTE)
        disk.write(os.urandom(MEBIBYTE))
    assert lading("catalog", "add", "images/noble.img").returncode == 0
    return path


def record(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that a command printed."""
    (line,) = done.stdout.splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


def messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The errors that a command printed, one line each, without the lines of advice below them."""
    return [line for line in done.stderr.splitlines() if not line.startswith("  ")]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    needs("gpg", "gpgv", "sqv")
    keys = Keys(tmp_path_factory.mktemp("keys"))
    yield keys
    keys.close()


@pytest.fixture(scope="session")
def vendor(keys: Keys) -> Key:
    return keys.make("vendor")


@pytest.fixture(scope="session")
def stranger(keys: Keys) -> Key:
    return keys.make("stranger")
