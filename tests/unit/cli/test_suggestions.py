"""Names that are meant: close ones, short ids, swapped arguments."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run

from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.cli.common_options import CommonOptions
from lading.adapters.cli.session import Session
from lading.adapters.cli.suggestions import meant
from lading.ports.image import Image

NOBLE = "155d900f-4e14-4e4c-a73d-069cbf4541e6"
JAMMY = "155d900f-9b3c-4a3e-8d2a-0f6f3a3f1c11"
PLUCKY = "0bd3a2f7-9b3c-4a3e-8d2a-0f6f3a3f1c11"
Fill = Callable[..., None]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Fills the catalog of the command's home, or that of the remote lab."""

    def fill(*images: Image, remote: bool = False) -> None:
        folder = tmp_path / ("lab" if remote else ".local/share/lading/catalog")
        for image in images:
            FileCatalog(folder).add(image).unwrap()
        (tmp_path / "lading.toml").write_text("[catalogs.lab]\nkind = 'file'\nfolder = 'lab'\n")

    return fill


def test_an_unknown_image_is_compared_with_those_of_the_catalog(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), Image(PLUCKY, "plucky"))
    done = run("fetch", "Nobel", "vms/my vm", "--force")
    assert done.exit_code == 3
    assert "  did you mean noble?\n  lading fetch noble 'vms/my vm' --force\n" in done.stderr


def test_an_unknown_remote_is_compared_with_the_configured_ones(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), remote=True)
    done = run("explain", "lap:noble", "vms/1")
    assert "did you mean lab:noble?\n  lading explain lab:noble vms/1\n" in done.stderr
    assert "did you mean lab? [catalogs.lap] configures one" in run("images", "lap:").stderr
    assert "did you mean lab:noble?" in run("catalog", "show", "lab:nobel").stderr


def test_the_prefix_of_a_name_that_is_not_found_may_be_a_remote_to_configure(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"))
    said = run("fetch", "ubuntu:24.04", "vms/1").stderr
    assert "no remote is named ubuntu: [catalogs.ubuntu] configures one, lading config init writes an example" in said


def test_a_name_like_no_other_has_no_suggestion(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"))
    assert "did you mean" not in run("catalog", "show", "windows-2025").stderr


def test_names_are_close_whatever_their_case() -> None:
    assert meant("NOBLE-24.04", ["noble-24.04", "jammy"]) == ["noble-24.04"]


def test_an_image_is_found_by_the_first_digits_of_its_id(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), Image(PLUCKY, "plucky"))
    for short in ("155d900f", "155D900F-4e1", NOBLE):
        assert f'"id": "{NOBLE}"' in run("catalog", "show", short).stdout
    fill(Image(JAMMY, "jammy"), remote=True)
    assert f'"id": "lab:{JAMMY}"' in run("catalog", "show", "lab:155d900f").stdout


def test_seven_digits_are_too_few(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"))
    assert run("catalog", "show", "155d900").exit_code == 3


def test_a_short_id_of_several_images_names_none(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), Image(JAMMY, "jammy"))
    for command in (["catalog", "rm"], ["catalog", "show"]):
        done = run(*command, "155d900f")
        assert (done.exit_code, NOBLE in done.stderr, JAMMY in done.stderr) == (3, True, True)
    assert len(run("images").stdout.splitlines()) == 2


def test_a_short_id_of_one_image_removes_it(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), Image(PLUCKY, "plucky"))
    assert run("catalog", "rm", "155d900f").exit_code == 0
    assert run("images").stdout.startswith(PLUCKY)


def test_a_name_comes_before_a_short_id(run: Run, fill: Fill) -> None:
    fill(Image(NOBLE, "noble"), Image(PLUCKY, "155d900f"))
    assert f'"id": "{PLUCKY}"' in run("catalog", "show", "155d900f").stdout


def test_a_catalog_on_a_server_is_not_searched_for_short_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOME", str(tmp_path)), ("LADING_ASSOCIATIONS__KIND", "memory")):
        monkeypatch.setenv(name, value)
    assert Session(CommonOptions(os_cloud="no such cloud")).full_reference("155d900f") == "155d900f"


@pytest.mark.parametrize("command", ["fetch", "explain"])
@pytest.mark.parametrize(
    ("image", "target"),
    [("/vms/1", "noble"), ("rbd:vms/1", "ubuntu:24.04"), ("./1.img", "https://cloud.example/noble.img")],
)
def test_swapped_arguments_are_told_with_the_right_command(run: Run, command: str, image: str, target: str) -> None:
    done = run(command, "--force", image, target)
    assert (done.exit_code, "they look swapped" in done.stderr) == (2, True)
    assert f"The other way round: lading {command} --force {target} {image}\n" in done.stderr


@pytest.mark.parametrize(("image", "target"), [("/vms/1", "./noble"), ("noble", "jammy"), ("/vms/1", "vms/2")])
def test_arguments_that_may_be_right_are_not_swapped(run: Run, image: str, target: str) -> None:
    assert "swapped" not in run("explain", image, target).stderr
