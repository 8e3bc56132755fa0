"""Interrupts at chosen places.

CPython runs a signal's handler when a C function has returned, before its result is assigned, and at the start of a
Python function. A profile function is called at the same places, so what it raises comes as an interrupt does.
"""

import _weakrefset
import gc
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Final, TypeVar

__all__ = ["Calls", "Interrupted", "elsewhere", "interrupt_each"]

_GUARD: Final = 60.0
"""Seconds after which something hangs."""
_Result = TypeVar("_Result")
_SYSTEM: Final = {"posix", "fcntl"}
_CALLBACKS: Final = {_weakrefset.__file__, weakref.__file__}
"""Python drops what is raised in a callback of a weak reference. CPython 3.11 breaks when that ends the profiling."""


class Interrupted(BaseException):
    """As KeyboardInterrupt is."""


class Calls:
    """Counts the places in this thread where a signal may be handled; raises Interrupted at one of them."""

    def __init__(self, interrupt: int | None = None, counts: Callable[[str], bool] = lambda _: True) -> None:
        """`counts` tells of a file of Python code whether its places count."""
        self.seen, self._interrupt, self._counts = 0, interrupt, counts

    def run(self, act: Callable[[], object]) -> None:
        # The collector's callbacks, as Hypothesis has one, are no places of the act. Python drops what is raised there.
        gc.disable()
        sys.setprofile(self._count)
        try:
            act()
        finally:
            sys.setprofile(None)
            gc.enable()

    def _count(self, frame: FrameType, event: str, called: object) -> None:
        # A system call may also be interrupted before it has an effect.
        is_before = event == "c_call" and getattr(called, "__module__", "") in _SYSTEM
        path = frame.f_code.co_filename
        if (event in {"call", "c_return"} or is_before) and path not in _CALLBACKS and self._counts(path):
            self.seen += 1
            if self.seen == self._interrupt:
                raise Interrupted


def interrupt_each(
    act: Callable[[], object], seed: int, *, most: int = 0, counts: Callable[[str], bool] = lambda _: True
) -> Iterator[str]:
    """Interrupts the act at each place, or at `most` of them. Yields after each what a failure should name."""
    for _ in range(2):  # the first one has more places: it loads modules, and makes connections
        whole = Calls(counts=counts)
        whole.run(act)
    places = range(1, whole.seen + 1)
    for place in random.Random(seed).sample(places, min(most or len(places), len(places))):
        with suppress(Interrupted):  # Python drops what is raised while it deletes a generator
            Calls(place, counts).run(act)
        yield f"place {place} of {len(places)}, LADING_SEED={seed}"


def elsewhere(act: Callable[[], _Result]) -> _Result:
    """The result of another thread. It is left behind where it hangs."""
    found: list[_Result] = []
    thread = threading.Thread(target=lambda: found.append(act()), daemon=True)
    thread.start()
    thread.join(_GUARD)
    assert found, "it hangs, or has failed"
    return found[0]
