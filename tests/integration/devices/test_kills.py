"""Fetches to a device that are killed at random moments: the device holds the image, or is known to be incomplete.

LADING_TORTURE says how many kills; LADING_SEED makes a run again.
"""

import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer, Reply
from tests.loop_devices import LoopDevice
from tests.torture import TORTURE

KILLS: Final = TORTURE or 15
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
KILLED: Final = -9
MEBIBYTE: Final = 1 << 20
SIZE: Final = 8 * MEBIBYTE
IMAGES: Final = {
    name: random.Random(name).randbytes(2_500_000) + bytes(MEBIBYTE) + random.Random(name).randbytes(1_500_017)
    for name in ("noble", "jammy")
}


class Commands:
    """The command on a host with two images, each in a folder and on a web server that takes its time."""

    def __init__(self, top: Path, forks: Forks, server: FaultyServer) -> None:
        self.top, self._forks = top, forks
        for folder in ("images", "catalog"):
            (top / folder).mkdir()
        for name, data in IMAGES.items():
            (top / "images" / name).write_bytes(data)
            url = server.answer(f"/{name}", Reply(data, pace=(1 << 18, 0.01)))
            document = {
                "id": name, "name": name, "size": len(data), "disk_format": "raw", "container_format": "bare",
                "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(data).hexdigest(),
                "locations": [{"url": f"file://{top}/images/{name}"}, {"url": url}],
            }  # fmt: skip
            (top / "catalog" / f"{name}.json").write_text(json.dumps(document))

    def run(self, *arguments: str, order: str = "file,http", seconds: float | None = None) -> tuple[int, str]:
        """Runs the command, and kills it after so many seconds. Returns its exit code, and what it printed."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.top / "catalog"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / "state/associations.sqlite"),
            "LADING_HANDLERS__ORDER": order,
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(self.top / "images"),
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
        }
        done = self._forks.run(*arguments, folder=self.top, variables=variables, seconds=seconds)
        assert not any(words in done.stderr for words in ("Traceback", "internal error")), done.stderr
        return done.returncode, done.stdout

    def state(self, device: LoopDevice) -> tuple[str, str | None]:
        """The state of the device by `show`, and its image; `free` where nothing is known of it."""
        code, printed = self.run("show", "--json", device.path)
        if code != 0:
            return "free", None
        shown = json.loads(printed)
        image = shown["image"]
        return shown["state"], image["id"] if isinstance(image, dict) else image


def wrong(commands: Commands, device: LoopDevice) -> str | None:
    """The reason why the device and what is said of it differ; None: they agree."""
    state, image = commands.state(device)
    content = device.content()
    match state:
        case "free" | "incomplete":
            return None if not any(content[:MEBIBYTE]) else f"{state}, and its head is written"
        case "unknown":
            data = IMAGES[str(image)]
            return None if content.startswith(data) else f"recorded as {image}, and torn"
    return f"is {state}"


def test_after_a_kill_at_any_moment_the_device_is_whole_or_known_to_be_incomplete(
    tmp_path: Path,
    forks: Sequence[Forks],
    faulty_server: FaultyServer,
    make_loop: Callable[..., LoopDevice],
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands, chance, device = Commands(tmp_path, forks[0], faulty_server), random.Random(SEED), make_loop(SIZE)
    found: list[str] = []
    ends: dict[str, int] = {}
    while sum(ends.values()) < KILLS:
        image, order = chance.choice(list(IMAGES)), chance.choice(("file", "http"))
        force = chance.choice(([], ["--force"]))
        seconds = chance.uniform(0, 0.4 if order == "http" else 0.15)
        code, _ = commands.run("fetch", image, device.path, *force, order=order, seconds=seconds)
        if code != KILLED:
            if chance.random() < 0.5:
                commands.run("rm", "--wipe", device.path)
            continue
        if (reason := wrong(commands, device)) is not None:
            found.append(f"{image} by {order}: {reason}")
        state, _ = commands.state(device)
        ends[state] = ends.get(state, 0) + 1
        if chance.random() < 0.5:
            commands.run("recover")
            if (reason := wrong(commands, device)) is not None:
                found.append(f"{image} by {order}, recovered: {reason}")
        if state == "unknown":
            commands.run("rm", "--wipe", device.path)
        else:
            code, _ = commands.run("fetch", image, device.path)
            if (code, device.content(len(IMAGES[image]))) != (0, IMAGES[image]):
                found.append(f"{image} by {order}: the next fetch is refused ({code}), or torn")
    with capsys.disabled():
        print(f"\nkills {sum(ends.values())} (seed {SEED}), wrong {len(found)}: {dict(sorted(ends.items()))}")  # noqa: T201
    assert found == []
