"""Locations by people who want this host to fetch what they can't: each is refused, in words, and nothing is reached.

Nothing leaves the machine: names resolve by a table, and a connection to anything but a server that the test permits
fails it.
"""

import errno
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.faults import CUT, Faults, Reply, redirect

from lading import Digest, Image, Landing, Location, Refusal, Unavailable, Unsupported, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.config.table import Table
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.safe_open import open_beneath
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions

PUBLIC = "93.184.215.14"
LONG = "a" * 9000
BYTES = b"noble"
IMAGE = Image("id", size=len(BYTES), digest=Digest("sha256", hashlib.sha256(BYTES).hexdigest()))
TRANSFER = FileDestination(MemoryVerifiedFiles(), Rules(inspect=False))


class Network:
    """What names resolve to, what is looked up, and what is connected to, while something is fetched."""

    def __init__(self) -> None:
        self.names: dict[str, Sequence[str]] = {
            "good.example": [PUBLIC],
            "localhost": ["127.0.0.1"],
            "inside.example": ["10.0.0.5"],
            "inside6.example": ["fd12::5", "::ffff:10.0.0.5"],
            "metadata.google.internal": ["169.254.169.254"],
            "metadata.google.internal.": ["169.254.169.254"],
        }
        self.refusing: list[str] = []
        """Addresses where nobody listens."""
        self.looked_up: list[str] = []
        self.connected: list[str] = []
        self._permitted: set[tuple[str, int]] = set()
        self._really_look_up = socket.getaddrinfo
        self._really_connect = socket.socket.connect

    def permit(self, server: Faults) -> None:
        self._permitted.add(("127.0.0.1", server.port))

    def look_up(self, host: str, port: int, **_: object) -> list[object]:
        """Numbers as the system reads them, which asks nobody."""
        self.looked_up.append(host)
        return [
            answer
            for each in self.names.get(host, [host])
            for answer in self._really_look_up(each, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        ]

    def connect(self, wire: socket.socket, address: tuple[str, int]) -> None:
        self.connected.append(address[0])
        if address[0] in self.refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        assert address in self._permitted, f"connected to {address}"
        self._really_connect(wire, address)

    def fetch(self, handler: FileHandler | HttpHandler, target: Path, *urls: str) -> Result[Landing, Refusal]:
        locations = [Location(url) for url in urls]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", self.look_up)
            patch.setattr(socket.socket, "connect", lambda wire, address: self.connect(wire, address))  # noqa: PLW0108 - bound
            return handler.fetch(Work(str(target), replace(IMAGE, locations=locations), locations[0]))


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def server() -> Iterator[Faults]:
    """The test's own. What is fetched can connect to it only where the test permits it."""
    with Faults() as running:
        running.answer("/x", Reply(BYTES))
        yield running


@pytest.fixture
def other(server: Faults) -> Iterator[Faults]:
    with Faults() as running:
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


def http(guard: Guard | None = None) -> HttpHandler:
    options = HttpOptions(connect_seconds=5, stall_seconds=5, guard=guard or Guard())
    return HttpHandler(options, TRANSFER, connections=1, first_wait=0.0)


def only(server: Faults, *ports: int) -> Guard:
    """Lets nothing through that isn't public but this server's address, and its port."""
    return Guard.of(["http", "https"], [server.port, *ports], [], ["127.0.0.1"])


# What http is asked for, with the settings' defaults.

ADDRESSES = {
    "loopback": ("http://127.0.0.1/x", "a loopback address"),
    "loopback, another one": ("http://127.255.0.9/x", "a loopback address"),
    "loopback over https": ("https://127.0.0.1/x", "a loopback address"),
    "a scheme in upper case": ("HTTP://127.0.0.1/x", "a loopback address"),
    "localhost": ("http://localhost/x", "localhost resolves to 127.0.0.1, a loopback address"),
    "localhost in upper case": ("http://LOCALHOST/x", "a loopback address"),
    "two parts": ("http://127.1/x", "127.1 resolves to 127.0.0.1, a loopback address"),
    "three parts": ("http://127.0.1/x", "a loopback address"),
    "one decimal number": ("http://2130706433/x", "a loopback address"),
    "one octal number": ("http://017700000001/x", "a loopback address"),
    "one hexadecimal number": ("http://0x7f000001/x", "a loopback address"),
    "octal parts": ("http://0177.0.0.01/x", "a loopback address"),
    "hexadecimal parts": ("http://0x7F.0x0.0x0.0x1/x", "a loopback address"),
    "parts of every kind": ("http://0177.0x0.1/x", "a loopback address"),
    "zero": ("http://0/x", "an unspecified address"),
    "zeros": ("http://0.0.0.0/x", "an unspecified address"),
    "this network": ("http://0.1.2.3/x", "a private address"),
    "IPv6 loopback": ("http://[::1]/x", "::1 is a loopback address"),
    "IPv6 loopback in full": ("http://[0:0:0:0:0:0:0:1]/x", "a loopback address"),
    "IPv6 unspecified": ("http://[::]/x", "an unspecified address"),
    "mapped": ("http://[::ffff:127.0.0.1]/x", "a loopback address"),
    "mapped, in hexadecimal": ("http://[::ffff:7f00:1]/x", "a loopback address"),
    "mapped metadata": ("http://[::ffff:169.254.169.254]/x", "a metadata service's address"),
    "compatible": ("http://[::127.0.0.1]/x", "a loopback address"),
    "translated": ("http://[::ffff:0:7f00:1]/x", "a reserved address"),
    "NAT64": ("http://[64:ff9b::127.0.0.1]/x", "a loopback address"),
    "NAT64 metadata": ("http://[64:ff9b::a9fe:a9fe]/x", "a metadata service's address"),
    "local NAT64": ("http://[64:ff9b:1::808:808]/x", "a reserved address"),
    "6to4": ("http://[2002:7f00:1::]/x", "a loopback address"),
    "6to4 private": ("http://[2002:a00:5::1]/x", "a private address"),
    "Teredo, its client": ("http://[2001:0:808:808:0:0:80ff:fffe]/x", "a loopback address"),
    "Teredo, its server": ("http://[2001:0:7f00:1:0:0:f7f7:f7f7]/x", "a loopback address"),
    "private, class A": ("http://10.0.0.5/x", "10.0.0.5 is a private address"),
    "private, class B": ("http://172.31.0.1/x", "a private address"),
    "private, class C": ("http://192.168.1.1/x", "a private address"),
    "private by name": ("http://inside.example/x", "inside.example resolves to 10.0.0.5, a private address"),
    "private by name, each one": ("http://inside6.example/x", "inside6.example resolves to fd12::5, a private address"),
    "unique local": ("http://[fc00::1]/x", "a private address"),
    "site-local": ("http://[fec0::1]/x", "no public address"),
    "link-local": ("http://169.254.1.1/x", "a link-local address"),
    "IPv6 link-local": ("http://[fe80::1]/x", "a link-local address"),
    "shared": ("http://100.64.0.1/x", "no public address"),
    "benchmarking": ("http://198.18.0.1/x", "a private address"),
    "documentation": ("http://[2001:db8::1]/x", "a private address"),
    "documentation, the newer": ("http://[3fff::1]/x", "no public address"),
    "not given out yet": ("http://[4000::1]/x", "a reserved address"),
    "multicast": ("http://224.0.0.1/x", "a multicast address"),
    "IPv6 multicast": ("http://[ff02::1]/x", "a multicast address"),
    "broadcast": ("http://255.255.255.255/x", "a reserved address"),
    "reserved": ("http://240.0.0.1/x", "a reserved address"),
    "metadata": ("http://169.254.169.254/latest/meta-data/", "a metadata service's address"),
    "metadata as a number": ("http://2852039166/latest/", "a metadata service's address"),
    "metadata in hexadecimal": ("http://0xa9.0xfe.0xa9.0xfe/latest/", "a metadata service's address"),
    "metadata by name": ("http://metadata.google.internal/x", "a metadata service's address"),
    "metadata by name with a final dot": ("http://metadata.google.internal./x", "a metadata service's address"),
    "metadata of AWS by IPv6": ("http://[fd00:ec2::254]/latest/", "a metadata service's address"),
    "metadata of Alibaba": ("http://100.100.100.200/latest/", "a metadata service's address"),
    "metadata of Oracle": ("http://192.0.0.192/latest/", "a metadata service's address"),
    "metadata of Azure": ("http://168.63.129.16/machine", "a metadata service's address"),
    "a host as userinfo": ("http://good.example@127.0.0.1/x", "a loopback address"),
    "a host and port as userinfo": ("http://good.example:80@127.0.0.1/x", "a loopback address"),
    "two at signs": ("http://good.example@good.example@127.0.0.1/x", "a loopback address"),
    "an encoded slash in userinfo": ("http://good.example%2f@127.0.0.1/x", "a loopback address"),
    "a host in the fragment": ("http://127.0.0.1#@good.example/", "a loopback address"),
    "a host in the query": ("http://127.0.0.1?@good.example/", "a loopback address"),
    "a host in the path": ("http://127.0.0.1/@good.example/", "a loopback address"),
    "a port of SSH": ("http://good.example:22/x", "port 22 of good.example is not allowed"),
    "a port of SMTP": ("http://good.example:25/x", "allowed_ports"),
    "a port of Redis": ("http://good.example:6379/x", "allowed_ports"),
    "a port of a proxy": ("https://good.example:8443/x", "allowed_ports"),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_that_is_not_public_is_not_connected_to(network: Network, target: Path, name: str) -> None:
    url, word = ADDRESSES[name]
    refused = network.fetch(http(), target, url).failure()
    assert isinstance(refused, Unavailable)
    assert word in refused.reason
    assert "[handlers.http] allowed_" in refused.reason
    assert network.connected == []
    assert len(network.looked_up) == (0 if "port" in word else 1)  # asking again can't help


NO_URL = "not an http or https URL"
ENCODE = "percent-encoded"
MALFORMED = {
    "a backslash before the at sign": ("http://good.example\\@127.0.0.1/", ENCODE),
    "backslashes for slashes": ("http:\\\\127.0.0.1\\x", ENCODE),
    "a tab in the host": ("http://127.0.\t0.1/", ENCODE),
    "a line of its own": ("http://good.example/\r\nX-Injected: 1", ENCODE),
    "a line feed in the scheme": ("ht\ntp://127.0.0.1/", ENCODE),
    "a blank before": (" http://127.0.0.1/", ENCODE),
    "a blank in the host": ("http://127.0.0.1 .good.example/", ENCODE),
    "a NUL in the host": ("http://127.0.0.1\0.good.example/", ENCODE),
    "a NUL in the path": ("http://good.example/\0", ENCODE),
    "an encoded NUL in the host": ("http://127.0.0.1%00.good.example/", NO_URL),
    "encoded dots": ("http://127%2e0%2e0%2e1/", NO_URL),
    "full-width digits": ("http://１２７.０.０.１/", "xn--"),
    "ideographic dots": ("http://127。0。0。1/", "xn--"),
    "half-width ideographic dots": ("http://127｡0｡0｡1/", "xn--"),
    "circled letters": ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "xn--"),
    "a homoglyph": ("http://g\u043eod.example/", "xn--"),
    "a letter that two editions of IDNA read differently": ("http://gro\u00df.example/", "xn--"),
    "a zero-width space": ("http://127.0.0\u200b.1/", "xn--"),
    "a reversed direction": ("http://good.example/\u202egmi.elbon", ENCODE),
    "a sign that becomes a slash": ("http://127.0.0.1\u2100.good.example/", "xn--"),
    "half a surrogate pair": ("http://good.example/\udc80", ENCODE),
    "a zone": ("http://[fe80::1%25eth0]/", NO_URL),
    "a zone that isn't encoded": ("http://[fe80::1%eth0]/", NO_URL),
    "an address of the future": ("http://[v1.127]/", NO_URL),
    "IPv4 in brackets": ("http://[127.0.0.1]/", NO_URL),
    "a host after brackets": ("http://[::1]good.example/", NO_URL),
    "a host before brackets": ("http://good.example[::1]/", NO_URL),
    "brackets left open": ("http://[::1/", NO_URL),
    "IPv6 without brackets": ("http://::1/", NO_URL),
    "no host": ("http:///127.0.0.1/", NO_URL),
    "no slashes": ("http:127.0.0.1/", NO_URL),
    "one slash": ("http:/127.0.0.1/", NO_URL),
    "nothing but userinfo": ("http://good.example@/", NO_URL),
    "an empty label": ("http://good..example/", NO_URL),
    "an empty label at the start": ("http://.127.0.0.1/", NO_URL),
    "nothing but a dot": ("http://./", NO_URL),
    "a label that is too long": (f"http://{'a' * 64}.example/", NO_URL),
    "a host that is too long": (f"http://{'a.' * 127}example/", NO_URL),
    "a URL that is too long": (f"http://good.example/{LONG}", "more than 8192"),
    "a password that is too long": (f"http://me:{LONG}@good.example/", "more than 8192"),
    "port 0": ("http://good.example:0/", NO_URL),
    "port 65536": ("http://good.example:65536/", NO_URL),
    "port 4294967376, which is 80 to 32 bits": ("http://good.example:4294967376/", NO_URL),
    "port -1": ("http://good.example:-1/", NO_URL),
    "port +80": ("http://good.example:+80/", NO_URL),
    "a port of 5000 digits": (f"http://good.example:{'8' * 5000}/", NO_URL),
    "a port in full-width digits": ("http://good.example:８０/", ENCODE),
    "two ports": ("http://good.example:80:22/", NO_URL),
    "gopher": ("gopher://127.0.0.1:6379/_FLUSHALL", NO_URL),
    "GOPHER": ("GOPHER://127.0.0.1:6379/_FLUSHALL", NO_URL),
    "ftp": ("ftp://127.0.0.1/x", NO_URL),
    "ldap": ("ldap://127.0.0.1/x", NO_URL),
    "dict": ("dict://127.0.0.1:11211/stats", NO_URL),
    "data": ("data:application/octet-stream,noble", NO_URL),
    "javascript": ("javascript:alert(1)", NO_URL),
    "jar": ("jar:http://127.0.0.1!/x", NO_URL),
    "http over a local socket": ("http+unix://%2Frun%2Fdocker.sock/info", NO_URL),
    "a file": ("file:///etc/passwd", NO_URL),
    "a path": ("/etc/passwd", NO_URL),
    "nothing": ("", NO_URL),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_could_be_read_in_two_ways_is_not_even_looked_up(network: Network, target: Path, name: str) -> None:
    url, word = MALFORMED[name]
    refused = network.fetch(http(), target, url).failure()
    assert isinstance(refused, Unsupported)
    assert word in refused.reason
    assert len(refused.reason) < 200
    assert (network.looked_up, network.connected) == ([], [])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
def test_these_ways_of_writing_do_lead_to_loopback_where_it_is_allowed(
    network: Network, server: Faults, target: Path, host: str
) -> None:
    network.permit(server)
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x", host=host)), Success)
    assert target.read_bytes() == BYTES


def test_settings_that_say_nothing_keep_a_server_of_this_host_out_of_reach(
    network: Network, server: Faults, target: Path
) -> None:
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


@pytest.mark.parametrize("host", ["images.example", "IMAGES.example.", "mirror.example", "a.b.mirror.example", "[::1]"])
def test_hosts_that_are_allowed_may_be_asked(host: str) -> None:
    guard = Guard.of(["http"], [], ["Images.Example", ".mirror.example.", "[0::1]"], [])
    assert guard.conflict("http", host.strip("[]"), 80) is None


@pytest.mark.parametrize(
    "host",
    ["notimages.example", "a.images.example", "images.example.evil.example", "notmirror.example", "::2", "example"],
)
def test_hosts_that_only_look_like_allowed_ones_may_not(host: str) -> None:
    guard = Guard.of(["http"], [], ["images.example", ".mirror.example", "::1"], [])
    assert "allowed_hosts" in str(guard.conflict("http", host, 80))


def test_no_refusal_shows_credentials(network: Network, target: Path) -> None:
    for host in ("10.0.0.5", "good.example:22", "inside.example"):
        assert "hunter2" not in str(network.fetch(http(), target, f"http://user:hunter2@{host}/x?sig=hunter2"))


def test_a_handler_without_a_network_policy_uses_no_proxy(
    network: Network, server: Faults, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, server.url("/"))
    network.refusing = [PUBLIC]
    assert "Connection refused" in str(network.fetch(http(), target, "http://good.example/x"))
    assert set(network.connected) == {PUBLIC}


# Where redirects lead, from a server that is allowed.

REDIRECTS = {
    "metadata": ("http://169.254.169.254:{port}/latest/", "to where it may not: 169.254.169.254 is a metadata"),
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
    network: Network, server: Faults, other: Faults, target: Path, name: str, hops: int
) -> None:
    onward, word = REDIRECTS[name]
    for hop in range(1, hops):
        server.answer(f"/{hop}", redirect(f"/{hop + 1}"))
    server.answer(f"/{hops}", redirect(onward.format(port=server.port, other=other.port)))
    network.permit(server)
    refused = network.fetch(http(only(server)), target, server.url("/1")).failure()
    assert isinstance(refused, Unavailable)
    assert word in refused.reason
    assert len(server.requests) == hops  # and not again
    assert network.connected == ["127.0.0.1"] * hops
    assert other.requests == []


# What names resolve to.


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(network: Network, target: Path) -> None:
    """A name of an attacker's, which is public when it is judged and loopback when it is looked up again."""
    network.refusing = [PUBLIC, "127.0.0.1"]
    look_up = network.look_up

    def rebound(host: str, port: int, **_: object) -> list[object]:
        network.names[host] = ["127.0.0.1"] if network.looked_up else [PUBLIC]
        return look_up(host, port)

    network.look_up = rebound  # type: ignore[method-assign]  # that is the attack
    refused = network.fetch(http(), target, "http://rebound.example/x").failure()
    assert "rebound.example resolves to 127.0.0.1, a loopback address" in refused.reason  # when it was tried again
    assert network.looked_up == ["rebound.example"] * 2
    assert network.connected == [PUBLIC]


def test_of_several_addresses_those_that_may_be_reached_are_tried_in_turn(
    network: Network, server: Faults, target: Path
) -> None:
    network.names["several.example"] = ["10.0.0.5", PUBLIC, "::1", "127.0.0.1"]
    network.refusing = [PUBLIC]
    network.permit(server)
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x", host="several.example")), Success)
    assert network.connected == [PUBLIC, "127.0.0.1"]


def test_a_mirror_that_may_not_be_asked_does_not_stand_in(network: Network, server: Faults, target: Path) -> None:
    network.permit(server)
    server.answer("/x", Reply(BYTES, after=2, then=CUT), Reply(BYTES))
    metadata = f"http://169.254.169.254:{server.port}/x"
    assert isinstance(network.fetch(http(only(server)), target, server.url("/x"), metadata), Success)
    assert network.connected == ["127.0.0.1"] * 2


# Files.


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A folder of images, with links out of it, and a secret beside it."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "noble.img").write_bytes(BYTES)
    (tmp_path / "secret").write_bytes(b"hush!")
    for name, there in {
        "out": "../secret",
        "absolute": str(tmp_path / "secret"),
        "up": "..",
        "chain": "out",
        "loop": "loop",
        "memory": "/proc/self/mem",
        "zero": "/dev/zero",
        "input": "/dev/stdin",
    }.items():
        (folder / name).symlink_to(there)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    return folder


OUTSIDE = "outside the allowed folders"
GONE = "cannot be opened"
FILES = {
    "any file": ("file:///etc/shadow", OUTSIDE),
    "any file by the other name": ("filesystem:///etc/shadow", OUTSIDE),
    "a scheme in upper case": ("FILE:///etc/shadow", OUTSIDE),
    "two slashes": ("file:////etc/shadow", OUTSIDE),
    "a file of another host": ("file://good.example{allowed}/noble.img", "another host"),
    "a file of this host by its address": ("file://127.0.0.1{allowed}/noble.img", "another host"),
    "a folder as a host": ("file://..{allowed}/noble.img", "another host"),
    "userinfo": ("file://me@localhost{allowed}/noble.img", "another host"),
    "brackets left open": ("file://[{allowed}/noble.img", "no URL"),
    "no absolute path": ("file:noble.img", "no absolute path"),
    "up": ("file://{allowed}/../secret", OUTSIDE),
    "up and down": ("file://{allowed}/folder/../../images/../secret", OUTSIDE),
    "encoded dots": ("file://{allowed}/%2e%2e/secret", OUTSIDE),
    "an encoded slash": ("file://{allowed}/..%2fsecret", OUTSIDE),
    "encoded twice": ("file://{allowed}/%252e%252e%252fsecret", GONE),
    "more dots": ("file://{allowed}/....//secret", GONE),
    "a backslash": ("file://{allowed}/..\\secret", GONE),
    "a leader of two dots": ("file://{allowed}/\u2025/secret", GONE),
    "dots in more bytes than they need": ("file://{allowed}/%c0%ae%c0%ae/secret", GONE),
    "a folder whose name begins alike": ("file://{allowed}-of-others/noble.img", OUTSIDE),
    "the allowed folder itself": ("file://{allowed}", OUTSIDE),
    "a link out": ("file://{allowed}/out", OUTSIDE),
    "an absolute link out": ("file://{allowed}/absolute", OUTSIDE),
    "a link to a link out": ("file://{allowed}/chain", OUTSIDE),
    "through a link out": ("file://{allowed}/up/secret", OUTSIDE),
    "a link to itself": ("file://{allowed}/loop", GONE),
    "a link to this process's memory": ("file://{allowed}/memory", OUTSIDE),
    "a link to a device": ("file://{allowed}/zero", OUTSIDE),
    "a link to standard input": ("file://{allowed}/input", OUTSIDE),
    "this process's memory": ("file:///proc/self/mem", OUTSIDE),
    "this process's environment": ("file:///proc/self/environ", OUTSIDE),
    "the root as this process sees it": ("file:///proc/self/root/etc/shadow", OUTSIDE),
    "a device that never ends": ("file:///dev/zero", OUTSIDE),
    "a pipe that nobody writes to": ("file://{allowed}/fifo", "not a regular file"),
    "a folder": ("file://{allowed}/folder", "not a regular file"),
    "an encoded NUL": ("file://{allowed}/noble.img%00.png", "no absolute path"),
    "a NUL": ("file://{allowed}/noble.img\0.png", "no absolute path"),
    "a name that is too long": ("file://{allowed}/" + 300 * "a", GONE),
    "a path that is too long": ("file://{allowed}" + 2500 * "/a", GONE),
    "a URL that is too long": (f"file:///{LONG}", "more than 8192"),
    "a file that isn't there": ("file://{allowed}/missing", GONE),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_outside_the_allowed_folders_is_not_read(
    network: Network, allowed: Path, target: Path, name: str
) -> None:
    url, word = FILES[name]
    refused = network.fetch(FileHandler([allowed], TRANSFER), target, url.format(allowed=allowed)).failure()
    assert isinstance(refused, Unavailable)
    assert word in refused.reason
    assert network.looked_up == []
    assert not target.exists()


@pytest.mark.parametrize("name", ["zero", "null", "tty", "fd"])
def test_a_device_is_not_read_where_its_folder_is_allowed(network: Network, target: Path, name: str) -> None:
    refused = network.fetch(FileHandler([Path("/dev")], TRANSFER), target, f"file:///dev/{name}").failure()
    assert isinstance(refused, Unavailable)


def _swap_file(folder: Path, turn: int) -> None:
    new = folder / "new"
    new.symlink_to("../secret") if turn % 2 else new.write_bytes(BYTES)
    new.replace(folder / "swapped")


def _swap_folder(folder: Path, turn: int) -> None:
    """`inner` is a folder with an image, and then a link to one with a secret."""
    (folder / "inner").rename(folder / "was") if turn % 2 else (folder / "inner").unlink()
    (folder / "inner").symlink_to("../others") if turn % 2 else (folder / "was").rename(folder / "inner")


@pytest.mark.parametrize(("swap", "path"), [(_swap_file, "swapped"), (_swap_folder, "inner/swapped")])
def test_a_link_that_comes_and_goes_while_it_is_opened_never_leads_out(
    tmp_path: Path, allowed: Path, swap: Callable[[Path, int], None], path: str
) -> None:
    for folder, content in ((allowed / "inner", BYTES), (tmp_path / "others", b"hush!")):
        folder.mkdir()
        (folder / "swapped").write_bytes(content)
    ends = threading.Event()

    def swap_on() -> None:
        turn = 1
        while not ends.is_set() or turn % 2 == 0:
            swap(allowed, turn)
            turn += 1

    swapping = threading.Thread(target=swap_on)
    swapping.start()
    try:
        found = [open_beneath([allowed], str(allowed / path)).map(_read).value_or(None) for _ in range(300)]
    finally:
        ends.set()
        swapping.join()
    assert set(found) <= {BYTES, None}


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
