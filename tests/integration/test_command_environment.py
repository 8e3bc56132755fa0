"""The command in odd surroundings: closed streams, too few descriptors, a missing package, a bug."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.integration.conftest import Lading, messages


def test_output_into_a_closed_pipe_is_no_error(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    command = f"{sys.executable} -m lading catalog ls | true; echo ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(
            ["bash", "-c", command], cwd=host, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout in {"0\n", "141\n"}


def in_shell(line: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the line, in which `lading` is the command."""
    function = f'lading() {{ {sys.executable} -m lading "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", function + line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(noble: Path, host: Path, environment: dict[str, str], closed: str) -> None:
    done = in_shell(f"lading fetch noble vms/1 {closed}", host, environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()


def test_a_path_that_is_no_text_is_taken_as_it_is(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    target = os.fsencode(host / "vms") + b"/\xff"
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"lading", b"fetch", b"noble", target],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\xff" in done.stdout
    assert os.path.exists(target)


@pytest.mark.parametrize("arguments", [["--help"], ["fetch", "--help"], ["catalog", "add", "--help"], ["--version"]])
def test_help_goes_without_the_container(lading: Lading, arguments: list[str]) -> None:
    done = lading(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "dependency_injector" not in done.stderr


def test_without_the_extra_the_command_says_how_to_install_it(host: Path) -> None:
    program = "import sys; sys.modules['click'] = None; from lading.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=host, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "lading: the command line is not installed: pip install 'lading[cli]'\n"


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "-vv"], ["ls", "--json"]])
def test_a_bug_is_told_in_one_line_and_where_it_is_with_vv(host: Path, arguments: list[str]) -> None:
    program = f"""
import sys
import lading.adapters.container as container
container.open_container = lambda settings, recover: 1 / 0
sys.argv = ["lading", *{arguments}]
from lading.adapters.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=host, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "internal error, ZeroDivisionError" in done.stderr
    assert "this is a bug in lading\n" in done.stderr
    assert "with -vv prints what the developers of lading need" in done.stderr
    assert not done.stdout or json.loads(done.stdout)["error"] == "internal_error"
    assert bool(done.stdout) == ("--json" in arguments)
    assert ("Traceback" in done.stderr) == ("-vv" in arguments)


def test_with_too_few_descriptors_every_command_says_so(noble: Path, host: Path, environment: dict[str, str]) -> None:
    """With each number of them, from those that Python needs to start on, until one is enough."""
    for limit in range(5, 64):
        done = subprocess.run(
            ["prlimit", f"--nofile={limit}:{limit}", sys.executable, "-m", "lading", "fetch", "noble", "vms/1"],
            cwd=host, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode == 0:
            break
        if not done.stderr.startswith("lading: ") and limit < 8:
            continue  # Python itself did not start
        assert done.returncode in {4, 7, 11}, done.stderr
        assert "internal error" not in done.stderr
        assert len(messages(done)) == 1, done.stderr
    assert (host / "vms" / "1").exists()
