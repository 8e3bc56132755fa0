"""Servers and names that lead elsewhere: redirects, mirrors and addresses are checked as the location itself is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Success
from tests.faulty_server import CUT, FaultyServer, Reply, redirect
from tests.hostile_locations import BYTES, LONG, NO_URL, PUBLIC, TRANSFER, Network, http

from lading import Location, Unavailable
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.web.guard import Guard


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """The test's own. What is fetched can connect to it only where the test permits it."""
    with FaultyServer() as running:
        running.answer("/x", Reply(BYTES))
        yield running


@pytest.fixture
def other(server: FaultyServer) -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms" / "1"


@pytest.fixture(autouse=True)
def _nothing_is_left(target: Path) -> Iterator[None]:
    before = len(os.listdir("/dev/fd"))
    yield
    assert [name for name in os.listdir(target.parent) if name != "1"] == []
    assert len(os.listdir("/dev/fd")) <= before


def only(server: FaultyServer, *ports: int) -> Guard:
    """Lets nothing through that isn't public but this server's address, and its port."""
    return Guard.of(["http", "https"], [server.port, *ports], [], ["127.0.0.1"])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
def test_unusual_loopback_addresses_are_reached_where_allowed(
    network: Network, server: FaultyServer, target: Path, host: str
) -> None:
    network.permit(server)
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x", host=host)), Success)
    assert target.read_bytes() == BYTES


def test_default_settings_forbid_servers_of_this_host(network: Network, server: FaultyServer, target: Path) -> None:
    def handler(**settings: object) -> HttpHandler:
        return HttpHandler.from_setup(HandlerSetup(Table(settings), TRANSFER, MemoryCatalog(), MemoryJournal()))

    assert "allowed_ports" in str(network.fetch(handler(), target, server.url("/x")))
    assert "allowed_networks" in str(network.fetch(handler(allowed_ports=[]), target, server.url("/x")))
    others = {"allowed_ports": [server.port], "allowed_networks": ["127.0.0.1"]}
    assert "allowed_schemes" in str(
        network.fetch(handler(**others, allowed_schemes=["https"]), target, server.url("/x"))
    )
    assert "allowed_hosts" in str(
        network.fetch(handler(**others, allowed_hosts=[".example"]), target, server.url("/x"))
    )
    assert (server.requests, network.connected) == ([], [])
    network.permit(server)
    assert isinstance(network.fetch(handler(**others), target, server.url("/x")), Success)


def test_a_handler_without_a_network_policy_uses_no_proxy(
    network: Network, server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, server.url("/"))
    network.refusing = [PUBLIC]
    assert "Connection refused" in str(network.fetch(http(), target, "http://good.example/x"))
    assert set(network.connected) == {PUBLIC}


REDIRECTS = {
    "metadata": ("http://169.254.169.254:{port}/latest/", "to a forbidden place: 169.254.169.254 is a metadata"),
    "metadata as a number": ("http://2852039166:{port}/latest/", "a metadata service's address"),
    "metadata without a scheme": ("//169.254.169.254:{port}/latest/", "a metadata service's address"),
    "metadata behind userinfo": ("http://127.0.0.1:{port}@169.254.169.254:{port}/", "a metadata service's address"),
    "another loopback address": ("http://127.0.0.2:{port}/x", "a loopback address"),
    "IPv6 loopback": ("http://[::1]:{port}/x", "a loopback address"),
    "a private address by name": ("http://inside.example:{port}/x", "a private address"),
    "another port of this host": ("http://127.0.0.1:{other}/x", "allowed_ports"),
    "another port of this host by https": ("https://127.0.0.1:{other}/x", "allowed_ports"),
    "the port that http has": ("http://127.0.0.1/x", "allowed_ports"),
    "a port of Redis": ("http://good.example:6379/x", "allowed_ports"),
    "a file": ("file:///etc/passwd", NO_URL),
    "gopher": ("gopher://127.0.0.1:{other}/_FLUSHALL", NO_URL),
    "ftp": ("ftp://127.0.0.1:{other}/x", NO_URL),
    "data": ("data:,noble", NO_URL),
    "backslashes": ("http:\\\\169.254.169.254:{port}\\", NO_URL),
    "a tab": ("http://169.254.\t169.254:{port}/", NO_URL),
    "another alphabet": ("http://169.254.169.254\xb7:{port}/", NO_URL),
    "a URL that is too long": (f"http://good.example/{LONG}", NO_URL),
}  # fmt: skip


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("name", REDIRECTS)
def test_a_redirect_leads_nowhere_that_a_location_may_not(
    network: Network, server: FaultyServer, other: FaultyServer, target: Path, name: str, hops: int
) -> None:
    onward, word = REDIRECTS[name]
    for hop in range(1, hops):
        server.answer(f"/{hop}", redirect(f"/{hop + 1}"))
    server.answer(f"/{hops}", redirect(onward.format(port=server.port, other=other.port)))
    network.permit(server)
    refused = network.fetch(http(only(server)), target, server.url("/1")).failure()
    assert isinstance(refused, Unavailable)
    assert word in str(refused)
    assert len(server.requests) == hops  # and not again
    assert network.connected == ["127.0.0.1"] * hops
    assert other.requests == []


def test_the_allowed_ones_of_several_addresses_are_tried_in_turn(
    network: Network, server: FaultyServer, target: Path
) -> None:
    network.names["several.example"] = ["10.0.0.5", PUBLIC, "::1", "127.0.0.1"]
    network.refusing = [PUBLIC]
    network.permit(server)
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x", host="several.example")), Success)
    assert network.connected == [PUBLIC, "127.0.0.1"]


def test_a_forbidden_mirror_is_not_used(network: Network, server: FaultyServer, target: Path) -> None:
    network.permit(server)
    server.answer("/x", Reply(BYTES, after=2, then=CUT), Reply(BYTES))
    metadata = f"http://169.254.169.254:{server.port}/x"
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x"), metadata), Success)
    assert network.connected == ["127.0.0.1"] * 2


def test_a_url_that_the_operator_named_is_trusted_and_its_redirects_to_other_servers_are_not(
    network: Network, server: FaultyServer, target: Path
) -> None:
    network.permit(server)
    url = server.answer("/a", redirect("/x"), redirect("/x"), redirect(server.url("/x", host="localhost")))
    assert "allowed_ports" in str(network.fetch(http(), target, url).failure())
    assert isinstance(network.fetch(http(), target, Location(url, trusted=True)), Success)
    target.unlink()
    assert isinstance(network.fetch(http(), target, Location(url, trusted=True)), Success)
    target.unlink()
    refused = network.fetch(http(), target, Location(url, trusted=True)).failure()
    assert "the server redirects to a forbidden place: port" in str(refused)
