"""What a thread holds, so that it can take it again."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

__all__ = ["ReentrantLocks"]


@dataclass(slots=True)
class _Hold:
    release: Callable[[], None]
    times: int = 1


class ReentrantLocks:
    """The names that threads hold, each with what lets go of it."""

    def __init__(self) -> None:
        self._held: Final[dict[tuple[int, int, str], _Hold]] = {}

    @contextmanager
    def hold(self, name: str, acquire: Callable[[], Callable[[], None] | None]) -> Iterator[bool]:
        """Hold it while the block runs. `acquire` gives what lets go of it; None when it can't be had."""
        # Only this thread ever touches its own keys: no lock. A child that is forked off holds nothing of its parent's.
        process = os.getpid()
        key = (process, threading.get_ident(), name)
        hold = self._held.get(key)
        if hold is not None:
            hold.times += 1
        elif (release := acquire()) is not None:
            hold = self._held[key] = _Hold(release)
        try:
            yield hold is not None
        finally:
            if hold is not None and os.getpid() == process:
                hold.times -= 1
                if hold.times == 0:
                    del self._held[key]
                    hold.release()
