"""Images through a proxy: what it is asked, who is told which credentials, what the guard keeps, and its faults."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.faulty_server import FaultyServer, Reply, redirect
from tests.proxies import Proxy

from lading import Image, Landing, Location, Refusal, Unavailable, Work
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.network import NetworkPolicy

BYTES = b"noble"
NAME = "images.example"
URL = f"http://{NAME}/x"
REFUSAL = b"HTTP/1.1 %s\r\nContent-Length: 6\r\n\r\nsquid!"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        running.answer("/x", Reply(BYTES))
        yield running


@pytest.fixture
def proxy(server: FaultyServer) -> Iterator[Proxy]:
    """Only it knows the server's name."""
    with Proxy({NAME: server.port}) as running:
        yield running


def fetch(
    target: Path, proxy_url: str, url: str = URL, *, no_proxy: str = "", stall: float = 5
) -> Result[Landing, Refusal]:
    variables = {"http_proxy": proxy_url, "https_proxy": proxy_url, "no_proxy": no_proxy}
    options = HttpOptions(5, stall, NetworkPolicy.of(variables), Guard(ports=frozenset()))
    handler = HttpHandler(options, FileDestination(MemoryVerifiedFiles(), Rules(inspect=False)), first_wait=0.001)
    location = Location(url)
    return handler.fetch(Work(str(target), Image("id", size=len(BYTES), locations=[location]), location))


def test_an_http_url_is_asked_of_the_proxy_whole(server: FaultyServer, proxy: Proxy, tmp_path: Path) -> None:
    server.answer("/x?sig=1", Reply(BYTES))
    assert isinstance(fetch(tmp_path / "vm", proxy.url(), f"http://{NAME}:8080/x?sig=1"), Success)
    assert (tmp_path / "vm").read_bytes() == BYTES
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("GET", f"http://{NAME}:8080/x?sig=1")
    assert asked.headers["host"] == f"{NAME}:8080"


def test_the_proxy_is_told_its_credentials_and_the_server_its_own(
    server: FaultyServer, proxy: Proxy, tmp_path: Path
) -> None:
    assert isinstance(fetch(tmp_path / "vm", proxy.url("me:hush"), f"http://you:secret@{NAME}/x"), Success)
    (asked,) = proxy.asked
    assert asked.headers["proxy-authorization"] == "Basic bWU6aHVzaA=="
    (request,) = server.requests
    assert request.headers["authorization"] == "Basic eW91OnNlY3JldA=="
    assert "proxy-authorization" not in request.headers


def test_what_no_proxy_lists_keeps_the_whole_guard(server: FaultyServer, proxy: Proxy, tmp_path: Path) -> None:
    refused = fetch(tmp_path / "vm", proxy.url("me:hush"), server.url("/x"), no_proxy="127.0.0.0/8")
    assert "a loopback address" in str(refused.failure()), "the guard looks at what is asked directly as ever"
    assert (server.requests, proxy.asked) == ([], [])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "169.254.169.254",
        "0xa9fea9fe",
        "10.0.0.1",
        "[fd00::1]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_proxy_is_asked_for_an_address_that_may_not_be_reached(
    proxy: Proxy, tmp_path: Path, scheme: str, host: str
) -> None:
    assert "allowed_networks" in str(fetch(tmp_path / "vm", proxy.url(), f"{scheme}://{host}/x").failure())
    assert proxy.asked == []


def test_a_number_that_a_proxy_may_read_differently_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    # 87.0.0.1 where a leading zero means octal, 127.0.0.1 where it means nothing.
    refused = fetch(tmp_path / "vm", proxy.url(), "http://0127.0.0.1/x").failure()
    assert refused.reason == "0127.0.0.1 is another spelling of 87.0.0.1, which a proxy may read differently"
    assert proxy.asked == []


def test_a_redirect_is_checked_before_the_proxy_is_asked(server: FaultyServer, proxy: Proxy, tmp_path: Path) -> None:
    server.answer("/x", redirect("http://169.254.169.254/latest/"))
    refused = fetch(tmp_path / "vm", proxy.url()).failure()
    assert "redirects to a forbidden place: 169.254.169.254 is a metadata service's address" in str(refused)
    assert [asked.target for asked in proxy.asked] == [URL]


@pytest.mark.parametrize("url", [URL, f"https://{NAME}/x"])
def test_a_proxy_that_wants_other_credentials_is_asked_once(server: FaultyServer, tmp_path: Path, url: str) -> None:
    with Proxy({}, *[REFUSAL % b"407 Proxy Authentication Required"] * 5) as proxy:
        refused = fetch(tmp_path / "vm", proxy.url("me:hush"), url).failure()
        assert isinstance(refused, Unavailable)
        variable = f"{url.partition(':')[0]}_proxy"
        assert refused.reason == (
            f"the proxy 127.0.0.1:{proxy.port} wants credentials, or others than those in {variable} (HTTP 407)"
        )
        assert len(proxy.asked) == 1


def test_a_proxy_that_refuses_a_server_is_named_and_asked_once(tmp_path: Path) -> None:
    with Proxy({}, *[REFUSAL % b"403 Forbidden"] * 5) as proxy:
        refused = fetch(tmp_path / "vm", proxy.url("me:hush"), f"https://{NAME}/x").failure()
        told = f"the proxy 127.0.0.1:{proxy.port} refuses to connect to {NAME}:443: HTTP 403 Forbidden"
        assert refused.reason == told
        (asked,) = proxy.asked
        assert (asked.method, asked.target) == ("CONNECT", f"{NAME}:443")
        assert asked.headers["proxy-authorization"] == "Basic bWU6aHVzaA=="


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (REFUSAL % b"503 Service Unavailable", f"cannot connect to {NAME}:443: HTTP 503 Service Unavailable"),
        (b"this is no HTTP\r\n\r\n", f"does not connect to {NAME}:443: BadStatusLine"),
        (None, f"does not connect to {NAME}:443: "),
    ],
)
def test_a_proxy_that_may_do_better_the_next_time_is_asked_again(
    tmp_path: Path, answer: bytes | None, told: str
) -> None:
    with Proxy({}, *[answer] * 5) as proxy:
        refused = fetch(
            tmp_path / "vm", proxy.url("me:hush"), f"https://{NAME}/x", stall=5 if answer else 0.1
        ).failure()
        assert refused.reason.startswith(f"the proxy 127.0.0.1:{proxy.port} {told}")
        assert len(proxy.wait_asked(5)) == 5


def test_a_refusal_that_may_be_the_proxy_s_own_names_it(tmp_path: Path) -> None:
    with Proxy({}, *[REFUSAL % b"403 Forbidden"] * 5) as proxy:
        refused = fetch(tmp_path / "vm", proxy.url("me:hush")).failure()
        assert refused.reason == f"HTTP 403 Forbidden (through the proxy 127.0.0.1:{proxy.port})"


def test_a_proxy_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with Proxy({}) as proxy:
        pass
    refused = fetch(tmp_path / "vm", proxy.url("me:hush")).failure()
    assert refused.reason == (f"the proxy 127.0.0.1:{proxy.port} (http_proxy) cannot be reached: Connection refused")


def test_a_proxy_of_a_kind_that_cannot_be_used_is_a_refusal_in_words(tmp_path: Path) -> None:
    refused = fetch(tmp_path / "vm", "socks5://me:hush@127.0.0.1:1080").failure()
    assert refused.reason.startswith("http_proxy: expected http://HOST:PORT")
    assert "hush" not in str(refused)
