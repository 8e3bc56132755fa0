"""Verification of several targets at once, on all cores."""

import os
import queue
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Final

from returns.result import Result

from lading.adapters.stream.threads import Thread
from lading.domain.failures import TargetFailure
from lading.ports.association import Association
from lading.ports.observer import Observer

__all__ = ["Verified", "verify_each"]

Verified = Result[Association, TargetFailure]
Verify = Callable[[str, Observer], Verified]
_PATIENCE: Final = 3.0
"""Seconds for the threads to end after an interrupt. One that waits for a lock of another process does not end."""


class _Stopped(BaseException):
    """Ends a verification whose outcome nobody waits for."""


class _Stop:
    """An observer that can end the verifications that it observes."""

    def __init__(self) -> None:
        self.is_set = False

    def progress(self, done: int, total: int | None) -> None:
        if self.is_set:
            raise _Stopped


def verify_each(verify: Verify, targets: Sequence[str]) -> Generator[tuple[str, Verified], None, None]:
    """Yields each target with its outcome, in order. Close the generator, which ends what still runs.

    One target is verified on the calling thread. Raises what `verify` raises.
    """
    stop = _Stop()
    if len(targets) == 1:
        yield targets[0], verify(targets[0], stop)
        return
    # The calling thread shares only SimpleQueues with the others: an interrupt cannot leave one of those locked.
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Verified | BaseException]] = queue.SimpleQueue()
    for number in range(len(targets)):
        waiting.put(number)
    width = min(len(targets), os.cpu_count() or 1)
    threads = [
        Thread(partial(_work, verify, targets, stop, waiting, done), f"verify {number}") for number in range(width)
    ]
    try:
        for thread in threads:
            thread.start()
        outcomes: dict[int, Verified | BaseException] = {}
        for number, target in enumerate(targets):
            while number not in outcomes:
                finished, outcome = done.get()
                outcomes[finished] = outcome
            outcome = outcomes.pop(number)
            if isinstance(outcome, BaseException):
                raise outcome
            yield target, outcome
    finally:
        stop.is_set = True
        give_up = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.wait(max(give_up - time.monotonic(), 0))


def _work(
    verify: Verify,
    targets: Sequence[str],
    stop: _Stop,
    waiting: "queue.SimpleQueue[int]",
    done: "queue.SimpleQueue[tuple[int, Verified | BaseException]]",
) -> None:
    """Takes targets until none is left."""
    while not stop.is_set:
        try:
            number = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((number, verify(targets[number], stop)))
        except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
            done.put((number, error))
