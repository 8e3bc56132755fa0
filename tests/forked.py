"""Acts in a process that is forked off here."""

import os
from collections.abc import Callable


def forked(act: Callable[[], bool]) -> int:
    """A process that is forked off here, does this, and ends."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return child


def in_a_child(act: Callable[[], bool]) -> bool:
    """What the act answers in a process that is forked off here."""
    status = os.waitstatus_to_exitcode(os.waitpid(forked(act), 0)[1])
    assert status in {0, 1}
    return status == 0
