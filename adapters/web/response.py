"""An HTTP response whose head is parsed strictly, where the standard library's client is lenient.

http.client takes a connection's end for the end of the head, an invalid length for none, and 103 for the answer
(RFC 9112, RFC 8297). Without a digest nothing else would tell that an image is not whole.
"""

import http.client
import io
import re
import socket
from typing import Any, Final

from lading.adapters.web.stalls import FirstByteTimeout, StallDetector

__all__ = ["Response"]

_LONGEST_LINE: Final = 65536
_MOST_LINES: Final = 200
_MOST_INTERIM: Final = 10
"""Answers of 1xx before the final one: a slow server may send some."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01][ \t]+([0-9]{3})(?:[ \t].*)?\r?\n")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([^\r\n\0]*?)[ \t]*\r?\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_BLANK: Final = frozenset({b"\r\n", b"\n"})


class Response(http.client.HTTPResponse):
    """http.client's response with a strict head, whose reads are checked for stalls."""

    def __init__(self, stalls: StallDetector, sock: socket.socket, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - http.client's own
        super().__init__(sock, *arguments, **options)
        self._stalls = stalls
        self.fp = io.BufferedReader(_CheckedSocket(sock, self.fp.detach(), stalls))

    def begin(self) -> None:
        """Reads the head. Raises OSError, http.client's HTTPException, Stalled and FirstByteTimeout."""
        if self.headers is not None:
            return
        reader = self.fp
        try:
            self.fp = io.BytesIO(self._final_head(reader))  # while it is parsed
            super().begin()
        except BaseException:
            self.fp = None  # as http.client has it when it is closed
            reader.close()
            raise
        self.fp = reader
        self._stalls.awaits_first_byte = True

    def next_chunk(self, *, is_first: bool) -> int:
        """Bytes of the next chunk; 0: there is none, and the body is whole. Raises HTTPException, OSError.

        Trailers, which may follow the last chunk, are not read.
        """
        if not is_first and self.fp.readline(3) not in _BLANK:
            raise http.client.HTTPException("a chunk is longer than it says")
        found = _CHUNK.fullmatch(_line(self.fp))
        if found is None:
            raise http.client.HTTPException("a chunk has no length")
        return int(found[1], 16)

    def _final_head(self, reader: io.BufferedReader) -> bytes:
        """The head of the final answer, rewritten so that it cannot be parsed in two ways."""
        for _ in range(_MOST_INTERIM):
            lines = _head(reader)
            status = _STATUS.fullmatch(lines[0])
            if status is None or not status[1].startswith(b"1"):
                return b"".join([lines[0], *_fields(lines[1:]), b"\r\n"])
            if status[1] == b"101":
                raise http.client.HTTPException("the server changes to a protocol that was not requested")
            self._stalls.awaits_first_byte = True
        raise http.client.HTTPException("the server sends only interim answers")


class _CheckedSocket(io.RawIOBase):
    """A socket's bytes, each read checked for a stall."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, stalls: StallDetector) -> None:
        self._sock, self._raw, self._stalls = sock, raw, stalls

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 - RawIOBase's own
        if not self._stalls.awaits_first_byte:
            self._stalls.check()
            return self._raw.readinto(buffer)
        self._stalls.awaits_first_byte = False
        self._sock.settimeout(self._stalls.first_byte_seconds)
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            raise FirstByteTimeout(f"the server sent nothing for {self._stalls.first_byte_seconds:g} seconds") from None
        finally:
            self._sock.settimeout(self._stalls.stall_seconds)
            self._stalls.discount_wait()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _head(reader: io.BufferedReader) -> list[bytes]:
    """The lines before the blank one, without which the head is not whole."""
    lines: list[bytes] = []
    while len(lines) < _MOST_LINES:
        line = reader.readline(_LONGEST_LINE + 1)
        if not line and not lines:
            raise http.client.RemoteDisconnected("the server closed the connection without an answer")
        if not line.endswith(b"\n"):
            if len(line) > _LONGEST_LINE:
                raise http.client.LineTooLong("header line")
            raise ConnectionError("the server's answer ends within its head")
        if line in _BLANK and lines:
            return lines
        lines.append(line)
    raise http.client.HTTPException("the server's answer has too many header lines")


def _line(reader: io.BufferedReader) -> bytes:
    line = reader.readline(_LONGEST_LINE + 1)
    if not line.endswith(b"\n") and len(line) <= _LONGEST_LINE:
        raise ConnectionError("the connection ended")
    return line


def _fields(lines: list[bytes]) -> list[bytes]:
    """The header's lines, unfolded: at most one length, and no transfer coding but chunked. Raises HTTPException."""
    fields: list[tuple[bytes, bytes]] = []
    for line in _unfolded(lines):
        found = _FIELD.fullmatch(line)
        if found is None:
            raise http.client.HTTPException("the server's answer has a malformed header line")
        fields.append((found[1], found[2]))
    lengths = _values(fields, b"content-length")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise http.client.HTTPException("the server's answer has contradicting lengths")
    if _values(fields, b"transfer-encoding") not in (set(), {b"chunked"}, {b"identity"}):
        raise http.client.HTTPException("its transfer coding is unknown")
    kept = [b"%b: %b\r\n" % field for field in fields if field[0].lower() != b"content-length"]
    return [*kept, *(b"Content-Length: %b\r\n" % length for length in lengths)]


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """The fields, one a line (RFC 9112, section 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in {b" ", b"\t"} and whole:
            whole[-1] = whole[-1].rstrip() + b" " + line.lstrip(b" \t")
        else:
            whole.append(line)
    return whole


def _values(fields: list[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    """The different values of a field that is a list."""
    return {each.strip().lower() for key, value in fields if key.lower() == name for each in value.split(b",")}
