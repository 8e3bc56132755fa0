"""Tells a server that has stopped, or sends next to nothing, from one that is only slow."""

import time
from types import TracebackType
from typing import Final, Self

from lading.adapters.stream.pipeline import SourceBroken

__all__ = ["LEAST_RATE", "FirstByteTimeout", "StallDetector", "Stalled"]

LEAST_RATE: Final = 1024
"""Bytes of the image a second, over `stall_seconds`. A server that sends less is stalled, however steadily it sends."""


class Stalled(SourceBroken):
    """The server sends next to nothing of the image."""


class FirstByteTimeout(SourceBroken):
    """The server did not begin to answer in time. It is not asked again: that would take as long."""


class StallDetector:
    """Measures the progress of one reader, over all its connections.

    Only time inside a `with` block counts: the time in which the reader waits for a server. `check` is called whenever
    anything comes from the network, because bytes that are not the image's can keep a read from ending.
    """

    def __init__(self, stall_seconds: float, first_byte_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self.first_byte_seconds = first_byte_seconds
        self.awaits_first_byte = False
        """The next wait may take `first_byte_seconds`, and does not count."""
        self._since = 0.0
        self._waited = 0.0
        self._bytes = 0

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waited += time.monotonic() - self._since

    def count(self, received: int) -> None:
        """Counts bytes of the image."""
        self._bytes += received
        self.awaits_first_byte = False

    def discount_wait(self) -> None:
        """Leaves the wait that has just ended out of account."""
        self._since = time.monotonic()

    def check(self) -> None:
        """Raises Stalled when fewer bytes than the least rate came in the last `stall_seconds`."""
        now = time.monotonic()
        self._waited, self._since = self._waited + now - self._since, now
        if self._waited < self.stall_seconds:
            return
        is_stalled = self._bytes < LEAST_RATE * self.stall_seconds
        self._waited, self._bytes = 0.0, 0
        if is_stalled:
            raise Stalled("the server stalled")
