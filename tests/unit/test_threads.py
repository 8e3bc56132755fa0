"""Threads that are started and ended while an interrupt comes."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest
from tests.forked import in_a_child
from tests.interrupts import Interrupted, interrupt_each

from lading.adapters.stream.event import Event
from lading.adapters.stream.threads import Thread, join, watchdog

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
GUARD: Final = 60.0
"""Seconds after which something hangs."""


def threads_of_the_system() -> set[str]:
    """The ids of this process's threads, also of those that hang before Python knows them."""
    return {*os.listdir("/proc/self/task")}


def all_end(before: set[str]) -> bool:
    """Whether no thread is left but those before."""
    give_up = time.monotonic() + GUARD
    while threads_of_the_system() - before:
        if time.monotonic() > give_up:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGALRM interrupts this thread."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    usual = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, usual)


def test_an_interrupt_at_any_moment_leaves_no_thread_behind() -> None:
    running: list[Thread] = []

    def run() -> None:
        thread = Thread(lambda: running.append(thread))
        try:
            thread.start()
        finally:
            join(thread)
            running.clear()

    before, known = threads_of_the_system(), threading.enumerate()
    for place in interrupt_each(run, SEED):
        assert all_end(before), place
        assert threading.enumerate() == known, place


def test_an_interrupt_of_a_join_is_raised_when_the_work_has_ended(interrupts: None) -> None:
    over, ended = Event(), Event()

    def work() -> None:
        over.wait()
        time.sleep(0.05)
        ended.set()

    thread = Thread(work)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(Interrupted):
        join(thread, give_up=over.set)
    assert ended.is_set()


def test_each_of_several_interrupts_is_told(interrupts: None) -> None:
    over, told = Event(), list[None]()

    def give_up() -> None:
        told.append(None)
        if len(told) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            over.set()

    threads = [Thread(over.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    with pytest.raises(Interrupted):
        join(*threads, give_up=give_up)
    assert [thread.wait(0) for thread in threads] == [True, True]


def test_a_thread_that_was_not_started_has_nothing_to_wait_for() -> None:
    assert Thread(str).wait()


def test_a_wait_ends_after_its_time() -> None:
    over = Event()
    thread = Thread(over.wait)
    thread.start()
    assert not thread.wait(0.01)
    over.set()
    assert thread.wait(GUARD)


def test_a_thread_that_cannot_be_started_is_an_error() -> None:
    before = threads_of_the_system()
    usual = threading.stack_size(1 << 46)  # bytes, more than the address space has
    try:
        thread = Thread(str)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
    finally:
        threading.stack_size(usual)
    join(thread)
    assert all_end(before)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_thread_that_is_the_first_too_many_is_an_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The one that starts it could be started."""

    def refuse(thread: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", refuse)
    thread = Thread(str)
    with pytest.raises(type(error)):
        thread.start()
    join(thread)


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    over, not_started = Event(), Thread(str)
    thread = Thread(over.wait)
    thread.start()

    def start_in_child() -> bool:
        not_started.start()
        return not_started.wait(GUARD)

    assert in_a_child(thread.wait)
    assert in_a_child(start_in_child)
    over.set()
    join(thread)


def test_a_watchdog_acts_after_its_time() -> None:
    acted = Event()
    with watchdog(0.01, acted.set):
        assert acted.wait(GUARD)


def test_a_watchdog_does_nothing_after_its_block() -> None:
    before, acted = threads_of_the_system(), list[int]()
    with watchdog(GUARD, lambda: acted.append(1)):
        pass
    assert not acted
    assert all_end(before)


def test_an_interrupted_watchdog_does_nothing_later() -> None:
    acted: list[int] = []

    def watch() -> None:
        with watchdog(GUARD, lambda: acted.append(1)):
            pass

    before = threads_of_the_system()
    for place in interrupt_each(watch, SEED):
        assert all_end(before), place
    assert not acted
