"""Interrupts at chosen places.

CPython runs a signal's handler when a C function has returned, before its result is assigned, and at the start of a
Python function. A profile function is called at the same places, so what it raises comes as an interrupt does.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

__all__ = ["Calls", "Interrupted"]

_SYSTEM: Final = {"posix", "fcntl"}


class Interrupted(BaseException):
    """As KeyboardInterrupt is."""


class Calls:
    """Counts the places in this thread where a signal may be handled; raises Interrupted at one of them."""

    def __init__(self, interrupt: int | None = None, counts: Callable[[str], bool] = lambda _: True) -> None:
        """`counts` tells of a file of Python code whether its places count."""
        self.seen, self._interrupt, self._counts = 0, interrupt, counts

    def run(self, act: Callable[[], object]) -> None:
        sys.setprofile(self._count)
        try:
            act()
        finally:
            sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, called: object) -> None:
        # A system call may also be interrupted before it has an effect.
        is_before = event == "c_call" and getattr(called, "__module__", "") in _SYSTEM
        if (event in {"call", "c_return"} or is_before) and self._counts(frame.f_code.co_filename):
            self.seen += 1
            if self.seen == self._interrupt:
                raise Interrupted
