"""The retry policy: which HTTP statuses are retried, how often, and after which wait."""

import random
import time
from typing import Final

__all__ = ["MOST_TRIES", "TRANSIENT_STATUSES", "backoff", "retry_after_seconds"]

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The next try may succeed."""
MOST_TRIES: Final = 5
"""Tries in a row before a server is given up."""
_LONGEST_WAIT: Final = 60.0
"""Seconds, whatever the server asks for."""


def backoff(failures: int, *, first_wait: float, retry_after: float | None = None) -> float:
    """Seconds to wait after so many failures in a row: random, and no less than the server asks for.

    The limit is `first_wait`, and doubles with each failure. The wait is anything up to the limit (full jitter), so
    that clients which failed together do not come back together.
    """
    own = random.uniform(0, min(first_wait * 2 ** (failures - 1), _LONGEST_WAIT))  # noqa: S311 - no secret
    return max(own, min(retry_after or 0.0, _LONGEST_WAIT))


def retry_after_seconds(header: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date (RFC 9110, section 10.2.3); None: it does not.

    >>> retry_after_seconds("120"), retry_after_seconds("soon"), retry_after_seconds("Thu, 01 Jan 1970 00:00:00 GMT")
    (120.0, None, 0.0)
    """
    text = header.strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - few servers send dates

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
