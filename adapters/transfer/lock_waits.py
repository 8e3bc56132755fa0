"""A word to whoever waits: for a server, or for another fetch.

For a server it is a record of the logger `lading.waiting`, at the level INFO: a program sees it in its log, and the
command line shows it on a terminal. For another fetch it is the request's observer that is told.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from lading.adapters.transfer.pipeline import join
from lading.ports.observer import SupportsWaiting

__all__ = ["LOGGER", "told_while_waiting", "waiting"]

LOGGER: Final = logging.getLogger("lading.waiting")
_QUIET_SECONDS: Final = 2.0
"""What takes no longer is not worth a word."""
_PAUSE_SECONDS: Final = 1.0


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


@contextmanager
def told_while_waiting(observer: SupportsWaiting, reason: Callable[[], str]) -> Iterator[None]:
    """Tells the observer the reason at once, and again every second while the block runs, from another thread."""
    over: queue.SimpleQueue[None] = queue.SimpleQueue()  # no Event: the pipeline says why
    told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def tell() -> None:
        try:
            is_over = False
            while not is_over:
                observer.waiting(reason())
                told.put(None)
                with suppress(queue.Empty):
                    over.get(timeout=_PAUSE_SECONDS)
                    is_over = True
        finally:
            told.put(None)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        told.get()
        yield
    finally:
        over.put(None)
        join(thread)
