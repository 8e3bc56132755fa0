"""Commands killed or interrupted at random moments, one after the other on one host, each then recovered.

LADING_TORTURE says how many kills and how many interrupts; LADING_SEED makes a run again.
"""

import hashlib
import json
import os
import random
import signal
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from pathlib import Path
from typing import Final

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer, Reply
from tests.torture import TORTURE

KILLS: Final = TORTURE or 40
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
KILLED: Final = -9
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED: Final = {each for number in INTERRUPTS for each in (128 + number, -number)}
"""Ended by the first signal, or by a second one."""
IMAGES: Final = {name: random.Random(name).randbytes(4_500_000) for name in ("noble", "jammy")}
TARGETS: Final = ("vms/1", "vms/2", "vms/3", "other/4")


class Host:
    """A host with two images, each in a folder and on a web server that takes its time."""

    def __init__(self, top: Path, other: Path, forks: Forks, origin: FaultyServer) -> None:
        self.top, self._forks = top, forks
        for folder in ("images", "vms", "catalog", "state"):
            (top / folder).mkdir(exist_ok=True)
        (top / "other").symlink_to(other)
        for name, data in IMAGES.items():
            (top / "images" / name).write_bytes(data)
            url = origin.answer(f"/{name}", Reply(data, pace=(1 << 18, 0.01)))
            document = {
                "id": name, "name": name, "size": len(data), "disk_format": "raw", "container_format": "bare",
                "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(data).hexdigest(),
                "locations": [{"url": f"file://{top}/images/{name}"}, {"url": url}],
            }  # fmt: skip
            (top / "catalog" / f"{name}.json").write_text(json.dumps(document))

    def by(self, forks: Forks) -> "Host":
        """The same host, whose commands other forks run."""
        other = copy(self)
        other._forks = forks  # noqa: SLF001 - its own
        return other

    def run(
        self,
        *arguments: str,
        order: str,
        seconds: float | None = None,
        signals: Sequence[int] = (signal.SIGKILL,),
        state: str = "state",
    ) -> int:
        """Runs the command with the database in the folder `state`."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.top / "catalog"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / state / "associations.sqlite"),
            "LADING_HANDLERS__ORDER": order,
            "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": str(self.top / "images"),
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
        }
        named = [str(self.top / each) if "/" in each else each for each in arguments]
        done = self._forks.run(*named, folder=self.top, variables=variables, seconds=seconds, signals=signals)
        assert done.returncode in {KILLED, 0, 4, 5, 6, 7, 10, 11, *INTERRUPTED}, (
            arguments,
            done.returncode,
            done.stderr,
        )
        assert not any(words in done.stderr for words in ("Traceback", "Exception ignored", "internal error")), (
            done.stderr
        )
        return done.returncode

    def wrong(self) -> Iterator[tuple[str, str]]:
        """What is torn, lost or leaked."""
        recorded = self.recorded()
        assert self.intents("state") == []
        found = {f"{folder}/{name}" for folder in ("vms", "other") for name in os.listdir(self.top / folder)}
        for path in sorted(found | recorded.keys()):
            if path not in TARGETS:
                yield "leaked", path
            elif path not in recorded or path not in found:
                yield "lost", f"{path}: {'there' if path in found else 'gone'}, {recorded.get(path, 'not recorded')}"
            elif (self.top / path).read_bytes() != IMAGES[recorded[path]]:
                yield "torn", path
        yield from (("leaked", str(path)) for path in self.top.rglob("*.lock"))

    def intents(self, state: str) -> Sequence[str]:
        """The targets of operations that are not settled."""
        if not (self.top / state / "associations.sqlite").exists():
            return []
        with closing(sqlite3.connect(self.top / state / "associations.sqlite")) as database:
            return [target for (target,) in database.execute("SELECT target FROM intents")]

    def recorded(self) -> Mapping[str, str]:
        """The image at each target."""
        with closing(sqlite3.connect(self.top / "state" / "associations.sqlite")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = database.execute("SELECT target, image_id FROM associations")
            return {os.path.relpath(target, self.top): image for target, image in rows}


def chosen(chance: random.Random) -> tuple[Sequence[str], str, float]:
    """A command, an order of handlers, and how long it takes, about."""
    one, another = chance.sample(TARGETS, 2)
    order = chance.choice(("file", "download", "http", "http"))
    fetch = ["fetch", chance.choice(list(IMAGES)), one, *chance.choice(([], ["--force"]))]
    verb = chance.choice((fetch, fetch, fetch, ["mv", one, another], ["rm", one], ["recover"]))
    return verb, order if verb is fetch else "file,http,download", 0.3 if "http" in order and verb is fetch else 0.1


def test_after_a_kill_at_any_moment_nothing_is_torn_lost_or_leaked(
    tmp_path: Path,
    small_disk: Path,
    forks: Sequence[Forks],
    faulty_server: FaultyServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host, chance = Host(tmp_path, small_disk, forks[0], faulty_server), random.Random(SEED)
    every = "file,http,download"
    host.run("fetch", "noble", "vms/1", order="file")
    kills: dict[str, int] = {}
    found: list[tuple[str, str, str]] = []
    while sum(kills.values()) < KILLS:
        command, order, seconds = chosen(chance)
        if host.run(*command, order=order, seconds=chance.uniform(0, seconds)) != KILLED:
            continue
        what = f"{command[0]} {order}" if command[0] == "fetch" else command[0]
        kills[what] = kills.get(what, 0) + 1
        if chance.random() < 0.3 and host.run("recover", order=every, seconds=chance.uniform(0, 0.1)) == KILLED:
            kills["recover"] = kills.get("recover", 0) + 1
        assert host.run("recover", order=every) == 0
        found += [(kind, words, " ".join(command)) for kind, words in host.wrong()]
    with capsys.disabled():
        counted = ", ".join(f"{kind} {sum(each[0] == kind for each in found)}" for kind in ("torn", "lost", "leaked"))
        print(f"\nkills {sum(kills.values())} (seed {SEED}), {counted}: {dict(sorted(kills.items()))}")  # noqa: T201
    assert found == []


def test_after_an_interrupt_at_any_moment_nothing_is_torn_lost_or_leaked(
    tmp_path: Path,
    small_disk: Path,
    forks: Sequence[Forks],
    faulty_server: FaultyServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host, chance = Host(tmp_path, small_disk, forks[0], faulty_server), random.Random(SEED)
    host.run("fetch", "noble", "vms/1", order="file")
    interrupts = 0
    found: list[tuple[str, str, str]] = []
    while interrupts < KILLS:
        command, order, seconds = chosen(chance)
        # The second ends the command at once, as SIGKILL does.
        signals = chance.choices(INTERRUPTS, k=chance.choice((1, 1, 1, 2)))
        ended = host.run(*command, order=order, seconds=chance.uniform(0, seconds), signals=signals)
        interrupts += ended in INTERRUPTED
        assert host.run("recover", order="file,http,download") == 0
        found += [(kind, words, f"{' '.join(command)}: {signals}") for kind, words in host.wrong()]
    with capsys.disabled():
        print(f"\ninterrupts {interrupts} (seed {SEED}), {len(found)} wrong")  # noqa: T201
    assert found == []
