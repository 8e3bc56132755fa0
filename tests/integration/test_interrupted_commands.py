"""Commands that get a signal end by it and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.conftest import Lading


@pytest.fixture
def big(host: Path) -> Path:
    """A disk in the catalog, under the id big, that takes minutes to fetch."""
    big = host / "images" / "big.img"
    with big.open("wb") as disk:
        disk.truncate(64 << 30)  # a hole that takes minutes to hash
    document = {
        "id": "big",
        "size": 64 << 30,
        "os_hash_algo": "sha512",
        "os_hash_value": "0" * 128,
        "locations": [{"url": f"file://{big}"}],
    }
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True)
    (folder / "big.json").write_text(json.dumps(document))
    return big


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_fetch_leaves_nothing_behind(
    lading: Lading, host: Path, environment: dict[str, str], big: Path, number: signal.Signals
) -> None:
    fetching = subprocess.Popen(
        [sys.executable, "-m", "lading", "fetch", "big", "vms/1", "--json"],
        cwd=host, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: holds_open(fetching.pid, big))
    fetching.send_signal(number)
    stdout, stderr = fetching.communicate(timeout=60)
    assert fetching.returncode == 128 + number
    assert f"nothing is kept: {host}/vms/1 is as it was before" in stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["error"] == "interrupted"
    assert os.listdir(host / "vms") == []
    assert lading("ls").stdout == ""


def test_a_signal_that_is_ignored_stays_ignored(host: Path, environment: dict[str, str], big: Path) -> None:
    fetching = subprocess.Popen(
        ["bash", "-c", f"trap '' HUP; exec {sys.executable} -m lading fetch big vms/1"],
        cwd=host, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: holds_open(fetching.pid, big))
    fetching.send_signal(signal.SIGHUP)
    # Of two signals that wait, Python sees to the lower one first.
    fetching.send_signal(signal.SIGTERM)
    _, stderr = fetching.communicate(timeout=60)
    assert (fetching.returncode, "SIGTERM" in stderr) == (128 + signal.SIGTERM, True)


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def holds_open(process: int, path: Path) -> bool:
    try:
        return any(
            os.path.realpath(f"/proc/{process}/fd/{each}") == str(path) for each in os.listdir(f"/proc/{process}/fd")
        )
    except FileNotFoundError:
        return False
