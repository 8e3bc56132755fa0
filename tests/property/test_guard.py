"""Laws of the guard: what isn't public is never reached unasked, however it is written."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from returns.result import Failure
from tests.strategies import url_like_texts

from lading import Image, Location, Unavailable, Unsupported, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.connections import Forbidden, check_literal
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.urls import plain_host, web_url

Address = IPv4Address | IPv6Address
NETWORKS = ("0.0.0.0/0", "127.0.0.0/8", "10.0.0.0/8", "fc00::/7", "64:ff9b::/96", "::/0", "192.0.2.7", "fe80::1")
IPV4 = ("127.0.0.1", "10.0.0.5", "169.254.169.254", "192.0.0.192", "8.8.8.8", "100.64.0.1", "224.0.0.1", "240.0.0.1")


def ipv4_addresses() -> SearchStrategy[IPv4Address]:
    """Those that mean something, and any others."""
    return st.one_of(st.sampled_from(IPV4).map(IPv4Address), st.ip_addresses(v=4))


def wrapped(inner: IPv4Address, other: IPv4Address, rest: int) -> list[IPv6Address]:
    """The IPv4 address in each of the ways in which an IPv6 address can mean it."""
    low, mask = int(inner), 0xFFFFFFFF
    return [
        IPv6Address((0xFFFF << 32) | low),
        IPv6Address(low if low > 1 else 2),
        IPv6Address((0x2002 << 112) | (low << 80) | rest),
        IPv6Address((0x20010000 << 96) | (int(other) << 64) | (rest & mask) << 32 | (low ^ mask)),
        IPv6Address((0x20010000 << 96) | (low << 64) | (rest & mask) << 32 | (int(other) ^ mask)),
        IPv6Address(int(IPv6Address("64:ff9b::")) | low),
    ]


def addresses() -> SearchStrategy[Address]:
    rests = st.integers(0, (1 << 80) - 1)
    inner = st.builds(wrapped, ipv4_addresses(), ipv4_addresses(), rests).flatmap(st.sampled_from)
    return st.one_of(ipv4_addresses(), st.ip_addresses(v=6), inner)


def meant(address: Address) -> list[Address]:
    """What packets to it end at, as the RFCs have it."""
    if isinstance(address, IPv4Address):
        return [address]
    number, bits = int(address), f"{int(address):0128b}"
    in_tail = IPv4Address(number & 0xFFFFFFFF)
    if number >> 32 in {0, 0xFFFF, int(IPv6Address("64:ff9b::")) >> 32} and number not in {0, 1}:
        return [in_tail]
    if number >> 112 == 0x2002:
        return [IPv4Address(int(bits[16:48], 2))]
    if number >> 96 == 0x20010000:
        return [IPv4Address(int(bits[32:64], 2)), IPv4Address(int(in_tail) ^ 0xFFFFFFFF)]
    return [address]


def is_reached(address: Address, *networks: str) -> bool:
    return Guard.of(["http"], [], [], networks).address_conflict("host", str(address)) is None


@given(addresses())
@example(IPv4Address("168.63.129.16"))
@example(IPv6Address("64:ff9b:1::1"))
@example(IPv6Address("fec0::1"))
def test_only_what_is_public_is_reached(address: Address) -> None:
    if is_reached(address):
        for each in meant(address):
            assert each.is_global
            assert not any((each.is_multicast, each.is_reserved, each.is_unspecified))
            assert str(each) not in {"168.63.129.16", "192.0.0.192"}
            assert isinstance(each, IPv4Address) or each in IPv6Network("2000::/3")


@given(addresses(), st.lists(st.sampled_from(NETWORKS), max_size=2))
def test_allowing_networks_opens_what_lies_in_them_and_nothing_else(address: Address, networks: list[str]) -> None:
    known = [ipaddress.ip_network(each) for each in networks]
    lies_in = any(address in each for each in known)
    lies_in = lies_in or all(any(each in network for network in known) for each in meant(address))
    assert is_reached(address, *networks) == (lies_in or is_reached(address))


@given(st.ip_addresses(v=6), st.sampled_from(["eth0", "1", "lo"]))
def test_a_zone_changes_nothing(address: IPv6Address, zone: str) -> None:
    assert (Guard().address_conflict("host", f"{address}%{zone}") is None) == is_reached(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"])
def test_what_is_public_is_reached(address: str) -> None:
    assert Guard().address_conflict("host", address) is None


def spelled(address: IPv4Address) -> list[str]:
    """In each of the forms that inet_aton(3) takes."""
    number, parts = int(address), address.packed
    return [
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(map(hex, parts)),
        ".".join(f"0{part:o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{parts[0]}.0x{parts[1]:x}.{number & 0xFFFF}",
    ]


@given(ipv4_addresses().flatmap(lambda address: st.sampled_from(spelled(address))))
def test_a_proxy_is_asked_for_an_address_only_where_it_is_public_and_plain(host: str) -> None:
    address = socket.inet_ntoa(socket.inet_aton(host))
    if host == address and is_reached(IPv4Address(address)):
        check_literal(host, Guard())
    else:
        with pytest.raises(Forbidden):
            check_literal(host, Guard())


@given(st.ip_addresses(v=6))
def test_a_proxy_is_asked_for_an_address_of_ipv6_only_where_it_is_public(address: IPv6Address) -> None:
    if is_reached(address):
        check_literal(address.exploded, Guard())
    else:
        with pytest.raises(Forbidden):
            check_literal(address.exploded, Guard())


# URLs.


def urls() -> SearchStrategy[str]:
    """What begins as a URL should, and goes on in any way; and texts of all kinds."""
    pieces = ["@", ":", "/", "#", "?", "[", "]", "::1", "127.1", "80", "a.example", "..", "%2f", "\\", "\t", "。", "１"]
    rests = st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=8).map("".join)
    return st.builds("{}{}".format, st.sampled_from(["http://", "HTTPS://", " http://"]), rests) | url_like_texts()


@given(urls())
@example("http://a:" + "1" * 5000)
@example("http://[fe80::1%25eth0]/")
@example("http://" + "a" * 300)
def test_any_text_is_an_origin_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        origin = Origin.of(text)
        parts = web_url(origin.url).parts
        assert plain_host(parts.hostname or "")
        assert parts.geturl() == origin.url
        assert origin.url.isascii()


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """Every name resolves to loopback, and nothing is connected to."""

    def looked_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    def connected(*_: object) -> None:
        raise AssertionError("connected to")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", looked_up)
        patch.setattr(socket.socket, "connect", connected)
        yield


@pytest.mark.usefixtures("offline")
@given(urls())
def test_fetching_from_any_text_ends_in_a_refusal(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    handler = HttpHandler(
        HttpOptions(guard=Guard(ports=frozenset())), FileDestination(MemoryVerifiedFiles()), first_wait=0.0
    )
    folder: Path = tmp_path_factory.getbasetemp()
    location = Location(text)
    refused = handler.fetch(Work(str(folder / "vm"), Image("id", locations=[location]), location))
    assert isinstance(refused, Failure)
    assert isinstance(refused.failure(), Unavailable | Unsupported)
    assert not (folder / "vm").exists()
