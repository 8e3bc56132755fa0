"""Threads that are started while an interrupt comes."""

import threading

import pytest
from typing_extensions import override

from lading.adapters.stream.threads import join, start


class Interrupted(threading.Thread):
    """One whose start is interrupted where a Condition hides it behind a RuntimeError."""

    @override
    def start(self) -> None:
        super().start()
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")


class Unstartable(threading.Thread):
    @override
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_an_interrupt_that_a_condition_hides_is_raised_as_itself() -> None:
    thread = Interrupted(target=str)
    with pytest.raises(KeyboardInterrupt):
        start(thread)
    join(thread)
    assert not thread.is_alive()


def test_a_thread_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="can't start new thread"):
        start(Unstartable(target=str))
