"""Verification of several targets at once."""

import threading
from contextlib import closing
from typing import Final

import pytest
from returns.result import Failure, Success
from tests.unit.dispatcher.pool import RECORDED

from lading.adapters.cli.verifications import Verified, verify_each
from lading.domain.failures import NotAssociated
from lading.ports.observer import Observer

TARGETS: Final = [f"/vms/{number}" for number in range(7)]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)


MISSING: Final[dict[str, Verified]] = {each: Failure(NotAssociated(each)) for each in TARGETS}


def missing(target: str, _observer: Observer) -> Verified:
    return MISSING[target]


def test_outcomes_come_in_the_order_of_the_targets() -> None:
    last_is_done = threading.Event()

    def first_is_slow(target: str, observer: Observer) -> Verified:
        if target == TARGETS[0]:
            last_is_done.wait()
        elif target == TARGETS[-1]:
            last_is_done.set()
        return missing(target, observer)

    assert list(verify_each(first_is_slow, TARGETS)) == list(MISSING.items())


def test_as_many_targets_are_read_at_once_as_there_are_cores() -> None:
    both = threading.Barrier(2)

    def together(_target: str, _observer: Observer) -> Verified:
        both.wait()
        return Success(RECORDED)

    assert list(verify_each(together, TARGETS[:4])) == [(each, Success(RECORDED)) for each in TARGETS[:4]]


def test_one_target_is_verified_on_the_calling_thread() -> None:
    threads: list[threading.Thread] = []

    def noting(target: str, observer: Observer) -> Verified:
        threads.append(threading.current_thread())
        observer.progress(1, 2)
        return missing(target, observer)

    assert list(verify_each(noting, TARGETS[:1])) == [(TARGETS[0], MISSING[TARGETS[0]])]
    assert threads == [threading.current_thread()]


def test_without_targets_nothing_is_verified() -> None:
    assert not list(verify_each(missing, []))


def test_an_exception_reaches_the_caller_and_ends_the_others() -> None:
    reading, ended = threading.Event(), threading.Event()

    def endless(observer: Observer) -> None:
        try:
            while True:
                reading.set()
                observer.progress(1, None)
        finally:
            ended.set()

    def failing(target: str, observer: Observer) -> Verified:
        if target == TARGETS[1]:
            endless(observer)
        reading.wait()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), closing(verify_each(failing, TARGETS)) as outcomes:
        list(outcomes)
    assert ended.is_set()


def test_closing_ends_what_is_still_read() -> None:
    begun: list[str] = []
    reading = threading.Event()

    def second_is_endless(target: str, observer: Observer) -> Verified:
        begun.append(target)
        if target == TARGETS[0]:
            reading.wait()
            return missing(target, observer)
        while True:
            reading.set()
            observer.progress(1, None)

    with closing(verify_each(second_is_endless, TARGETS)) as outcomes:
        assert next(outcomes)[0] == TARGETS[0]
    assert len(begun) <= 3
    assert not any(each.name.startswith("verify ") for each in threading.enumerate())
