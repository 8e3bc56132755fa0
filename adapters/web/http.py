"""HTTP connections for images: ranges and each redirect are checked, credentials go to their own origin only.

Made of the standard library's client, which fills the caller's buffers; ARCHITECTURE.md has the measurements.
"""

import base64
import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.answer import CONNECTION_ERRORS, Answer, Range, failure_text
from lading.adapters.web.connections import (
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
from lading.adapters.web.retries import retry_after_seconds
from lading.adapters.web.stalls import StallDetector, Stalled
from lading.adapters.web.urls import PORTS, joined, web_url
from lading.ports.failures import SettingsError

__all__ = ["HttpConnection", "HttpOptions", "HttpRefused", "Origin", "Unusable", "peer_of"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS: Final = 5
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PERMANENT_TLS_ERRORS: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "NO_PROTOCOLS_AVAILABLE",
        "RECORD_LAYER_FAILURE",
    }
)
"""OpenSSL's reasons that are the same at the next try."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Timeouts in seconds, the network policy and the address guard."""

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """After the first byte: a server that sends next to nothing for so long is given up."""
    network: NetworkPolicy = DIRECT
    """Proxies and trusted certificates."""
    guard: Guard | None = None
    """The allowed servers of URLs and redirects; None: all, because the operator chose the server."""
    first_byte_seconds: float = 120.0
    """For an answer to begin, and again for its first byte of the image: a store may have to fetch the image first."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A URL and the headers of its requests. Credentials in the URL become a header; no repr shows either."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    sign: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False, compare=False)
    """Makes the headers that are valid for one request only, just before it is sent."""
    form: str | None = field(default=None, repr=False)
    """A form to POST, as `application/x-www-form-urlencoded`; None: the URL is requested by GET."""
    trusted: bool = False
    """The operator named this URL. The guard checks only redirects to other servers."""

    @classmethod
    def of(cls, url: str, *, trusted: bool = False) -> Self:
        """Raises ValueError for what is no http or https URL; its message shows no credentials."""
        parts, userinfo = web_url(url)
        if not userinfo:
            return cls(parts.geturl(), trusted=trusted)
        credentials = base64.b64encode(unquote(userinfo).encode()).decode()
        return cls(parts.geturl(), {"Authorization": f"Basic {credentials}"}, trusted=trusted)


_FORBIDDEN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})


class HttpRefused(SourceBroken):
    """The server answered with an error status."""

    def __init__(self, status: int, retry_after: float | None = None, proxy: Proxy | None = None) -> None:
        # Not in the server's own words, which may repeat credentials of the request.
        text = f"HTTP {status} {http.client.responses.get(status, '')}".strip()
        # A proxy's own refusals look like the server's.
        super().__init__(f"{text} (through the proxy {proxy})" if proxy else text)
        self.status = status
        self.is_forbidden = status in _FORBIDDEN
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""
        self.challenges: tuple[str, ...] = ()
        """`WWW-Authenticate` of the URL's own server; of one that it redirects to there is none."""


class Unusable(SourceBroken):
    """The server cannot be used, now or at the next try: because of a wrong certificate, for example."""


class HttpConnection:
    """One connection, kept open for the next answer where the server keeps it too. For one thread."""

    def __init__(self, options: HttpOptions, *, digest_decides: bool = False) -> None:
        """`digest_decides`: a digest tells wrong bytes, so that they may come in any encoding."""
        self._options = options
        self._digest_decides = digest_decides
        self._stalls = StallDetector(options.stall_seconds, options.first_byte_seconds)
        self._is_aborted = False
        self.was_redirected = False
        """The last request was answered by another URL than its own."""
        self._connection: http.client.HTTPConnection | None = None
        self._peer: tuple[str, str] | None = None
        self._answer: Answer | None = None
        self._response: Response | None = None
        self._proxy: Proxy | None = None
        """The proxy that requests are sent to, for http. For https a proxy only forwards bytes."""
        self._sock: socket.socket | None = None
        """The connection's socket. http.client itself forgets it where the server is going to close it."""

    def open(self, origin: Origin, start: int = 0, stop: int | None = None) -> Answer:
        """Requests the bytes from `start` to `stop`, and follows redirects.

        The answer begins at an earlier position where the server ignores ranges. Raises HttpRefused and SourceBroken.
        """
        headers = {"Accept-Encoding": "identity", "User-Agent": "lading"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        own = {**origin.headers, **(origin.sign() if origin.sign else {})}
        parts = urlsplit(origin.url)
        for hop in range(_MOST_HOPS + 1):
            self.was_redirected = hop > 0
            is_trusted = origin.trusted and _peer(parts) == peer_of(origin.url)
            try:
                guard = None if is_trusted else self._options.guard
                response = self._request(parts, {**headers, **own}, guard, origin.form)
            except Forbidden as forbidden:
                reason = f"the server redirects to a forbidden place: {forbidden}" if hop else str(forbidden)
                raise Forbidden(reason) from None
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return self._checked_answer(response, start, stop)
            self.close()
            if origin.form is not None:
                raise Forbidden("the server redirects a form, which may have credentials")
            target = _redirect_target(parts, location)
            if _peer(target) != _peer(parts):
                own = {}  # headers for one origin are not sent to another
            parts = target
        raise SourceBroken(f"the server redirects more than {_MOST_HOPS} times")

    def _checked_answer(self, response: Response, start: int, stop: int | None) -> Answer:
        """The response as an answer to the request for that range. Raises HttpRefused and SourceBroken."""
        try:
            given = _given_range(response, start, stop)
            self._answer = Answer(response, given, self._peer or ("", ""), self._stalls)
            if self._answer.encoding and not self._digest_decides:
                raise Unusable(
                    f"it comes encoded as {self._answer.encoding}, which was not asked for, "
                    "and no digest tells whether that is the image itself"
                )
        except SourceBroken as broken:
            if response.status == http.client.NOT_MODIFIED and not response.will_close:
                response.close()  # it has no body: the connection stays
            else:
                self.close()  # the body is not the image
            if isinstance(broken, HttpRefused) and not self.was_redirected:
                broken.challenges = tuple(response.headers.get_all("WWW-Authenticate", []))
            if isinstance(broken, HttpRefused) and self._proxy is not None:
                raise HttpRefused(broken.status, broken.retry_after, self._proxy) from None
            raise
        return self._answer

    def _request(
        self, parts: SplitResult, headers: Mapping[str, str], guard: Guard | None, form: str | None
    ) -> Response:
        """Sends a request, over a new connection where the present one leads elsewhere. Raises SourceBroken."""
        if guard is not None and (conflict := guard.conflict(parts.scheme, parts.hostname or "", _port(parts))):
            raise Forbidden(conflict)
        while True:
            is_fresh = not self._is_reusable(parts)
            try:
                if is_fresh:
                    self.close()
                    self._connect(parts, guard)
                return self._send(parts, headers, form)
            except SourceBroken as failure:
                self.close()
                if isinstance(failure, Stalled):
                    raise Stalled(f"{parts.netloc} stalled within its answer's head") from None
                raise
            except CONNECTION_ERRORS as error:
                self.close()
                if is_fresh or isinstance(error, TimeoutError):
                    kind = Unusable if _is_permanent(error) else SourceBroken
                    raise kind(f"{parts.netloc} cannot be reached: {failure_text(error)}") from error
            # A server may close a kept connection at any time. A fresh one tells whether the server works.

    def _send(self, parts: SplitResult, headers: Mapping[str, str], form: str | None) -> Response:
        """Sends a request over the connection, and reads the response's head."""
        if self._is_aborted:  # during the connect, when there was nothing to shut down
            raise SourceBroken("it was aborted")
        assert self._connection is not None  # noqa: S101 - the caller connected, or the connection is reusable
        self._connection.response_class = partial(Response, self._stalls)  # type: ignore[assignment] # it makes one
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        if self._proxy is not None:
            path, headers = f"{parts.scheme}://{parts.netloc}{path}", {**headers, **self._proxy.headers}
        with self._stalls:
            self._stalls.awaits_first_byte = True
            if form is None:
                self._connection.request("GET", path, headers=dict(headers))
            else:
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
                self._connection.request("POST", path, form.encode(), headers)
            response = self._connection.getresponse()
        assert isinstance(response, Response)  # noqa: S101 - the class is set above
        self._response = response
        if self._proxy is not None:
            require_credentials(response.status, self._proxy)
        return response

    def _connect(self, parts: SplitResult, guard: Guard | None) -> None:
        """Connects to the URL's server, or to its proxy. Raises SourceBroken and OSError."""
        host, port = parts.hostname or "", _port(parts)
        seconds = self._options.connect_seconds
        try:
            proxy = self._options.network.proxy_for(parts.scheme, host, port)
            context = self._options.network.tls_context() if parts.scheme == "https" else None
        except SettingsError as error:
            raise Forbidden(str(error)) from error
        if proxy is None:
            sock = connect_checked(host, port, seconds, guard)
        else:
            check_literal(host, guard)
            sock = connect_proxy(proxy, seconds)
        self._sock = sock
        try:
            if context is not None:
                if proxy is not None:
                    sock.settimeout(self._options.stall_seconds)  # the proxy connects in its turn
                    open_tunnel(sock, proxy, host, port, self._options.stall_seconds)
                    sock.settimeout(seconds)
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
                # Anybody between can end a connection without TLS's close_notify: only a digest tells that.
                sock = context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=self._digest_decides)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=seconds)
        except BaseException:
            sock.close()
            raise
        self._connection.auto_open = 0  # it never connects by itself, past the guard
        self._connection.sock = self._sock = sock
        self._peer = _peer(parts)
        self._proxy = proxy if context is None else None
        sock.settimeout(self._options.stall_seconds)

    def _is_reusable(self, parts: SplitResult) -> bool:
        return (
            self._connection is not None
            and self._connection.sock is not None
            and self._peer == _peer(parts)
            and (self._answer is None or (self._answer.is_done and self._answer.is_clean))
        )

    def abort(self) -> None:
        """Makes a wait for the server fail at once. May be called from another thread."""
        self._is_aborted = True
        if (sock := self._sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection, also in the middle of an answer."""
        # A connection that ends with its answer belongs to the answer.
        for each in (self._response, self._connection):
            if each is not None:
                each.close()
        self._response = self._connection = self._answer = self._sock = None


def _redirect_target(parts: SplitResult, location: str) -> SplitResult:
    """The URL that a redirect leads to. Raises Forbidden where it may not be followed."""
    try:
        target = joined(parts, location).parts
    except ValueError:
        raise Forbidden("the server redirects to what is not an http or https URL") from None
    if parts.scheme == "https" and target.scheme == "http":
        raise Forbidden("the server redirects from https to http")
    return target


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS.get(parts.scheme, 80)


def peer_of(url: str) -> tuple[str, str]:
    """The scheme and authority of an http or https URL."""
    return _peer(urlsplit(url))


def _peer(parts: SplitResult) -> tuple[str, str]:
    """The origin (RFC 6454): the scheme, the host and the port, by default the scheme's."""
    return parts.scheme, f"{parts.hostname}:{_port(parts)}"


def _given_range(response: http.client.HTTPResponse, start: int, stop: int | None) -> Range:
    """The range of bytes in the response. Raises HttpRefused for an error status, and SourceBroken for nonsense."""
    if response.status not in {http.client.OK, http.client.PARTIAL_CONTENT}:
        raise HttpRefused(response.status, retry_after_seconds(response.headers.get("Retry-After", "")))
    length = response.length
    if response.status == http.client.OK:
        return Range(0, length, length)
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        raise SourceBroken("it answers with a range, and does not say which")
    first, last = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if first != start or last < first or (stop is not None and last >= stop) or (total is not None and last >= total):
        raise SourceBroken(f"it answers with other bytes than were asked for ({found[0]})")
    if length is not None and length != last - first + 1:
        raise SourceBroken(f"its length, {length}, is not that of the range that it names ({found[0]})")
    return Range(first, last + 1, total)


def _is_permanent(error: Exception) -> bool:
    """Tells whether the next try would end the same."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason in _PERMANENT_TLS_ERRORS
