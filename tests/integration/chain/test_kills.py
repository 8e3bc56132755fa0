"""Fetches that unpack, convert and grow, killed or interrupted at random moments: nothing is torn, lost or leaked.

LADING_TORTURE says how many kills and interrupts; LADING_SEED makes a run again.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.images import MIB
from tests.integration.chain.host import DISK, GROWN, ChainHost, Images, holders, plain_content
from tests.packages import needs
from tests.torture import TORTURE

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
KILLS: Final = TORTURE or 4
KILLED: Final = -9
INTERRUPTED: Final = {each for number in (signal.SIGINT, signal.SIGTERM) for each in (128 + number, -number)}
TARGETS: Final = ("1", "2", "3")
IMAGES: Final = {
    "qcow2": ("qcow2", ""),
    "xz": ("qcow2", "xz"),
    "zst": ("raw", "zst"),
    "zip": ("vmdk, streamOptimized", "zip"),
    "raw": ("raw", ""),
}
FORMS: Final = (
    "",
    "--format raw",
    "--format qcow2",
    f"--format raw --size {GROWN}",
    f"--format qcow2 --size {GROWN} --fix-gpt",
    "--format raw --preallocation full",
)


def slow_tools(folder: Path) -> str:
    """A PATH whose qemu-img waits before it converts, so that kills come meanwhile."""
    folder.mkdir()
    script = '#!/bin/sh\n[ "$1" = convert ] && sleep 0.2\nexec /usr/bin/qemu-img "$@"\n'
    (folder / "qemu-img").write_text(script)
    (folder / "qemu-img").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def busy_host(quick_folder: Path, forks: Sequence[Forks], faulty_server: FaultyServer, images: Images) -> ChainHost:
    needs("qemu-img", "fdisk")
    host = ChainHost(quick_folder / "host", forks[0], faulty_server)
    for name, (kind, packing) in IMAGES.items():
        host.add(name, images.packed(kind, packing))
    host.settings["PATH"] = slow_tools(host.top / "tools")
    return host


def wrong(host: ChainHost) -> Iterator[tuple[str, str]]:
    """What is torn, lost or leaked."""
    recorded, files = set(host.targets()), {each.name for each in host.vms.iterdir()}
    yield from (("leaked", name) for name in sorted(files - recorded))
    yield from (("lost", name) for name in sorted(recorded - files))
    for name in sorted(recorded & files):
        facts = host.recorded(host.vms / name)
        content = plain_content(host.vms / name, facts["format"])
        is_whole = content[MIB : len(DISK) - 20 * 1024] == DISK[MIB : -20 * 1024]
        if not is_whole or len(content) != facts["virtual_size"]:
            yield "torn", f"{name}: {facts}"
    if host.run("verify", "--all", order="file,http").returncode:
        yield "torn", "verify"


def still_running(host: ChainHost) -> Sequence[str]:
    """The processes that have one of its targets open, and that do not end."""
    deadline = time.monotonic() + 60
    while (found := holders(host.vms)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def chosen(chance: random.Random, host: ChainHost) -> tuple[Sequence[str], str]:
    """A fetch, and the handler."""
    options = [*chance.choice(FORMS).split(), *chance.choice(([], ["--force"]))]
    target = str(host.vms / chance.choice(TARGETS))
    return ["fetch", chance.choice(list(IMAGES)), target, *options], chance.choice(("file", "http", "http"))


@pytest.mark.parametrize(
    "signals",
    [{KILLED: (signal.SIGKILL,)}, dict.fromkeys(INTERRUPTED, (signal.SIGINT, signal.SIGTERM))],
    ids=["kills", "interrupts"],
)
def test_after_a_signal_at_any_moment_nothing_is_torn_lost_leaked_or_running(
    busy_host: ChainHost, signals: Mapping[int, Sequence[signal.Signals]], capsys: pytest.CaptureFixture[str]
) -> None:
    host, chance = busy_host, random.Random(SEED)
    ended, found = 0, []
    while ended < KILLS:
        command, order = chosen(chance, host)
        number = chance.choice(next(iter(signals.values())))
        done = host.run(*command, order=order, seconds=chance.uniform(0, 0.8), signals=(number,))
        assert done.returncode in {*signals, 0, 4, 5, 7, 10, 11}, (command, done.returncode, done.stderr)
        ended += done.returncode in signals
        # At once: what the fetch has started may still be about to end.
        recovered = host.run("recover", *chance.choice(([], ["--discard"])), order="file,http")
        if recovered.returncode or "WARNING" in recovered.stderr:
            found.append(("unresolved", recovered.stdout + recovered.stderr, " ".join(command)))
        if running := still_running(host):
            found.append(("running", ", ".join(running), " ".join(command)))
        if chance.random() < 0.3 or TORTURE:
            found += [(kind, words, " ".join(command)) for kind, words in wrong(host)]
    found += [(kind, words, "at the end") for kind, words in wrong(host)]
    with capsys.disabled():
        print(f"\n{ended} ended early (seed {SEED}), {len(found)} wrong")  # noqa: T201
    assert found == []


def test_a_tool_that_ends_late_keeps_no_lock(busy_host: ChainHost) -> None:
    """The tool ignores the death of lading for a while, as one does that waits for a disk."""
    host = busy_host
    script = '#!/bin/sh\n[ "$1" = convert ] && exec setpriv --pdeathsig=clear sleep 5\nexec /usr/bin/qemu-img "$@"\n'
    (host.top / "tools" / "qemu-img").write_text(script)
    command = ["fetch", "qcow2", str(host.vms / "1"), "--format", "raw"]
    host.kill_when_held_by("sleep", *command, order="http", PATH=without_bubblewrap(host.top / "tools"))
    assert [each.split() for each in holders(host.vms)] == [["sleep", "5"]]
    recovered = host.run("recover", "--discard", order="file,http")
    assert (recovered.returncode, recovered.stderr, list(host.vms.iterdir())) == (0, "", [])


def test_a_conversion_that_is_killed_costs_no_second_download(busy_host: ChainHost) -> None:
    host, disk, image = busy_host, busy_host.top / "disk", busy_host.top / "image"
    disk.write_bytes(random.Random(4).randbytes(3 * MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    host.add("noble", image.read_bytes())
    script = '#!/bin/sh\n[ "$1" = convert ] && exec sleep 60\nexec /usr/bin/qemu-img "$@"\n'
    (host.top / "tools" / "qemu-img").write_text(script)
    command = ["fetch", "noble", str(host.vms / "1"), "--format", "raw", "--json"]
    host.kill_when_held_by("sleep", *command, order="http")
    assert still_running(host) == []
    done = host.run(*command, order="http", PATH=os.environ["PATH"])
    assert '"resumed": 3145728' in done.stdout, done.stderr
    assert host.asked("noble") == [None, "bytes=3145728-"]
    assert (host.vms / "1").read_bytes() == disk.read_bytes()
    host.assert_whole(names=["1"])


def without_bubblewrap(folder: Path) -> str:
    """A PATH of this folder, with the other tools in it."""
    for name in ("prlimit", "setpriv", "sleep", "sh"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return str(folder)
