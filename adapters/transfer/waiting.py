"""A word to whoever waits: for a server, or for another fetch.

For a server it is a record of the logger `lading.waiting`, at the level INFO: a program sees it in its log, and the
command line shows it on a terminal. For another fetch it is the request's observer that is told.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from lading.ports.observer import SupportsWaiting

__all__ = ["LOGGER", "told_while_waiting", "waiting"]

LOGGER: Final = logging.getLogger("lading.waiting")
_QUIET_SECONDS: Final = 2.0
"""What takes no longer is not worth a word."""
_PAUSE_SECONDS: Final = 1.0


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


@contextmanager
def told_while_waiting(observer: SupportsWaiting, reason: Callable[[], str]) -> Iterator[None]:
    """Tells the observer the reason at once, and again every second while the block runs, from another thread."""
    over, told = threading.Event(), threading.Event()

    def tell() -> None:
        try:
            while not over.is_set():
                observer.waiting(reason())
                told.set()
                over.wait(_PAUSE_SECONDS)
        finally:
            told.set()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        told.wait()
        yield
    finally:
        over.set()
        thread.join()
