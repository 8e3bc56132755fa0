"""A word to whoever waits for a server.

It is a record of the logger `lading.waiting`, at the level INFO: a program sees it in its log, and the command line
shows it on a terminal.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

__all__ = ["LOGGER", "waiting"]

LOGGER: Final = logging.getLogger("lading.waiting")
_QUIET_SECONDS: Final = 2.0
"""What takes no longer is not worth a word."""


@contextmanager
def waiting(url: str) -> Iterator[None]:
    """Says which server is waited for, if the block takes longer than two seconds. Of the URL nothing else is told."""
    scheme, netloc, *_ = urlsplit(url)
    timer = threading.Timer(_QUIET_SECONDS, LOGGER.info, [f"waiting for {scheme}://{netloc.rpartition('@')[2]}"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
