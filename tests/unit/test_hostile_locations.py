"""URLs by people who want this host to fetch what they cannot: each is refused, in words, before a connection."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hostile_locations import LONG, NO_URL, PUBLIC, Network, http

from lading import Unavailable, Unsupported
from lading.adapters.web.guard import Guard


@pytest.fixture
def network() -> Network:
    return Network()


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
    assert word in str(refused)
    assert "[handlers.http] allowed_" in str(refused)
    assert network.connected == []
    assert len(network.looked_up) == (0 if "port" in word else 1)  # asking again can't help


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
def test_an_ambiguous_url_is_refused_before_a_name_lookup(network: Network, target: Path, name: str) -> None:
    url, word = MALFORMED[name]
    refused = network.fetch(http(), target, url).failure()
    assert isinstance(refused, Unsupported)
    assert word in str(refused)
    assert len(refused.reason) < 200
    assert (network.looked_up, network.connected) == ([], [])


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


def test_the_address_that_was_checked_is_connected_to(network: Network, target: Path) -> None:
    """A name of an attacker's, which is public when it is judged and loopback when it is looked up again."""
    network.refusing = [PUBLIC, "127.0.0.1"]
    look_up = network.look_up

    def rebound(host: str, port: int, **_: object) -> list[object]:
        network.names[host] = ["127.0.0.1"] if network.looked_up else [PUBLIC]
        return look_up(host, port)

    network.look_up = rebound  # type: ignore[method-assign]  # that is the attack
    refused = network.fetch(http(), target, "http://rebound.example/x").failure()
    assert "rebound.example resolves to 127.0.0.1, a loopback address" in str(refused)  # when it was tried again
    assert network.looked_up == ["rebound.example"] * 2
    assert network.connected == [PUBLIC]
