"""A word to whoever waits for a server.

It is a record of the logger `lading.waiting`, at the level INFO: a program sees it in its log, and the command line
shows it on a terminal.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["LOGGER", "waiting"]

LOGGER: Final = logging.getLogger("lading.waiting")
_QUIET_SECONDS: Final = 2.0
"""What takes no longer is not worth a word."""


@contextmanager
def waiting(server: str) -> Iterator[None]:
    """Says what is waited for, if the block takes longer than two seconds."""
    timer = threading.Timer(_QUIET_SECONDS, LOGGER.info, ["waiting for %s", server])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
