"""The second pipeline that a stage of the first one feeds."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from lading.adapters.stream import pipeline
from lading.adapters.stream.branch import Branch
from lading.adapters.stream.pipeline import Chunk, Chunks

PIECES = [bytes([number]) * 3 for number in range(1, 90)]


class Pieces:
    """A source of pieces, all in the pipeline's buffers."""

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        for number, piece in enumerate(PIECES):
            buffer = free()
            buffer[: len(piece)] = piece
            yield Chunk(number * 3, len(piece), buffer)


def nothing(_: object) -> None: ...


def collect(found: list[bytes], chunks: Chunks) -> None:
    found.extend(bytes(chunk.view) for chunk in chunks.chunks(bytearray))


def leave_after(count: int, chunks: Chunks) -> None:
    iterator = chunks.chunks(bytearray)
    for _ in range(count):
        next(iterator)


def fail_after(count: int, chunks: Chunks) -> None:
    leave_after(count, chunks)
    raise ValueError("it is broken")


def feed(consume: Callable[[Chunks], None], read: Callable[[int], None] = nothing) -> int:
    with Branch.running(consume) as branch:
        size = pipeline.run(Pieces(), (branch.take,), read)
        branch.finish()
    return size


def test_the_consumer_gets_all_chunks_in_order() -> None:
    found: list[bytes] = []
    feed(partial(collect, found))
    assert found == PIECES


@pytest.mark.parametrize("count", [0, 1, 5, len(PIECES)])
def test_a_consumer_may_leave_before_the_end(count: int) -> None:
    assert feed(partial(leave_after, count)) == 3 * len(PIECES)


@pytest.mark.parametrize("count", [0, 1, 5, len(PIECES)])
def test_the_consumer_s_fault_ends_the_first_pipeline(count: int) -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="broken"):
        feed(partial(fail_after, count))
    assert threading.active_count() == threads


@pytest.mark.parametrize("count", [0, 1, 5, len(PIECES) - 1])
def test_an_interrupt_of_the_first_pipeline_ends_the_consumer(count: int) -> None:
    found: list[bytes] = []
    rest = iter(range(count))

    def read(_: int) -> None:
        if next(rest, None) is None:
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        feed(partial(collect, found), read)
    assert threading.active_count() == threads
    assert found == PIECES[: count + 1]
