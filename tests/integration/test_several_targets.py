"""`lading rm` with several targets: each is tried."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tests.unit.cli.conftest import Run, run

__all__ = ["run"]

LocalRun = Callable[..., Result]


@pytest.fixture
def local(run: Run, tmp_path: Path) -> LocalRun:
    """Runs a command with the default stores, after three targets have been fetched."""

    def local(*arguments: str) -> Result:
        return run(*arguments, LADING_ASSOCIATIONS__KIND="file")

    (tmp_path / "noble.img").write_bytes(bytes(4096))
    assert local("catalog", "add", "noble.img").exit_code == 0
    for target in ("1.img", "2.img", "3.img"):
        assert local("fetch", "noble", target).exit_code == 0
    return local


def test_a_failure_of_one_target_does_not_stop_the_others(local: LocalRun, tmp_path: Path) -> None:
    (tmp_path / "2.img").unlink()
    (tmp_path / "2.img").mkdir()
    done = local("rm", "1.img", "2.img", "9.img", "3.img", "1.img")
    assert done.exit_code == 5
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [f"{tmp_path}/1.img", f"{tmp_path}/3.img"]
    assert [path.name for path in sorted(tmp_path.glob("?.img"))] == ["2.img"]
    assert local("rm", "9.img", "2.img").exit_code == 6


def test_each_target_is_one_object_in_json(local: LocalRun, tmp_path: Path) -> None:
    done = local("rm", "9.img", "1.img", "--json")
    failed, removed = map(json.loads, done.stdout.splitlines())
    assert (failed["target"], failed["error"]) == (f"{tmp_path}/9.img", "not_associated")
    assert (removed["target"], removed["name"]) == (f"{tmp_path}/1.img", "noble")


def test_a_blank_target_is_refused_before_any_is_removed(local: LocalRun, tmp_path: Path) -> None:
    assert local("rm", "1.img", " ").exit_code == 2
    assert (tmp_path / "1.img").exists()


def test_no_target_is_a_usage_error(run: Run) -> None:
    assert "Missing argument 'TARGET...'" in run("rm").stderr


def test_an_unknown_target_is_compared_with_the_recorded_ones(local: LocalRun, tmp_path: Path) -> None:
    done = local("show", "1.imgg")
    assert (done.exit_code, f"did you mean {tmp_path}/1.img" in done.stderr) == (6, True)


def test_recorded_targets_are_found_by_the_short_id_of_their_image(local: LocalRun) -> None:
    image = json.loads(local("catalog", "show", "noble", "--json").stdout)["id"]
    assert len(local("ls", "--image", image[:8]).stdout.splitlines()) == 3
    assert len(local("who-has", image[:8]).stdout.splitlines()) == 3
    assert local("fetch", image[:8], "4.img").exit_code == 0


def test_quiet_verification_prints_what_is_wrong_only(local: LocalRun, tmp_path: Path) -> None:
    (tmp_path / "2.img").unlink()
    done = local("verify", "--all", "--quiet")
    assert (done.exit_code, done.stdout) == (8, "")
    assert done.stderr.startswith(f"lading: {tmp_path}/2.img: missing")
    assert local("verify", "1.img", "-q").output == ""
