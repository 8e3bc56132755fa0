"""Threads that are started and ended whole, also when an interrupt comes at any moment."""

import os
import threading
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lading.adapters.stream.event import Event

__all__ = ["Thread", "join", "running", "watchdog"]


class Thread:
    """A daemon thread whose start and end an interrupt does not break. `running` and `join` wait for its end.

    `threading.Thread` starts and joins in Python. An interrupt within its `start` can leave the thread waiting for
    ever. Before Python 3.13, one within its `join` makes a thread that still runs count as ended.
    """

    def __init__(self, work: Callable[[], object], name: str | None = None) -> None:
        """`name`: as in `threading.Thread`."""
        self._work, self._name = work, name
        self._thread: threading.Thread | None = None
        self._process = 0
        self._launches: list[int] = []
        self._started, self._ended = Event(), Event()
        self._fault: BaseException | None = None

    def start(self) -> None:
        """Starts the work. Raises RuntimeError when the system allows no further thread."""
        self._process = os.getpid()
        # One call in C: an interrupt comes before or after it, and the list tells which.
        self._launches.extend(map(start_new_thread, [self._launch], [()]))
        self._started.wait()
        if self._fault is not None:
            raise self._fault

    def wait(self, seconds: float | None = None) -> bool:
        """Waits at most so long for the end of the work. Returns whether it has ended, or was not started."""
        # A forked child does not have its parent's threads.
        if not self._launches or os.getpid() != self._process:
            return True
        if not self._ended.wait(seconds):
            return False
        if self._fault is None and self._thread is not None:
            self._thread.join()  # a moment: nothing but its end is left
        return True

    def _launch(self) -> None:
        """Makes and starts the thread in another one, where no signal is handled.

        Python 3.13.0 cannot start a thread that was made before a fork in the child.
        """
        try:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        except BaseException as fault:  # noqa: BLE001 - raised again by `start`
            self._fault = fault
            self._ended.set()
        finally:
            self._started.set()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()


def join(*threads: Thread, give_up: Callable[[], object] | None = None) -> None:
    """Waits until all threads have ended. An interrupt that comes meanwhile calls `give_up`, and is raised afterwards.

    A thread that still runs could write to a descriptor that its owner has closed, and that is another file by then.
    """
    interrupt: BaseException | None = None
    while True:
        try:
            for thread in threads:
                thread.wait()
            break
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
            if give_up is not None:
                give_up()
    if interrupt is not None:
        raise interrupt


@contextmanager
def running(
    threads: Sequence[Thread], tell: Callable[[], object], give_up: Callable[[], object] | None = None
) -> Iterator[None]:
    """Runs the threads while the block runs. When it ends, no thread is left.

    `tell` tells the threads to end; it may be called again. For `give_up` see `join`.
    """
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        try:
            _end(threads, tell, give_up)
        except BaseException:
            _end(threads, tell, give_up)  # an interrupt may have ended it anywhere
            raise


def _end(threads: Sequence[Thread], tell: Callable[[], object], give_up: Callable[[], object] | None) -> None:
    tell()
    join(*threads, give_up=give_up)


@contextmanager
def watchdog(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Calls `act` on another thread when the block takes longer than these seconds. When it ends, no call goes on."""
    over = Event()
    with running([Thread(lambda: over.wait(seconds) or act())], over.set):
        yield
