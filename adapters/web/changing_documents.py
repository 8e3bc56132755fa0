"""Documents of a server that change now and then, such as indexes: requested again only where they have changed."""

import time
from dataclasses import replace
from typing import Final

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.connections import Forbidden
from lading.adapters.web.documents import WebDocument, read_with_validators
from lading.adapters.web.http import HttpConnection, HttpOptions, HttpRefused, Origin, Unusable
from lading.adapters.web.retries import TRANSIENT_STATUSES, backoff
from lading.adapters.web.stalls import FirstByteTimeout
from lading.adapters.web.validators import Validators

__all__ = ["ChangingDocuments", "is_transient"]

_NOT_MODIFIED: Final = 304
_TRIES: Final = 3
_MOST_SECONDS: Final = 300.0
"""For one answer."""
_FIRST_WAIT: Final = 0.5
"""Seconds before the first retry, at most."""


class ChangingDocuments:
    """Reads documents by URLs that the operator named, over one connection where it can be kept. For one thread."""

    def __init__(self, options: HttpOptions) -> None:
        self._connection = HttpConnection(options)

    def read(self, url: str, limit: int) -> WebDocument:
        """The document. Raises SourceBroken, and ValueError for what is no URL.

        A document of more than `limit` bytes is Unusable, which is a SourceBroken.
        """
        return self._retried(Origin.of(url, trusted=True), limit)

    def read_changed(self, url: str, limit: int, known: Validators) -> WebDocument | None:
        """The document; None where the server says that it still has the known state (RFC 9110, section 13).

        Raises as `read` does.
        """
        origin = Origin.of(url, trusted=True)
        try:
            return self._retried(replace(origin, headers={**origin.headers, **_conditions(known)}), limit)
        except HttpRefused as refused:
            if refused.status == _NOT_MODIFIED:
                return None
            raise

    def _retried(self, origin: Origin, limit: int) -> WebDocument:
        for failures in range(1, _TRIES):
            try:
                return read_with_validators(self._connection, origin, limit, _MOST_SECONDS)
            except SourceBroken as broken:
                if not is_transient(broken) or isinstance(broken, FirstByteTimeout):
                    raise
                retry_after = broken.retry_after if isinstance(broken, HttpRefused) else None
                time.sleep(backoff(failures, first_wait=_FIRST_WAIT, retry_after=retry_after))
        return read_with_validators(self._connection, origin, limit, _MOST_SECONDS)

    def close(self) -> None:
        self._connection.close()


def is_transient(broken: SourceBroken) -> bool:
    """Tells whether the server may answer at another time: it is away, overloaded or restarted."""
    if isinstance(broken, HttpRefused):
        return broken.status in TRANSIENT_STATUSES
    return not isinstance(broken, Forbidden | Unusable)


def _conditions(known: Validators) -> dict[str, str]:
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in conditions.items() if value is not None}
