"""Small documents on servers: checksum files, listings, indexes. Bounded in bytes and in time."""

import time
from typing import Final, NamedTuple

from lading.adapters.codec.sizes import exact_size
from lading.adapters.web.http import HttpConnection, Origin, Unusable
from lading.adapters.web.validators import Validators

__all__ = ["WebDocument", "read_document", "read_with_validators"]

_MOST: Final = 1 << 20
_SECONDS: Final = 60.0
_PIECE: Final = 1 << 16


class WebDocument(NamedTuple):
    """A document, and what the server says of its state."""

    content: bytes
    validators: Validators


def read_document(connection: HttpConnection, origin: Origin, *, most: int = _MOST) -> bytes:
    """Reads a document of at most `most` bytes, in about a minute at most. Raises HttpRefused and SourceBroken."""
    return read_with_validators(connection, origin, most, _SECONDS).content


def read_with_validators(connection: HttpConnection, origin: Origin, most: int, seconds: float) -> WebDocument:
    """Reads a document of at most `most` bytes, within these seconds. Raises as `read_document` does."""
    deadline = time.monotonic() + seconds
    answer = connection.open(origin)
    body, piece = bytearray(), memoryview(bytearray(_PIECE))
    while len(body) <= most and (answer.stop or 0) <= most:
        if time.monotonic() > deadline:
            raise Unusable(f"it takes longer than {seconds:g} seconds")
        if not (count := answer.readinto(piece)):
            return WebDocument(bytes(body), answer.validators)
        body += piece[:count]
    connection.close()
    raise Unusable(f"it has more than {exact_size(most)}")
