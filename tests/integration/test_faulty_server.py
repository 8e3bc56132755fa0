"""The server that misbehaves does so as it was told, or else the tests that use it prove nothing."""

import gzip
import http.client
import socket
import time
from collections.abc import Iterator, Mapping

import pytest
from tests.faulty_server import (
    BEFORE_THE_HEAD,
    GARBAGE,
    LONG_HEADERS,
    RESET,
    STALL,
    Drip,
    FaultyServer,
    Reply,
    Request,
    Then,
    busy,
    chunked,
    redirect,
)

DATA = bytes(range(256)) * 1000


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def client(server: FaultyServer) -> Iterator[http.client.HTTPConnection]:
    """One connection, which is kept while the server keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    yield connection
    connection.close()


def get(
    client: http.client.HTTPConnection, path: str = "/x", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> http.client.HTTPResponse:
    client.request(method, path, headers=dict(headers or {}))
    return client.getresponse()


def raw(server: FaultyServer, request: bytes = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    """Everything that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_plain_reply_is_a_whole_file_with_its_validators(
    server: FaultyServer, client: http.client.HTTPConnection
) -> None:
    server.answer("/x", Reply(DATA))
    response = get(client)
    assert (response.status, response.read()) == (200, DATA)
    assert response.headers["Content-Length"] == "256000"
    assert (response.headers["ETag"], response.headers["Accept-Ranges"]) == ('"1"', "bytes")
    assert response.headers["Last-Modified"] == "Sun, 01 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "status", "told", "expected"),
    [
        ("bytes=0-9", 206, "bytes 0-9/256000", DATA[:10]),
        ("bytes=255990-", 206, "bytes 255990-255999/256000", DATA[255990:]),
        ("bytes=-10", 206, "bytes 255990-255999/256000", DATA[255990:]),
        ("bytes=-300000", 206, "bytes 0-255999/256000", DATA),
        ("bytes=255990-300000", 206, "bytes 255990-255999/256000", DATA[255990:]),
        ("bytes=256000-", 416, "bytes */256000", b""),
        ("bytes=-0", 416, "bytes */256000", b""),
        ("bytes=9-0", 200, None, DATA),
        ("bytes=0-1,4-5", 200, None, DATA),
        ("lines=0-1", 200, None, DATA),
    ],
)
def test_a_range_is_answered_by_the_rules(
    server: FaultyServer, client: http.client.HTTPConnection, asked: str, status: int, told: str | None, expected: bytes
) -> None:
    server.answer("/x", Reply(DATA))
    response = get(client, headers={"Range": asked})
    assert (response.status, response.headers["Content-Range"], response.read()) == (status, told, expected)


@pytest.mark.parametrize(
    ("validator", "status"), [('"1"', 206), ("Sun, 01 Nov 2026 10:00:00 GMT", 206), ('"2"', 200), ('W/"1"', 200)]
)
def test_a_range_of_something_else_is_answered_with_the_whole(
    server: FaultyServer, client: http.client.HTTPConnection, validator: str, status: int
) -> None:
    server.answer("/x", Reply(DATA))
    assert get(client, headers={"Range": "bytes=0-9", "If-Range": validator}).status == status


def test_a_head_has_no_body(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA))
    response = get(client, method="HEAD")
    assert (response.headers["Content-Length"], response.read()) == ("256000", b"")
    assert get(client).read() == DATA


def test_answers_come_in_order_and_the_last_one_stays(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", busy(429, retry_after=0), busy(503), Reply(DATA, etag='"2"'))
    first = get(client)
    assert (first.status, first.headers["Retry-After"], first.read()) == (429, "0", b"come again")
    second = get(client)
    assert (second.status, second.headers["Retry-After"], second.read()) == (503, None, b"come again")
    assert [get(client).read() for _ in range(2)] == [DATA, DATA]
    assert get(client, "/y").status == 404


def test_answers_can_come_by_turns(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer_by_turns("/x", Reply(b"one"), Reply(b"two"))
    assert [get(client).read() for _ in range(5)] == [b"one", b"two", b"one", b"two", b"one"]


def test_a_range_can_be_answered_with_less(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, most=3))
    response = get(client, headers={"Range": "bytes=10-"})
    assert (response.headers["Content-Range"], response.read()) == ("bytes 10-12/256000", DATA[10:13])


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_an_answer_can_drip_until_the_client_leaves(server: FaultyServer, seconds: float) -> None:
    server.answer("/x", Drip(chunked(b"noble"), b"0", seconds))
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        incoming = connection.makefile("rb")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nnoble\r\n"
        with incoming:
            assert incoming.read(len(head) + 3) == head + b"000"
        server.wait_stalled()
        assert len(server.requests) == 1


def test_every_request_is_recorded_with_what_was_sent(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x?a=1", Reply(DATA))
    get(client, "/x?a=1", {"Range": "bytes=5-14", "Authorization": "Basic x"}).read()
    client.request("POST", "/y", b"ignored")
    client.getresponse().read()
    client.close()
    get(client, "/y").read()
    first, second, third = server.requests
    assert first == Request(1, "GET", "/x?a=1", first.headers, sent=10, status=206)
    assert (first.range, first.headers["authorization"]) == ("bytes=5-14", "Basic x")
    assert (second.connection, second.method, second.status, second.range) == (1, "POST", 404, None)
    assert third.connection == 2
    assert server.requests_for("/y") == [second, third]


def test_a_cut_ends_the_connection_after_so_many_bytes(
    server: FaultyServer, client: http.client.HTTPConnection
) -> None:
    server.answer("/x", Reply(DATA, after=1000))
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(client).read()
    assert cut.value.partial == DATA[:1000]
    assert [each.sent for each in server.requests] == [1000]


def test_a_cut_counts_from_the_start_of_the_answer(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, after=10))
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(client, headers={"Range": "bytes=100-199"}).read()
    assert cut.value.partial == DATA[100:110]


def test_a_reset_comes_after_the_bytes(server: FaultyServer) -> None:
    server.answer("/x", Reply(DATA, after=1000, then=RESET))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        incoming = connection.makefile("rb")
        while incoming.readline().strip():
            pass
        assert incoming.read(1000) == DATA[:1000]
        with incoming, pytest.raises(ConnectionResetError):
            incoming.read(1)


@pytest.mark.parametrize("then", [RESET, STALL])
def test_a_fault_can_come_before_anything_is_said(server: FaultyServer, then: Then) -> None:
    server.answer("/x", Reply(DATA, after=BEFORE_THE_HEAD, then=then))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        if then is STALL:
            server.wait_stalled()
            connection.settimeout(0)
        with pytest.raises(BlockingIOError if then is STALL else ConnectionResetError):
            connection.recv(1)
        assert [(each.status, each.sent) for each in server.requests] == [(None, 0)]


def test_a_stall_lasts_until_it_is_told_to_go_on(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, after=1000, then=STALL))
    response = get(client)
    assert response.read(1000) == DATA[:1000]
    server.wait_stalled()
    (request,) = server.requests
    assert request.sent == 1000
    server.go_on()
    assert response.read() == DATA[1000:]


def test_a_stall_ends_when_the_client_gives_up(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, after=0, then=STALL), Reply(DATA))
    response = get(client)
    server.wait_stalled()
    response.close()
    client.close()
    assert get(client).read() == DATA
    assert [each.sent for each in server.requests] == [0, 256000]


def test_closing_the_server_ends_a_stall_and_a_client_that_does_not_read() -> None:
    with FaultyServer() as server, socket.create_connection(("127.0.0.1", server.port)) as other:
        server.answer("/x", Reply(DATA, after=0, then=STALL))
        server.answer("/y", Reply(DATA * 100))
        other.sendall(b"GET /y HTTP/1.1\r\n\r\n")
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        response = get(client)
        server.wait_stalled()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    client.close()


@pytest.mark.parametrize(("length", "seen"), [(300_000, None), (1000, DATA[:1000])])
def test_a_length_can_be_wrong(
    server: FaultyServer, client: http.client.HTTPConnection, length: int, seen: bytes | None
) -> None:
    server.answer("/x", Reply(DATA, content_length=length))
    response = get(client)
    assert response.headers["Content-Length"] == str(length)
    if seen is None:
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    else:
        assert response.read() == seen
    assert raw(server).endswith(DATA)


def test_a_content_range_can_be_wrong(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, content_range="bytes 0-9/256000"))
    response = get(client, headers={"Range": "bytes=10-19"})
    assert (response.headers["Content-Range"], response.read()) == ("bytes 0-9/256000", DATA[10:20])
    assert get(client).headers["Content-Range"] is None


def test_a_range_can_be_ignored(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, ranges=False))
    response = get(client, headers={"Range": "bytes=10-19"})
    assert (response.status, response.headers["Accept-Ranges"], response.read()) == (200, None, DATA)


def test_any_status_can_be_forced(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(b"no", status=416, headers=[("Content-Range", "bytes */0")]))
    response = get(client, headers={"Range": "bytes=0-"})
    assert (response.status, response.headers["Content-Range"], response.read()) == (416, "bytes */0", b"no")


def test_redirects_lead_on_in_circles_and_to_another_origin(
    server: FaultyServer, client: http.client.HTTPConnection
) -> None:
    with FaultyServer() as other:
        server.answer("/x", redirect("/loop"))
        server.answer("/loop", redirect("/loop", 307))
        server.answer("/away", redirect(other.answer("/y", Reply(DATA)), 301))
        for path, status, location in (
            ("/x", 302, "/loop"), ("/loop", 307, "/loop"), ("/away", 301, other.url("/y")),
        ):  # fmt: skip
            response = get(client, path)
            assert (response.status, response.headers["Location"], response.read()) == (status, location, b"")
        assert other.requests == []


def test_a_slow_answer_comes_a_little_at_a_time(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(b"slow", pace=(1, 0.01)))
    response = get(client)
    since = time.monotonic()
    assert [response.read1(10) for _ in range(4)] == [b"s", b"l", b"o", b"w"]
    assert time.monotonic() - since > 0.02


def test_a_body_can_be_compressed_unasked(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, gzipped=True))
    response = get(client)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.read()) == DATA


def test_a_chunked_body_has_no_length(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, framing="chunked"))
    for _ in range(2):
        response = get(client)
        assert (response.headers["Content-Length"], response.read()) == (None, DATA)
    assert {each.connection for each in server.requests} == {1}


def test_a_chunked_body_can_be_cut(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, framing="chunked", after=1000))
    with pytest.raises(http.client.IncompleteRead):
        get(client).read()


def test_a_body_can_end_where_the_connection_does(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, framing="close"), Reply(DATA, framing="close", after=1000))
    assert [get(client).read() for _ in range(2)] == [DATA, DATA[:1000]]
    assert {each.connection for each in server.requests} == {1, 2}


def test_an_answer_can_be_no_http_at_all(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", GARBAGE)
    with pytest.raises(http.client.BadStatusLine):
        get(client)
    assert raw(server) == GARBAGE
    assert [each.status for each in server.requests] == [None, None]


def test_headers_can_be_too_many(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", LONG_HEADERS)
    with pytest.raises(http.client.HTTPException, match="more than 100 headers"):
        get(client)


def test_a_kept_connection_can_be_closed_all_the_same(server: FaultyServer, client: http.client.HTTPConnection) -> None:
    server.answer("/x", Reply(DATA, hangs_up=True))
    response = get(client)
    assert (response.headers["Connection"], response.read()) == ("keep-alive", DATA)
    assert client.sock.recv(1) == b""


def test_a_client_that_wants_no_connection_kept_is_heeded(server: FaultyServer) -> None:
    server.answer("/x", Reply(b"all"))
    seen = raw(server, b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert seen.endswith(b"Connection: close\r\n\r\nall")
