"""Reports to an observer, while a fetch waits, what it waits for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from lading.adapters.stream.event import Event
from lading.adapters.stream.threads import Thread, running
from lading.ports.observer import SupportsWaiting

__all__ = ["reported_wait"]

_PAUSE_SECONDS: Final = 1.0


@contextmanager
def reported_wait(observer: SupportsWaiting, reason: Callable[[], str]) -> Iterator[None]:
    """Reports the reason to the observer at once, and again every second while the block runs, from another thread."""
    over, reported = Event(), Event()
    with running([Thread(partial(_report, observer, reason, over, reported))], over.set):
        reported.wait()
        yield


def _report(observer: SupportsWaiting, reason: Callable[[], str], over: Event, reported: Event) -> None:
    try:
        while True:
            observer.waiting(reason())
            reported.set()
            if over.wait(_PAUSE_SECONDS):
                break
    finally:
        reported.set()
