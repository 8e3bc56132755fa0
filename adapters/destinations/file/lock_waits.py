"""Reports to an observer, while a fetch waits, what it waits for."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lading.adapters.stream.threads import join, start
from lading.ports.observer import SupportsWaiting

__all__ = ["reported_wait"]

_PAUSE_SECONDS: Final = 1.0


@contextmanager
def reported_wait(observer: SupportsWaiting, reason: Callable[[], str]) -> Iterator[None]:
    """Reports the reason to the observer at once, and again every second while the block runs, from another thread."""
    over: queue.SimpleQueue[None] = queue.SimpleQueue()  # not an Event: see the pipeline
    reported: queue.SimpleQueue[None] = queue.SimpleQueue()
    thread = threading.Thread(target=_report, args=(observer, reason, over, reported), daemon=True)
    start(thread)
    try:
        reported.get()
        yield
    finally:
        over.put(None)
        join(thread)


def _report(
    observer: SupportsWaiting,
    reason: Callable[[], str],
    over: "queue.SimpleQueue[None]",
    reported: "queue.SimpleQueue[None]",
) -> None:
    try:
        is_over = False
        while not is_over:
            observer.waiting(reason())
            reported.put(None)
            with suppress(queue.Empty):
                over.get(timeout=_PAUSE_SECONDS)
                is_over = True
    finally:
        reported.put(None)
