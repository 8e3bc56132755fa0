"""What is built holds what git tracks."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
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
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name for name in names if ".data/" not in name} == expected
    pages = {name.partition("/share/man/man1/")[2] for name in names if ".data/data/" in name}
    assert pages == {Path(path).name for path in tracked("docs/man")}


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


@pytest.mark.parametrize("name", ["dev.txt", "lowest.txt"])
def test_the_pins_name_no_download_host(name: str) -> None:
    assert "://" not in (ROOT / "requirements" / name).read_text()


def lower_bounds() -> dict[str, str]:
    """By package, those that pyproject.toml names for an install with every extra, and for the tests of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [
        *project["project"]["dependencies"],
        *chain.from_iterable(project["project"]["optional-dependencies"].values()),
        *project["dependency-groups"]["test"],
    ]
    pairs = (each.partition(";")[0].partition(">=") for each in named if not each.startswith("lading["))
    return {name.replace(".", "-"): bound for name, _, bound in pairs}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pairs = (line.split()[0].partition("==") for line in lines if line[0].isalnum())
    return {name.partition("[")[0]: version for name, _, version in pairs}


def test_each_lower_bound_is_the_version_that_the_lowest_tests_run_with() -> None:
    bounds, pinned = lower_bounds(), pins("lowest.txt")
    assert all(bounds.values()), "each package has a lower bound"
    assert {name: padded(pinned[name]) for name in bounds} == {name: padded(bound) for name, bound in bounds.items()}


def test_each_pin_for_development_is_within_its_bound() -> None:
    pinned = pins("dev.txt")
    assert [name for name, bound in lower_bounds().items() if padded(pinned[name]) < padded(bound)] == []


def padded(version: str) -> list[int]:
    return [*map(int, version.split(".")), 0, 0][:3]
