"""Small files on web servers, such as lists and signatures: read whole, with validators, within bounds."""

import time
from typing import Final, NamedTuple

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.connections import Forbidden
from lading.adapters.web.http import HttpConnection, HttpOptions, HttpRefused, Origin, Unusable
from lading.adapters.web.retries import TRANSIENT_STATUSES, backoff
from lading.adapters.web.validators import Validators

__all__ = ["SmallFile", "SmallFiles", "is_transient"]

_NOT_MODIFIED: Final = 304
_TRIES: Final = 3
_MOST_SECONDS: Final = 300.0
"""For one answer, from its head to its end."""
_PIECE: Final = 1 << 18


class SmallFile(NamedTuple):
    """A file, and what the server says of its state."""

    content: bytes
    validators: Validators


class SmallFiles:
    """Reads files of servers, over one connection where it can be kept. For one thread."""

    def __init__(self, options: HttpOptions, *, first_wait: float = 0.5) -> None:
        """`first_wait`: seconds before the first retry."""
        self._connection = HttpConnection(options)
        self._first_wait = first_wait

    def read(self, url: str, limit: int) -> SmallFile:
        """The file. Raises SourceBroken, and ValueError for what is no URL.

        A file of more than `limit` bytes is Unusable, which is a SourceBroken.
        """
        return self._retried(Origin.of(url), limit)

    def read_changed(self, url: str, limit: int, known: Validators) -> SmallFile | None:
        """The file; None where the server says that it still has the known state (RFC 9110, section 13).

        Raises as `read` does.
        """
        origin = Origin.of(url)
        try:
            return self._retried(Origin(origin.url, {**origin.headers, **_conditions(known)}), limit)
        except HttpRefused as refused:
            if refused.status == _NOT_MODIFIED:
                return None
            raise

    def _retried(self, origin: Origin, limit: int) -> SmallFile:
        for failures in range(1, _TRIES):
            try:
                return self._read(origin, limit)
            except SourceBroken as broken:
                if not is_transient(broken):
                    raise
                retry_after = broken.retry_after if isinstance(broken, HttpRefused) else None
                time.sleep(backoff(failures, first_wait=self._first_wait, retry_after=retry_after))
        return self._read(origin, limit)

    def close(self) -> None:
        self._connection.close()

    def _read(self, origin: Origin, limit: int) -> SmallFile:
        answer = self._connection.open(origin)
        deadline = time.monotonic() + _MOST_SECONDS
        content, piece = bytearray(), memoryview(bytearray(_PIECE))
        while count := answer.readinto(piece):
            content += piece[:count]
            if len(content) > limit:
                raise Unusable(f"it is larger than {limit} bytes")
            if time.monotonic() > deadline:
                raise Unusable(f"it took longer than {_MOST_SECONDS:g} seconds")
        return SmallFile(bytes(content), answer.validators)


def is_transient(broken: SourceBroken) -> bool:
    """Tells whether the server may answer at another time: it is away, overloaded or restarted."""
    if isinstance(broken, HttpRefused):
        return broken.status in TRANSIENT_STATUSES
    return not isinstance(broken, Forbidden | Unusable)


def _conditions(known: Validators) -> dict[str, str]:
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in conditions.items() if value is not None}
