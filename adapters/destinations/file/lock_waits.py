"""Tells an observer what a fetch waits for, while it waits."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lading.adapters.stream.threads import join, start
from lading.ports.observer import SupportsWaiting

__all__ = ["told_while_waiting"]

_PAUSE_SECONDS: Final = 1.0


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
    start(thread)
    try:
        told.get()
        yield
    finally:
        over.put(None)
        join(thread)
