"""Many processes that want one image at once: its origin is asked once."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer, Reply

DATA = os.urandom(5_000_000)
MANY = 32
DRIVER = """
import json, os, sys
from lading.__main__ import main
import lading.adapters.cli.main, lading.adapters.container, lading.adapters.destinations.file.destination
import lading.adapters.handlers.http, oslo_utils.imageutils.format_inspector, sqlite3, http.client

targets = json.load(sys.stdin)
ready, go = os.pipe()
children = []
for target in targets:
    if (child := os.fork()) == 0:
        os.close(go)
        os.read(ready, 1)  # until the last of them is there
        sys.argv = ["lading", "fetch", "noble", target, "--json"]
        try:
            main()
        except SystemExit as ended:
            sys.stdout.flush()
            os._exit(ended.code or 0)
    children.append(child)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.fixture
def origin(faulty_server: FaultyServer, host: Path) -> FaultyServer:
    """A server that has the image, and a catalog that says so."""
    url = faulty_server.answer("/noble.img", Reply(DATA, pace=(1 << 20, 0.1)))
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True)
    document = {
        "id": "noble-id", "name": "noble", "size": len(DATA), "disk_format": "raw", "container_format": "bare",
        "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(DATA).hexdigest(), "locations": [{"url": url}],
    }  # fmt: skip
    (folder / "noble.json").write_text(json.dumps(document))
    return faulty_server


def fetched(host: Path, environment: dict[str, str], targets: list[str]) -> list[dict[str, object]]:
    """What each of the processes said, all of which began at the same time."""
    allowed = {"LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1", "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(targets), cwd=host, env=environment | allowed,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_many_that_fetch_to_one_target_do_the_work_once(
    host: Path, environment: dict[str, str], origin: FaultyServer
) -> None:
    told = fetched(host, environment, ["vms/1"] * MANY)
    assert sorted(bool(each["present"]) for each in told) == [False] + [True] * (MANY - 1)
    assert [(request.status, request.sent) for request in origin.requests] == [(200, len(DATA))]
    assert (host / "vms" / "1").read_bytes() == DATA
    assert os.listdir(host / "vms") == ["1"]


def test_many_that_fetch_to_different_targets_bring_the_bytes_once(
    host: Path, environment: dict[str, str], origin: FaultyServer
) -> None:
    told = fetched(host, environment, [f"vms/{number}" for number in range(MANY)])
    assert {each["method"] for each in told if not each["present"]} <= {"http", "copy", "reflink"}
    assert sum(each["method"] == "http" for each in told) == 1
    assert all(each["verified"] for each in told)
    assert [(request.status, request.sent) for request in origin.requests] == [(200, len(DATA))]
    assert sorted(os.listdir(host / "vms"), key=int) == [str(number) for number in range(MANY)]
    assert all((host / "vms" / str(number)).read_bytes() == DATA for number in range(MANY))
