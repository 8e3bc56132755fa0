"""Log records that say which server is waited for.

The logger is `lading.waiting`, the level INFO. A program finds them in its log; the command line shows them on a
terminal.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from lading.adapters.stream.threads import watchdog

__all__ = ["LOGGER", "logged_wait"]

LOGGER: Final = logging.getLogger("lading.waiting")
_QUIET_SECONDS: Final = 2.0
"""A shorter wait is not logged."""


@contextmanager
def logged_wait(url: str) -> Iterator[None]:
    """Logs the URL's scheme and authority, and nothing else of it, if the block takes longer than two seconds."""
    scheme, netloc, *_ = urlsplit(url)
    with watchdog(_QUIET_SECONDS, partial(LOGGER.info, f"waiting for {scheme}://{netloc.rpartition('@')[2]}")):
        yield
