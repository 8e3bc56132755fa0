"""HTTP as images are read by it: ranges checked, redirects looked at hop by hop, credentials for their own origin only.

On the standard library's client, which fills the caller's buffers; ARCHITECTURE.md has the measurements.
"""

import base64
import contextlib
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.connect import (
    Forbidden,
    check_literal,
    connect_checked,
    connect_proxy,
    open_tunnel,
    require_credentials,
)
from lading.adapters.web.guard import Guard
from lading.adapters.web.network import DIRECT, NetworkPolicy, Proxy
from lading.adapters.web.response import Response
from lading.adapters.web.urls import PORTS, joined, web_url
from lading.adapters.web.validators import Validators
from lading.adapters.web.watch import Stalled, Watch
from lading.ports.failures import SettingsError

__all__ = ["Answer", "HttpConnection", "HttpOptions", "HttpRefused", "Origin", "Unusable", "peer_of"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS: Final = 5
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# What a server or a broken way to it does, beside what OSError covers: http.client's own words for nonsense.
_BROKEN: Final = (OSError, http.client.HTTPException, ValueError)
_NO_ENCODING: Final = frozenset({"", "identity", "aws-chunked", "none", "binary", "utf-8"})
"""Content-Encodings that change no byte. The first two by RFC 9110 and S3; the others are set by mistaken uploaders."""
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
"""Those that may be named to a person; another is the server's own words."""
_WRONG_FOR_GOOD: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "NO_PROTOCOLS_AVAILABLE",
        "RECORD_LAYER_FAILURE",
    }
)
"""OpenSSL's reasons that stay the same at the next try."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How long to wait, whom to trust, and where to go. Seconds."""

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """After the first byte: so long without a byte, or with next to none, and the server is given up."""
    network: NetworkPolicy = DIRECT
    """Proxies, and whom to trust."""
    guard: Guard | None = None
    """Where URLs and redirects may lead; None: anywhere, because the operator chose it."""
    first_byte_seconds: float = 120.0
    """For an answer to begin, and again for its first byte of the image: a store may have to get it first."""


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

    def __init__(self, status: int, retry_after: float | None = None, proxy: Proxy | None = None) -> None:
        # Not in the server's own words, which may repeat what it was asked with.
        told = f"HTTP {status} {http.client.responses.get(status, '')}".strip()
        # A proxy's own refusals look like the server's.
        super().__init__(f"{told} (through the proxy {proxy})" if proxy else told)
        self.status = status
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


class Unusable(SourceBroken):
    """What the server gives can't be used, and will be the same at the next try: a wrong certificate, say."""


class Range(NamedTuple):
    """Which bytes an answer has."""

    start: int
    stop: int | None
    """None: to an end that isn't known."""
    total: int | None
    """Bytes of the whole."""


class Answer:
    """Bytes from `position` on. Raises SourceBroken."""

    def __init__(self, response: Response, given: Range, peer: tuple[str, str], watch: Watch) -> None:
        self._response = response
        self._watch = watch
        self.position = given.start
        self.stop = given.stop
        self.total = given.total
        self.validators = Validators(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        self.encoding = _encoding(response)
        """The Content-Encoding of the bytes, in words; None: they are the image's own."""
        self.peer = peer
        """The origin of the server that answered, which a redirect may change each time."""
        self.takes_ranges = response.status == http.client.PARTIAL_CONTENT or (
            response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        )
        self.is_clean = True
        """The connection can be used again when this is done."""
        self._left: int | None = None
        """Bytes of the chunk at hand; None before the first."""

    def readinto(self, view: memoryview) -> int:
        """Some bytes; 0 at the end, and only there."""
        try:
            with self._watch:
                count = self._some(view)
                self._watch.received(count)
                self._watch.check()
        except Stalled:
            raise Stalled(f"it stalled at byte {self.position}") from None
        except _BROKEN as error:
            raise SourceBroken(f"it broke off at byte {self.position}: {_words(error)}") from error
        self.position += count
        if count == 0 and self.stop is not None and self.position < self.stop:
            raise SourceBroken(f"it broke off at byte {self.position} of {self.stop}")
        if self.position == self.stop:
            self._response.close()
        return count

    def _some(self, view: memoryview) -> int:
        """What is there, without waiting for all of it: a trickle must be seen as one."""
        if self._response.isclosed() or not view:
            return 0
        if self._response.chunked:
            return self._some_of_chunk(view)
        if self.stop is not None:
            view = view[: self.stop - self.position]
        # The response's own readinto waits until the buffer is full.
        return self._response.fp.readinto1(view)

    def _some_of_chunk(self, view: memoryview) -> int:
        if not self._left:
            self._left = self._response.next_chunk(is_first=self._left is None)
        if not self._left:
            # The image is whole. Trailers may follow, and never end: they are not waited for.
            self.is_clean = False
            self._response.close()
            return 0
        count = self._response.fp.readinto1(view[: self._left])
        if count == 0:
            raise ConnectionError("the connection ended within a chunk")
        self._left -= count
        return count

    @property
    def is_done(self) -> bool:
        return self._response.isclosed()


class HttpConnection:
    """One connection, kept open from one answer to the next where the server does the same. For one thread."""

    def __init__(self, options: HttpOptions, *, digest_decides: bool = False) -> None:
        """`digest_decides`: what is wrong with the bytes will be seen, so that they may come in any encoding."""
        self._options = options
        self._digest_decides = digest_decides
        self._watch = Watch(options.stall_seconds, options.first_byte_seconds)
        self._is_aborted = False
        self.was_redirected = False
        """The last request ended at another URL than the one that was asked for."""
        self._connection: http.client.HTTPConnection | None = None
        self._peer: tuple[str, str] | None = None
        self._answer: Answer | None = None
        self._response: Response | None = None
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
            self._answer = Answer(response, given, self._peer or ("", ""), self._watch)
            if self._answer.encoding and not self._digest_decides:
                raise Unusable(
                    f"it comes encoded as {self._answer.encoding}, which was not asked for, "
                    "and no digest tells whether that is the image itself"
                )
        except SourceBroken as broken:
            self.close()  # whatever its body says, it isn't the image
            if isinstance(broken, HttpRefused) and self._proxy is not None:
                raise HttpRefused(broken.status, broken.retry_after, self._proxy) from None
            raise
        return self._answer

    def _follow(self, url: str, headers: Mapping[str, str], own: Mapping[str, str]) -> Response:
        """What it answers, or whom it redirects to; `own` are the headers that are for it alone."""
        parts = urlsplit(url)
        for hop in range(_MOST_HOPS + 1):
            self.was_redirected = hop > 0
            try:
                response = self._ask(parts, {**headers, **own})
            except Forbidden as barred:
                raise Forbidden(f"it redirects to where it may not: {barred}") if hop else barred from None
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response
            self.close()
            onward = _onward(parts, target)
            if _peer(onward) != _peer(parts):
                own = {}  # what was meant for one origin is not told to another
            parts = onward
        raise SourceBroken(f"it redirects more than {_MOST_HOPS} times")

    def _ask(self, parts: SplitResult, headers: Mapping[str, str]) -> Response:
        guard = self._options.guard
        if guard is not None and (conflict := guard.against(parts.scheme, parts.hostname or "", _port(parts))):
            raise Forbidden(conflict)
        fresh = not self._is_reusable(parts)
        try:
            return self._request(parts, headers, fresh=fresh)
        except SourceBroken as failure:
            self.close()
            if isinstance(failure, Stalled):
                raise Stalled(f"{parts.netloc} stalled within its answer's head") from None
            raise
        except _BROKEN as error:
            self.close()
            if fresh or isinstance(error, TimeoutError):
                kind = Unusable if _is_for_good(error) else SourceBroken
                raise kind(f"{parts.netloc} can't be asked: {_words(error)}") from error
        # A server may close a connection that was kept open at any time: that says nothing of the server.
        return self._ask(parts, headers)

    def _request(self, parts: SplitResult, headers: Mapping[str, str], *, fresh: bool) -> Response:
        if fresh:
            self.close()
            self._connect(parts)
        if self._is_aborted:  # while it connected, when there was nothing to shut down
            raise SourceBroken("it was aborted")
        assert self._connection is not None  # noqa: S101 - connected just now, or reusable
        self._connection.response_class = partial(Response, self._watch)  # type: ignore[assignment] # it makes one
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        if self._proxy is not None:
            path, headers = f"{parts.scheme}://{parts.netloc}{path}", {**headers, **self._proxy.headers}
        with self._watch:
            self._watch.is_patient = True
            self._connection.request("GET", path, headers=dict(headers))
            response = self._connection.getresponse()
        assert isinstance(response, Response)  # noqa: S101 - the class is set above
        self._response = response
        if self._proxy is not None:
            require_credentials(response.status, self._proxy)
        return response

    def _connect(self, parts: SplitResult) -> None:
        host, port, seconds = parts.hostname or "", _port(parts), self._options.connect_seconds
        try:
            proxy = self._options.network.proxy_for(parts.scheme, host, port)
            context = self._options.network.tls_context() if parts.scheme == "https" else None
        except SettingsError as error:
            raise Forbidden(str(error)) from error
        wire = self._wire = self._dial(host, port, proxy)
        try:
            if context is not None:
                if proxy is not None:
                    wire.settimeout(self._options.stall_seconds)  # the proxy connects in its turn
                    open_tunnel(wire, proxy, host, port, self._options.stall_seconds)
                    wire.settimeout(seconds)
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
                # Where an end without TLS's farewell is somebody else's doing, only a digest tells it.
                wire = context.wrap_socket(wire, server_hostname=host, suppress_ragged_eofs=self._digest_decides)
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
            return connect_checked(host, port, seconds, guard)
        check_literal(host, guard)
        return connect_proxy(proxy, seconds)

    def _is_reusable(self, parts: SplitResult) -> bool:
        return (
            self._connection is not None
            and self._connection.sock is not None
            and self._peer == _peer(parts)
            and (self._answer is None or (self._answer.is_done and self._answer.is_clean))
        )

    def abort(self) -> None:
        """From another thread: have what waits for the server fail, now."""
        self._is_aborted = True
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
        raise Forbidden("it redirects to what is no http or https URL") from None
    if parts.scheme == "https" and onward.scheme == "http":
        raise Forbidden("it redirects from https to http")
    return onward


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS.get(parts.scheme, 80)


def peer_of(url: str) -> tuple[str, str]:
    """The origin of an http or https URL."""
    return _peer(urlsplit(url))


def _peer(parts: SplitResult) -> tuple[str, str]:
    """What makes an origin (RFC 6454), the port as it is written or as the scheme has it."""
    return parts.scheme, f"{parts.hostname}:{_port(parts)}"


def _checked(response: http.client.HTTPResponse, start: int, stop: int | None) -> Range:
    """Which bytes the answer has, by its own account. Raises when it is none, or makes no sense."""
    if response.status not in {http.client.OK, http.client.PARTIAL_CONTENT}:
        raise HttpRefused(response.status, _retry_after(response))
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


def _encoding(response: http.client.HTTPResponse) -> str | None:
    """The name of the Content-Encoding, never in the server's own words; None where it changes nothing."""
    told = ",".join(response.headers.get_all("Content-Encoding", []))
    codings = {each.strip().lower() for each in told.split(",")} - _NO_ENCODING
    return (" and ".join(sorted(codings & _ENCODINGS)) or "something unknown") if codings else None


def _is_for_good(error: Exception) -> bool:
    """Tells whether the next try would end the same."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason in _WRONG_FOR_GOOD


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
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return f"what it answers makes no sense ({type(error).__name__})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
