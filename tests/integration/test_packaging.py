"""What is built holds what git tracks."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    build("sdist", ROOT, folder)
    (sdist,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder, filter="data")
    build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)
    return folder


def build(target: str, source: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    return {path for path in listed.stdout.splitlines() if not (ROOT / path).is_symlink()}


def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_holds_every_tracked_module_and_nothing_else(built: Path) -> None:
    expected = {f"lading/{path}" for folder in ("domain", "ports", "adapters") for path in tracked(folder)}
    expected |= {path.removeprefix("src/") for path in tracked("src")}
    with zipfile.ZipFile(wheel(built)) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_the_installed_wheel_runs_away_from_the_repository(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(built)) as archive:
        archive.extractall(tmp_path / "site")
    program = "import lading, lading.adapters.nova as nova; print(lading.__file__, nova.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in done.stdout.split())


def test_the_pins_name_no_download_host() -> None:
    assert "://" not in (ROOT / "requirements" / "dev.txt").read_text()
