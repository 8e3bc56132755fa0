"""The bytes of one HTTP response, read until they end or break off."""

import http.client
from typing import Final, NamedTuple

from lading.adapters.stream.errors import error_text
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.response import Response
from lading.adapters.web.stalls import StallDetector, Stalled
from lading.adapters.web.validators import Validators

__all__ = ["CONNECTION_ERRORS", "Answer", "Range", "failure_text"]

CONNECTION_ERRORS: Final = (OSError, http.client.HTTPException, ValueError)
"""OSError, and what http.client raises for an answer that makes no sense."""
_NO_ENCODING: Final = frozenset({"", "identity", "aws-chunked", "none", "binary", "utf-8"})
"""Content-Encodings that change no byte: two by RFC 9110, S3's own, and three that uploaders set by mistake."""
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
"""Content-Encodings that a message may name; any other would be the server's own words."""


class Range(NamedTuple):
    """The range of bytes that an answer has."""

    start: int
    stop: int | None
    """None: to an end that is not known."""
    total: int | None
    """Bytes of the whole."""


class Answer:
    """The bytes of one response, from `position` on."""

    def __init__(self, response: Response, given: Range, peer: tuple[str, str], stalls: StallDetector) -> None:
        self._response = response
        self._stalls = stalls
        self.position = given.start
        self.stop = given.stop
        self.total = given.total
        self.validators = Validators(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        self.media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.link = response.headers.get("Link", "")
        """Where more is (RFC 8288), as the server says it."""
        self.encoding = _encoding(response)
        """Names of the bytes' Content-Encodings; None: they are the image's own."""
        self.peer = peer
        """Scheme and authority of the server that answered. A redirect may lead to another one each time."""
        self.takes_ranges = response.status == http.client.PARTIAL_CONTENT or (
            response.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        )
        self.is_clean = True
        """The connection can be used again when this is done."""
        self._left: int | None = None
        """Bytes of the chunk at hand; None before the first."""

    def readinto(self, view: memoryview) -> int:
        """Reads some bytes; returns 0 only at the end. Raises SourceBroken."""
        try:
            with self._stalls:
                count = self._read_some(view)
                self._stalls.count(count)
                self._stalls.check()
        except Stalled:
            raise Stalled(f"the server stalled at byte {self.position}") from None
        except CONNECTION_ERRORS as error:
            raise SourceBroken(f"the connection broke off at byte {self.position}: {failure_text(error)}") from error
        self.position += count
        if count == 0 and self.stop is not None and self.position < self.stop:
            raise SourceBroken(f"the connection broke off at byte {self.position} of {self.stop}")
        if self.position == self.stop:
            self._response.close()
        return count

    def _read_some(self, view: memoryview) -> int:
        """Reads the bytes that are there, without waiting for a full view: else no trickle would be noticed."""
        if self._response.isclosed() or not view:
            return 0
        if self._response.chunked:
            return self._read_chunk(view)
        if self.stop is not None:
            view = view[: self.stop - self.position]
        # The response's own readinto waits until the buffer is full.
        return self._response.fp.readinto1(view)

    def _read_chunk(self, view: memoryview) -> int:
        if not self._left:
            self._left = self._response.next_chunk(is_first=self._left is None)
        if not self._left:
            # The image is whole. Trailers may follow, and never end: they are not read.
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


def failure_text(error: Exception) -> str:
    """An error of the connection in a message's words."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
        return f"the server's answer is malformed ({type(error).__name__})"
    return error_text(error)


def _encoding(response: http.client.HTTPResponse) -> str | None:
    """Names of the Content-Encodings, never in the server's own words; None where they change no byte."""
    header = ",".join(response.headers.get_all("Content-Encoding", []))
    codings = {each.strip().lower() for each in header.split(",")} - _NO_ENCODING
    return (" and ".join(sorted(codings & _ENCODINGS)) or "something unknown") if codings else None
