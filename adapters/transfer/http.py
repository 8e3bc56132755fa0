"""HTTP as images are read by it: ranges checked, redirects looked at hop by hop, credentials for their own origin only.

On the standard library's client, which fills the caller's buffers; ARCHITECTURE.md has the measurements.
"""

import base64
import contextlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

from lading.adapters.tables import SettingsError
from lading.adapters.transfer.dialing import Barred, check_literal, dial, dial_proxy, open_tunnel, require_credentials
from lading.adapters.transfer.guard import Guard
from lading.adapters.transfer.network import DIRECT, NetworkPolicy, Proxy
from lading.adapters.transfer.pipeline import SourceBroken
from lading.adapters.transfer.urls import PORTS, joined, web_url

__all__ = ["Answer", "HttpConnection", "HttpOptions", "HttpRefused", "Origin"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS: Final = 5
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# What a server or a broken way to it does, beside what OSError covers: http.client's own words for nonsense.
_BROKEN: Final = (OSError, http.client.HTTPException, ValueError)
_LEAST_RATE: Final = 1024
"""Bytes a second, over a stall's length: one that sends less is stalled, however steadily (slow loris)."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How long to wait, whom to trust, and where to go. Seconds."""

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    network: NetworkPolicy = DIRECT
    """Proxies, and whom to trust."""
    guard: Guard | None = None
    """Where URLs and redirects may lead; None: anywhere, because the operator chose it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to ask, and with which headers. Credentials in the URL become a header; no repr shows either."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    sign: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False, compare=False)
    """Makes the headers that are good for one request only, when it is about to be asked."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ValueError for what is no http or https URL, in words without credentials."""
        parts, userinfo = web_url(url)
        if not userinfo:
            return cls(parts.geturl())
        credentials = base64.b64encode(unquote(userinfo).encode()).decode()
        return cls(parts.geturl(), {"Authorization": f"Basic {credentials}"})


class HttpRefused(SourceBroken):
    """The server answered, but not with the bytes."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        # Not in the server's own words, which may repeat what it was asked with.
        super().__init__(f"HTTP {status} {http.client.responses.get(status, '')}".strip())
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


class Range(NamedTuple):
    """Which bytes an answer has."""

    start: int
    stop: int | None
    """None: to an end that isn't known."""
    total: int | None
    """Bytes of the whole."""


class Answer:
    """Bytes from `position` on. Raises SourceBroken."""

    def __init__(self, response: http.client.HTTPResponse, given: Range, stall_seconds: float) -> None:
        self._response = response
        self.position = given.start
        self.stop = given.stop
        self.total = given.total
        self.validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        """Tells two states of the resource apart (RFC 9110, section 8.8)."""
        self.takes_ranges = response.status == http.client.PARTIAL_CONTENT or (
            response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        )
        self._stall_seconds = stall_seconds
        self._window = (time.monotonic(), self.position)

    def readinto(self, view: memoryview) -> int:
        """Some bytes; 0 at the end, and only there."""
        try:
            count = self._some(view)
        except _BROKEN as error:
            raise SourceBroken(f"it broke off at byte {self.position}: {_words(error)}") from error
        self.position += count
        if count == 0 and self.stop is not None and self.position < self.stop:
            raise SourceBroken(f"it broke off at byte {self.position} of {self.stop}")
        self._watch()
        if self.position == self.stop:
            self._response.close()
        return count

    def _some(self, view: memoryview) -> int:
        """What is there, without waiting for all of it: a trickle must be seen as one."""
        if self._response.chunked:
            data = self._response.read1(len(view))
            view[: len(data)] = data
            return len(data)
        if self.stop is not None:
            view = view[: self.stop - self.position]
        # The response's own readinto waits until the buffer is full.
        return self._response.fp.readinto1(view) if view and not self._response.isclosed() else 0

    def _watch(self) -> None:
        since, position = self._window
        now = time.monotonic()
        if now - since > self._stall_seconds:
            if self.position - position < _LEAST_RATE * self._stall_seconds:
                raise SourceBroken(f"it stalled at byte {self.position}")
            self._window = (now, self.position)

    @property
    def is_done(self) -> bool:
        return self._response.isclosed()


class HttpConnection:
    """One connection, kept open from one answer to the next where the server does the same. For one thread."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._connection: http.client.HTTPConnection | None = None
        self._peer: tuple[str, str] | None = None
        self._answer: Answer | None = None
        self._response: http.client.HTTPResponse | None = None
        self._proxy: Proxy | None = None
        """The one that is sent whole requests, for http. For https a proxy only passes bytes on."""
        self._wire: socket.socket | None = None
        """The connection's socket, which http.client lets go of when the server will close it."""

    def open(self, origin: Origin, start: int = 0, stop: int | None = None) -> Answer:
        """The bytes from `start` to `stop`, or from an earlier position where the server ignores ranges.

        Raises HttpRefused and SourceBroken.
        """
        own = {**origin.headers, **(origin.sign() if origin.sign else {})}
        headers = {"Accept-Encoding": "identity", "User-Agent": "lading"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        response = self._follow(origin.url, headers, own)
        try:
            given = _checked(response, start, stop)
        except SourceBroken:
            self.close()  # whatever its body says, it isn't the image
            raise
        self._answer = Answer(response, given, self._options.stall_seconds)
        return self._answer

    def _follow(self, url: str, headers: Mapping[str, str], own: Mapping[str, str]) -> http.client.HTTPResponse:
        """What it answers, or whom it redirects to; `own` are the headers that are for it alone."""
        parts = urlsplit(url)
        for hop in range(_MOST_HOPS + 1):
            try:
                response = self._ask(parts, {**headers, **own})
            except Barred as barred:
                raise Barred(f"it redirects to where it may not: {barred}") if hop else barred from None
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response
            self.close()
            onward = _onward(parts, target)
            if _peer(onward) != _peer(parts):
                own = {}  # what was meant for one origin is not told to another
            parts = onward
        raise SourceBroken(f"it redirects more than {_MOST_HOPS} times")

    def _ask(self, parts: SplitResult, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        guard = self._options.guard
        if guard is not None and (objection := guard.against(parts.scheme, parts.hostname or "", _port(parts))):
            raise Barred(objection)
        fresh = not self._is_reusable(parts)
        try:
            return self._request(parts, headers, fresh=fresh)
        except _BROKEN as error:
            self.close()
            if fresh:
                raise SourceBroken(f"{parts.netloc} can't be asked: {_words(error)}") from error
        # A server may close a connection that was kept open at any time: that says nothing of the server.
        return self._ask(parts, headers)

    def _request(self, parts: SplitResult, headers: Mapping[str, str], *, fresh: bool) -> http.client.HTTPResponse:
        if fresh:
            self.close()
            self._connect(parts)
        assert self._connection is not None  # noqa: S101 - connected just now, or reusable
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        if self._proxy is not None:
            path, headers = f"{parts.scheme}://{parts.netloc}{path}", {**headers, **self._proxy.headers}
        # Each byte of an answer's head may come in time, and its end never.
        watchdog = threading.Timer(2 * self._options.stall_seconds, self.abort)
        watchdog.start()
        try:
            self._connection.request("GET", path, headers=dict(headers))
            self._response = self._connection.getresponse()
            if self._proxy is not None:
                require_credentials(self._response.status, self._proxy)
            return self._response
        finally:
            watchdog.cancel()

    def _connect(self, parts: SplitResult) -> None:
        host, port, seconds = parts.hostname or "", _port(parts), self._options.connect_seconds
        try:
            proxy = self._options.network.proxy_for(parts.scheme, host, port)
            context = self._options.network.tls_context() if parts.scheme == "https" else None
        except SettingsError as error:
            raise Barred(str(error)) from error
        wire = self._dial(host, port, proxy)
        try:
            if context is not None:
                if proxy is not None:
                    wire.settimeout(self._options.stall_seconds)  # the proxy connects in its turn
                    open_tunnel(wire, proxy, host, port, self._options.stall_seconds)
                    wire.settimeout(seconds)
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
                wire = context.wrap_socket(wire, server_hostname=host)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=seconds)
        except BaseException:
            wire.close()
            raise
        self._connection.auto_open = 0  # it never connects by itself, where nobody looks
        self._connection.sock = self._wire = wire
        self._peer = _peer(parts)
        self._proxy = proxy if context is None else None
        wire.settimeout(self._options.stall_seconds)

    def _dial(self, host: str, port: int, proxy: Proxy | None) -> socket.socket:
        guard, seconds = self._options.guard, self._options.connect_seconds
        if proxy is None:
            return dial(host, port, seconds, guard)
        check_literal(host, guard)
        return dial_proxy(proxy, seconds)

    def _is_reusable(self, parts: SplitResult) -> bool:
        return (
            self._connection is not None
            and self._connection.sock is not None
            and self._peer == _peer(parts)
            and (self._answer is None or self._answer.is_done)
        )

    def abort(self) -> None:
        """From another thread: have what waits for the server fail, now."""
        if (wire := self._wire) is not None:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the server, in the middle of an answer too."""
        # A connection that ends with its answer belongs to the answer.
        for each in (self._response, self._connection):
            if each is not None:
                each.close()
        self._response = self._connection = self._answer = self._wire = None


def _onward(parts: SplitResult, target: str) -> SplitResult:
    """Where a redirect leads, if it may be followed."""
    try:
        onward = joined(parts, target).parts
    except ValueError:
        raise Barred("it redirects to what is no http or https URL") from None
    if parts.scheme == "https" and onward.scheme == "http":
        raise Barred("it redirects from https to http")
    return onward


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS.get(parts.scheme, 80)


def _peer(parts: SplitResult) -> tuple[str, str]:
    """What makes an origin (RFC 6454), the port as it is written or as the scheme has it."""
    return parts.scheme, f"{parts.hostname}:{_port(parts)}"


def _checked(response: http.client.HTTPResponse, start: int, stop: int | None) -> Range:
    """Which bytes the answer has, by its own account. Raises when it is none, or makes no sense."""
    if response.status not in {http.client.OK, http.client.PARTIAL_CONTENT}:
        raise HttpRefused(response.status, _retry_after(response))
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise SourceBroken(f"it comes encoded as {response.headers['Content-Encoding']}, which was not asked for")
    length = response.length
    if response.status == http.client.OK:
        return Range(0, length, length)
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        raise SourceBroken("it answers with a part, and doesn't say which")
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if first != start or last < first or (stop is not None and last >= stop) or (total is not None and last >= total):
        raise SourceBroken(f"it answers with other bytes than were asked for ({found[0]})")
    if length is not None and length != last - first + 1:
        raise SourceBroken(f"its length, {length}, is not that of the part it names ({found[0]})")
    return Range(first, last + 1, total)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few servers send dates

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, http.client.HTTPException):
        return f"what it answers makes no sense ({type(error).__name__})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
