"""An event for threads that stays usable when an interrupt comes at any moment."""

import queue
from contextlib import suppress

__all__ = ["Event"]


class Event:
    """As `threading.Event`, which is written in Python: an interrupt within it can leave its lock locked for ever.

    Threads wait in a SimpleQueue, which is written in C.
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[queue.SimpleQueue[None]] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Ends the waiting of all threads. Where an interrupt ended it, it can be called again."""
        self._is_set = True
        for each in tuple(self._waiting):
            each.put(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the event is set, at most so long. Returns whether it is set."""
        turn: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiting.append(turn)
        try:
            if not self._is_set:  # looked at after the append: `set` does it the other way round
                with suppress(queue.Empty):
                    turn.get(timeout=seconds)
        finally:
            self._waiting.remove(turn)
        return self._is_set
