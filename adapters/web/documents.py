"""Small documents on servers: checksum files, listings, indexes. Bounded in bytes and in time."""

import time
from typing import Final

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpConnection, Origin

__all__ = ["read_document"]

_MOST: Final = 1 << 20
_SECONDS: Final = 60.0
_PIECE: Final = 1 << 16


def read_document(connection: HttpConnection, origin: Origin, *, most: int = _MOST) -> bytes:
    """Reads a document of at most `most` bytes, in about a minute at most. Raises HttpRefused and SourceBroken."""
    deadline = time.monotonic() + _SECONDS
    answer = connection.open(origin)
    body, piece = bytearray(), memoryview(bytearray(_PIECE))
    while len(body) <= most and (answer.stop or 0) <= most:
        if time.monotonic() > deadline:
            raise SourceBroken(f"it takes longer than {_SECONDS:g} seconds")
        if not (count := answer.readinto(piece)):
            return bytes(body)
        body += piece[:count]
    connection.close()
    raise SourceBroken(f"it has more than {most} bytes")
