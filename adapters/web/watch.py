"""Tells a server that has stopped, or sends next to nothing, from one that is only slow."""

import time
from types import TracebackType
from typing import Final, Self

from lading.adapters.stream.pipeline import SourceBroken

__all__ = ["LEAST_RATE", "Silent", "Stalled", "Watch"]

LEAST_RATE: Final = 1024
"""Bytes of the image a second, over a stall's length. A server that sends less is stalled, however steadily it does."""


class Stalled(SourceBroken):
    """The server sends next to nothing of the image."""


class Silent(SourceBroken):
    """The server did not begin to answer. It had its time: asking it again takes as long."""


class Watch:
    """Measures one reader's progress, over all its connections.

    Only time inside a `with` block counts, that is while the reader waits for a server. `check` is called whenever
    anything comes from the network: what keeps a read from ending comes from there too.
    """

    def __init__(self, stall_seconds: float, first_byte_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self.first_byte_seconds = first_byte_seconds
        self.is_patient = False
        """The next wait may be as long as that for the first byte, and does not count."""
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

    def received(self, count: int) -> None:
        """Counts bytes of the image."""
        self._bytes += count
        self.is_patient = False

    def forgive(self) -> None:
        """Leaves the wait that has just ended out of account."""
        self._since = time.monotonic()

    def check(self) -> None:
        """Raises Stalled when too little came for as long as a stall takes."""
        now = time.monotonic()
        self._waited, self._since = self._waited + now - self._since, now
        if self._waited < self.stall_seconds:
            return
        is_stalled = self._bytes < LEAST_RATE * self.stall_seconds
        self._waited, self._bytes = 0.0, 0
        if is_stalled:
            raise Stalled("it stalled")
