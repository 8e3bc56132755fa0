"""Hosts with a network of their own: namespaces joined by a bridge, each of which a test may disconnect."""

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.packages import needs, program


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with one address, which this host reaches too."""

    name: str
    """Of the namespace, and of the bridge's end of its cable."""
    address: str
    outside: str
    """The address of this host, as it is reached from there."""

    @property
    def command(self) -> Sequence[str]:
        """Runs the command behind it there.

        `ip netns exec` would give it a copy of all mounts, which keeps a disk of another test mounted.
        """
        return [program("nsenter") or "nsenter", f"--net=/run/netns/{self.name}", "--"]

    def disconnect(self) -> None:
        """From now on what is sent to it, or by it, is lost: nothing refuses."""
        _run("link", "set", self.name, "down")

    def reconnect(self) -> None:
        _run("link", "set", self.name, "up")


@contextmanager
def network(size: int) -> Iterator[Sequence[Host]]:
    """So many hosts."""
    needs("ip")
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    with ExitStack() as made:
        number = _claim_subnet()
        bridge, subnet = _bridge(number), f"198.{18 + number // 256}.{number % 256}"
        made.callback(_run, "link", "del", bridge)
        _run("addr", "add", f"{subnet}.254/24", "dev", bridge)
        _run("link", "set", bridge, "up")
        yield [
            _host(made, f"{bridge}-{index}", f"{subnet}.{index}", f"{subnet}.254", bridge)
            for index in range(1, size + 1)
        ]


def _claim_subnet() -> int:
    """The number of a subnet that no other test run of this machine has. They share its interfaces.

    RFC 2544 keeps 198.18.0.0/15 for tests of networks. An interface of each name exists only once.
    """
    for number in random.SystemRandom().sample(range(512), 512):
        try:
            _run("link", "add", _bridge(number), "type", "bridge")
        except subprocess.CalledProcessError as error:
            if "File exists" not in error.stderr:
                raise
        else:
            return number
    raise AssertionError("all subnets are taken")


def _bridge(number: int) -> str:
    return f"lt{number:03x}"


def _host(made: ExitStack, name: str, address: str, outside: str, bridge: str) -> Host:
    _run("netns", "add", name)
    made.callback(_run, "netns", "del", name)
    _run("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("link", "set", name, "master", bridge, "up")
    _run("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    for interface in ("lo", "eth0"):
        _run("-n", name, "link", "set", interface, "up")
    return Host(name, address, outside)


def _ip(*arguments: str) -> Sequence[str]:
    return [program("ip") or str(Path("ip")), *arguments]


def _run(*arguments: str) -> None:
    subprocess.run(_ip(*arguments), check=True, capture_output=True, text=True)
