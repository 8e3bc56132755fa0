"""An HTTP server that misbehaves to order.

A test gives each path its answers: the first request gets the first, and so on; the last one is for all that follow.

    with FaultyServer() as server:
        server.answer("/noble.img", Reply(data, after=1000, then=RESET), Reply(data))
        … fetch server.url("/noble.img") …
        assert [each.range for each in server.requests] == [None, "bytes=1000-"]

A `Reply` without further words is a correct one: Range, If-Range, HEAD, ETag, Last-Modified, keep-alive.
"""

import fcntl
import gzip
import itertools
import re
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import BinaryIO, Final, Literal, NamedTuple, NoReturn, Self

import pytest

LOOPBACK: Final = "127.0.0.1"
PIECE: Final = 65536
MODIFIED: Final = "Sun, 01 Nov 2026 10:00:00 GMT"
BEFORE_THE_HEAD: Final = -1
"""For `Reply.after`: before anything is said."""


class Then(Enum):
    """What becomes of a connection in the middle of an answer."""

    CUT = "closed, as by a server that ends"
    RESET = "reset, as by a server that crashes"
    STALL = "kept open and silent until `go_on` or until the client gives up"


CUT, RESET, STALL = Then.CUT, Then.RESET, Then.STALL


@dataclass(frozen=True, slots=True)
class Reply:
    """How to answer a request with `body`; every field after it makes it less of a good answer."""

    body: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = MODIFIED
    status: int | None = None
    """This whatever was asked for, with the whole body; None for 200, 206 or 416, as is right."""
    headers: Sequence[tuple[str, str]] = ()
    """Further ones, as they are."""
    ranges: bool = True
    """Whether Range is heeded. If not: 200 and everything."""
    content_range: str | None = None
    """Instead of the right one, in an answer to a Range."""
    content_length: int | None = None
    """Instead of the right one. The connection closes after the body."""
    framing: Literal["length", "chunked", "close"] = "length"
    """How the client is to know the end: `chunked` and `close` tell no length before."""
    gzipped: bool = False
    """Compressed, whether asked for or not."""
    after: int | None = None
    """When `then` happens: after so many bytes of this answer's body, or BEFORE_THE_HEAD."""
    then: Then = CUT
    pace: tuple[int, float] | None = None
    """Send so many bytes of the body, wait so many seconds, and so on."""
    most: int | None = None
    """Answer a Range with no more than so many bytes, and say so."""
    hangs_up: bool = False
    """Closes the connection after this answer, though it promised to keep it."""


def redirect(location: str, status: int = 302) -> Reply:
    """To be asked for elsewhere; a chain or a loop is several of these."""
    return Reply(status=status, headers=[("Location", location)])


def busy(status: int = 503, *, retry_after: int | str | None = None) -> Reply:
    """429 or 503, maybe with a Retry-After in seconds or as a date."""
    told = [] if retry_after is None else [("Retry-After", str(retry_after))]
    return Reply(b"come again", status=status, headers=told)


@dataclass(frozen=True, slots=True)
class Drip:
    """An answer without an end: `head` as it is, and then `piece` again and again until the client leaves."""

    head: bytes
    piece: bytes
    seconds: float = 0.01
    """Between two pieces; 0: as fast as the network takes them."""


def chunked(body: bytes) -> bytes:
    """A correct answer in chunks, up to before its last, empty one."""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)


Answer = Reply | Drip | bytes
GARBAGE: Final = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
"""An answer that is none."""
LONG_HEADERS: Final = Reply(headers=[(f"X-{number}", "x" * 1000) for number in range(300)])
"""More headers than a client should take."""


@dataclass(slots=True)
class Request:
    """What was asked, and how much was answered."""

    connection: int
    """The number of its connection: requests with the same number came over the same one."""
    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""
    sent: int = 0
    """Bytes handed to the network, of the body as it is on the wire (that is, with its chunks' sizes)."""
    status: int | None = None
    """None when nothing was said, or no HTTP."""

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class _GoneError(Exception):
    """The connection is over: the client left, the answer ended it, or the server closes."""


class FaultyServer:
    """The server. It listens on a port of loopback between `with` and its end."""

    def __init__(self) -> None:
        self._answers: dict[str, Iterator[Answer]] = {}
        self._requests: list[Request] = []
        self._changed = threading.Condition()
        self._busy = 0
        """Requests that are being answered and don't stall."""
        self._stalled = 0
        self._continued = 0
        """How often those that stalled were told to go on."""
        self._closing = False
        self._connections: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]

    def answer(self, path: str, *answers: Answer) -> str:
        """From now on these answer requests for the path (with its query, if it has one). Its URL.

        Bytes are sent as they are, and end the connection.
        """
        with self._changed:
            self._answers[path] = itertools.chain(answers, itertools.repeat(answers[-1]))
        return self.url(path)

    def answer_by_turns(self, path: str, *answers: Answer) -> str:
        """From now on these answer requests for the path, one after the other and over again. Its URL."""
        with self._changed:
            self._answers[path] = itertools.cycle(answers)
        return self.url(path)

    def url(self, path: str, *, host: str = LOOPBACK, userinfo: str = "") -> str:
        return f"http://{userinfo}{'@' if userinfo else ''}{host}:{self.port}{path}"

    @property
    def requests(self) -> list[Request]:
        """All that were received, in order. Waits for those that are being answered, but for none that stalls."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._busy == 0, 10), "a request is being answered for ten seconds"
            return list(self._requests)

    def requests_for(self, path: str) -> list[Request]:
        return [each for each in self.requests if each.path == path]

    def wait_stalled(self) -> None:
        """Returns when a request stalls."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._stalled > 0, 10), "nothing stalls"

    def go_on(self) -> None:
        """Whatever stalls now is answered to its end."""
        with self._changed:
            self._continued += 1
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            for each in self._connections.values():
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port)):
            pass  # wakes the thread that accepts
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a connection doesn't end"

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with self._listener:
            for number in itertools.count(1):
                connection, _ = self._listener.accept()
                with self._changed:
                    if self._closing:
                        connection.close()
                        return
                    self._connections[number] = connection
                self._run(self._converse, number, connection)

    def _converse(self, number: int, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(_GoneError, OSError), connection.makefile("rb") as incoming:
            while (request := _received(incoming, number)) is not None:
                self._serve(request, connection)
        with self._changed:
            del self._connections[number]
            connection.close()

    def _serve(self, request: Request, connection: socket.socket) -> None:
        with self._changed:
            self._requests.append(request)
            self._busy += 1
            script = self._answers.get(request.path)
            reply = next(script) if script is not None else Reply(b"not here", status=404)
        try:
            if isinstance(reply, Drip):
                connection.sendall(reply.head)
                self._drip(reply, connection)
            if isinstance(reply, bytes):
                connection.sendall(reply)
                raise _GoneError
            self._deliver(reply, request, connection)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _deliver(self, reply: Reply, request: Request, connection: socket.socket) -> None:
        answer = rendered(reply, request)
        if reply.after == BEFORE_THE_HEAD:
            self._break(reply.then, connection)
        request.status = answer.status
        connection.sendall(answer.head)
        if request.method != "HEAD":
            body = memoryview(answer.body)
            where = len(body) if reply.after is None else max(reply.after, 0)
            self._send(body[:where], reply.pace, request, connection)
            if reply.after is not None and reply.after != BEFORE_THE_HEAD:
                self._break(reply.then, connection)
            self._send(body[where:], reply.pace, request, connection)
        if answer.closes:
            raise _GoneError

    def _send(
        self, body: memoryview, pace: tuple[int, float] | None, request: Request, connection: socket.socket
    ) -> None:
        size, seconds = pace or (PIECE, 0)
        while body:
            sent = connection.send(body[:size])
            request.sent += sent
            body = body[sent:]
            if seconds:
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, seconds):
                        raise _GoneError

    def _break(self, then: Then, connection: socket.socket) -> None:
        match then:
            case Then.CUT:
                raise _GoneError
            case Then.RESET:
                _drain(connection)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise _GoneError
            case Then.STALL:
                self._stall(connection)

    def _drip(self, drip: Drip, connection: socket.socket) -> NoReturn:
        with self._changed:
            self._busy, self._stalled = self._busy - 1, self._stalled + 1
            self._changed.notify_all()
        try:
            while True:
                connection.sendall(drip.piece)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, drip.seconds) or _is_left(connection):
                        raise _GoneError
        finally:
            with self._changed:
                self._busy, self._stalled = self._busy + 1, self._stalled - 1

    def _stall(self, connection: socket.socket) -> None:
        with self._changed:
            before = self._continued
            self._busy, self._stalled = self._busy - 1, self._stalled + 1
            self._changed.notify_all()
            try:
                while not self._changed.wait_for(lambda: self._closing or self._continued > before, 0.005):
                    if _is_left(connection):
                        raise _GoneError
            finally:
                self._busy, self._stalled = self._busy + 1, self._stalled - 1
            if self._closing:
                raise _GoneError


class Rendered(NamedTuple):
    """An answer as it goes over the wire."""

    status: int
    head: bytes
    body: bytes
    closes: bool


def rendered(reply: Reply, request: Request) -> Rendered:
    """The answer to this request by this reply."""
    body = gzip.compress(reply.body, mtime=0) if reply.gzipped else reply.body
    is_typed = any(name.lower() == "content-type" for name, _ in reply.headers)
    headers = [] if is_typed else [("Content-Type", "application/octet-stream")]
    if reply.status is None:
        known = {
            "ETag": reply.etag,
            "Last-Modified": reply.modified,
            "Accept-Ranges": "bytes" if reply.ranges else None,
        }
        headers += [(name, value) for name, value in known.items() if value]
    if reply.gzipped:
        headers.append(("Content-Encoding", "gzip"))
    status, size = reply.status or 200, len(body)
    span = _span(request.range, size) if reply.status is None and reply.ranges and _is_current(reply, request) else None
    if span is not None:
        span = span[: reply.most]
        status, told = (206, f"bytes {span.start}-{span.stop - 1}/{size}") if span else (416, f"bytes */{size}")
        headers.append(("Content-Range", reply.content_range or told))
        body = body[span.start : span.stop]
    if reply.framing == "length":
        length = len(body) if reply.content_length is None else reply.content_length
        headers.append(("Content-Length", str(length)))
    elif reply.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
        body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in _pieces(body)) + b"0\r\n\r\n"
    closes = reply.framing == "close" or request.headers.get("connection", "").lower() == "close"
    headers += [("Connection", "close" if closes else "keep-alive"), *reply.headers]
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    closes = closes or reply.hangs_up or reply.content_length is not None
    return Rendered(status, "\r\n".join([*lines, "", ""]).encode(), body, closes)


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def _is_current(reply: Reply, request: Request) -> bool:
    """Whether If-Range, if there is one, is about what is served now (RFC 9110, section 13.1.5)."""
    return request.headers.get("if-range") in (None, reply.etag, reply.modified)


def _span(asked: str | None, size: int) -> range | None:
    """The bytes asked for; none at all where that can't be satisfied; None for the whole (RFC 9110, section 14.1.2)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


def _received(incoming: BinaryIO, connection: int) -> Request | None:
    """The next request; None when the client has closed."""
    line = incoming.readline()
    if not line.endswith(b"\n"):
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := incoming.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0)))
    return Request(connection, method, path, headers, body)


def _drain(connection: socket.socket) -> None:
    """Wait until the client's side has all that was sent: a reset discards what is still on its way."""
    give_up = time.monotonic() + 1
    with suppress(OSError):
        while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]:
            if time.monotonic() > give_up:
                return
            time.sleep(0.001)


def _is_left(connection: socket.socket) -> bool:
    """Whether the client has closed its side."""
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


@pytest.fixture
def faulty_server() -> Iterator[FaultyServer]:
    """A server of the test's own."""
    with FaultyServer() as server:
        yield server
