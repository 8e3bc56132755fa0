"""What an interrupted fetch leaves, in words."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from returns.result import Failure, Result
from tests.reference import RecordingCatalog
from tests.unit.recovery.host import FETCHING, NOBLE, WHOLE, Pool, answers

from lading import Dispatcher, Landing, PartialData, Refusal, Unavailable, Work
from lading.adapters.cli.interruption import Interruption, interruptible_fetch
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.domain.ledger import lock_name

TARGET = FETCHING.target


class Recovering(Pool):
    """A pool that recovers as told."""

    found: Callable[..., Result[Landing | PartialData, Refusal]] = answers(PartialData())

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        return self.found(work, keep)


def left(
    found: Callable[..., Result[Landing | PartialData, Refusal]], locks: MemoryLocks, number: int = signal.SIGINT
) -> Interruption:
    pool, journal = Recovering(), MemoryJournal()
    pool.found = found
    journal.begin(replace(FETCHING, image=NOBLE)).unwrap()
    dispatcher = Dispatcher([pool], RecordingCatalog([NOBLE], []), MemoryAssociations(), journal=journal, locks=locks)
    with pytest.raises(Interruption) as raised, interruptible_fetch(dispatcher, TARGET):
        raise Interruption(number)
    return raised.value


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (answers(PartialData()), (f"nothing is kept: {TARGET} is as it was before",)),
        (answers(WHOLE), (f"the fetch is complete: lading show {TARGET}",)),
        (
            answers(PartialData(5)),
            ("5 B of 10 B are kept", "to resume: repeat the command", f"to discard: lading recover --discard {TARGET}"),
        ),
        (
            answers(PartialData(5, incomplete=True)),
            (
                f"{TARGET} is incomplete: it has 5 B of 10 B",
                "to resume: repeat the command",
                f"to discard: lading recover --discard {TARGET}",
            ),
        ),
        (
            lambda *_: Failure(Unavailable("no quorum")),
            ("it is not known what is left: no quorum", f"to find out: lading recover {TARGET}"),
        ),
    ],
)
def test_an_interrupted_fetch_tells_what_is_left(
    found: Callable[..., Result[Landing | PartialData, Refusal]], lines: tuple[str, ...]
) -> None:
    assert left(found, MemoryLocks()).left == lines


def test_a_target_that_another_works_on_is_left_to_it() -> None:
    locks = MemoryLocks()
    with _held_elsewhere(locks, lock_name(TARGET)):
        assert left(answers(PartialData(5)), locks).left == (f"another process works on {TARGET}",)


@contextmanager
def _held_elsewhere(locks: MemoryLocks, name: str) -> Iterator[None]:
    """Another thread holds the name for the duration of the block."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.hold(name):
            held.set()
            over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    try:
        yield
    finally:
        over.set()
        holder.join()


def test_a_storage_is_not_called_after_a_signal() -> None:
    dispatcher = Dispatcher([], RecordingCatalog([], []), MemoryAssociations())
    with pytest.raises(Interruption) as raised, interruptible_fetch(dispatcher, "rbd:vms/1"):
        raise Interruption(signal.SIGTERM)
    assert raised.value.left == ("the next lading command finishes or undoes what was begun",)
    assert (raised.value.reason, raised.value.code) == ("ended by SIGTERM", 143)
