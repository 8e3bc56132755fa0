"""Commands whose targets are in a Ceph pool, killed at random moments and then recovered.

LADING_TORTURE says how many kills; LADING_SEED makes a run again.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.services.ceph import Ceph
from tests.rigs.rbd import Pool
from tests.torture import TORTURE

from lading.sdk.contracts import DATA

KILLS: Final = TORTURE or 12
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
KILLED: Final = -9
START_UP: Final = 0.2
"""Seconds in which no command does anything yet, here; a kill that comes too early kills nothing."""


class Host:
    """A host with one image in Ceph."""

    def __init__(self, top: Path, ceph: Ceph, location: str) -> None:
        self._top = top
        (top / "catalog").mkdir()
        document = {
            "id": "noble", "size": len(DATA), "disk_format": "raw", "container_format": "bare",
            "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(DATA).hexdigest(),
            "locations": [{"url": location}],
        }  # fmt: skip
        (top / "catalog" / "noble.json").write_text(json.dumps(document))
        self._variables: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(top),
            "PYTHONPATH": str(ceph.python_path),
            "LADING_CATALOG__FOLDER": str(top / "catalog"),
            "LADING_HANDLERS__ORDER": "rbd",
            "LADING_HANDLERS__RBD__CEPH_CONF": str(ceph.conf),
        }

    def run(self, *arguments: str, kill_after: float | None = None) -> tuple[int, str]:
        """The exit code, and what was printed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lading", *arguments],
            cwd=self._top,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        out, err = process.communicate(timeout=60)
        assert process.returncode in {KILLED, 0, 5, 6, 7}, err
        return process.returncode, out

    def recover(self, pool: Pool) -> None:
        """See to what was cut off; again where Ceph still takes the killed process for one that has the clone open."""
        give_up = time.monotonic() + 120
        while self.run("recover")[0]:
            assert any(each.endswith(".lading-part") for each in pool.names())
            assert time.monotonic() < give_up, pool.names()
            time.sleep(1)

    def recorded(self) -> set[str]:
        listed = map(json.loads, self.run("ls", "--json")[1].splitlines())
        return {each["target"] for each in listed if each["landed_at"]}


def test_whatever_is_killed_is_finished_or_taken_back(
    ceph: Ceph, pool: Pool, rbd_location: str, tmp_path: Path
) -> None:
    host, chance = Host(tmp_path, ceph, rbd_location), random.Random(SEED)
    one, two = pool.target("1"), pool.target("2")
    commands = (("fetch", "noble", one), ("fetch", "noble", one, "--force"), ("mv", one, two), ("rm", two), ("rm", one))
    killed = trashed = 0
    for number in range(10 * KILLS):
        if killed == KILLS:
            break
        command = commands[number % len(commands)]
        code, _ = host.run(*command, kill_after=START_UP + chance.random() * 0.4)
        killed += code == KILLED
        host.recover(pool)
        # Nothing half made, and what is there is recorded and whole. Only what a killed command was removing may have
        # come to the trash: for half a minute Ceph takes it for one that is in use.
        names = pool.names()
        trash = sum(name.startswith("trash: ") for name in names)
        assert trash <= trashed + (code == KILLED and (command[0] == "rm" or "--force" in command)), (
            SEED,
            number,
            names,
        )
        trashed = trash
        there = {name: pool.content(name) for name in names if not name.startswith("trash: ")}
        assert set(there.values()) <= {DATA}, (SEED, number, command, pool.names())
        assert {pool.target(name) for name in there} == host.recorded(), (SEED, number, command)
    assert killed == KILLS, f"{killed} of {KILLS}: seed {SEED}"
