"""Threads that are started and ended whole, also when an interrupt comes at any moment."""

import threading
from collections.abc import Callable

__all__ = ["join", "start"]


def start(thread: threading.Thread) -> None:
    """Starts the thread. An interrupt that comes meanwhile is raised as itself.

    `Thread.start` waits in a Condition. An interrupt there can leave the Condition's lock released, so that the release
    at the end of its block raises a RuntimeError, which hides the interrupt.
    """
    try:
        thread.start()
    except RuntimeError as error:
        hidden = error.__context__
        if hidden is None or isinstance(hidden, Exception):
            raise
        raise hidden from None


def join(*threads: threading.Thread, give_up: Callable[[], None] | None = None) -> None:
    """Waits until all threads have ended. An interrupt that comes meanwhile calls `give_up`, and is raised afterwards.

    A thread that still runs could write to a descriptor that its owner has closed, and that is another file by then.
    """
    interrupt: BaseException | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:  # noqa: BLE001 - raised again below
                interrupt = error
                if give_up is not None:
                    give_up()
    if interrupt is not None:
        raise interrupt
