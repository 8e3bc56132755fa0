"""The pipeline's buffers: bounded, and reused by the pipelines to come."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lading.adapters.stream import pipeline
from lading.adapters.stream.pipeline import BUFFERS, CHUNK, Chunk, SourceBroken
from lading.adapters.stream.sources import StreamSource

SIZE = 2 * BUFFERS * CHUNK


class Zeros(io.RawIOBase):
    """As many bytes as wanted, without taking time to make them."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return len(buffer)


def buffers_of(size: int) -> set[int]:
    """Which buffers a pipeline uses for so many bytes."""
    used: set[int] = set()
    pipeline.run(StreamSource(Zeros(), size), (lambda chunk: used.add(id(chunk.buffer)),), lambda _: None)
    return used


def test_a_pipeline_reuses_the_buffers_of_the_one_before() -> None:
    first = buffers_of(SIZE)
    assert 0 < len(first) <= BUFFERS
    assert buffers_of(SIZE) <= first | {id(each) for each in pipeline._spare}  # noqa: SLF001 - nothing else has them


def test_no_more_buffers_are_kept_than_one_pipeline_needs() -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(buffers_of, [SIZE] * 8))
    assert 0 < len(pipeline._spare) <= BUFFERS  # noqa: SLF001 - nothing else has them


def test_a_small_image_takes_few_buffers() -> None:
    pipeline._spare.clear()  # noqa: SLF001 - nothing else has them
    buffers_of(CHUNK // 2)
    assert len(pipeline._spare) <= 3  # noqa: SLF001 - nothing else has them


def test_two_pipelines_at_a_time_share_no_buffer() -> None:
    class Nested:
        def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
            yield Chunk(0, CHUNK, outer := free())
            used.update(buffers_of(SIZE))
            assert id(outer) not in used

    used: set[int] = set()
    hold = pipeline.run(Nested(), (), lambda _: None)
    assert hold == CHUNK


def test_a_broken_source_gives_its_buffers_back() -> None:
    class Broken:
        def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
            yield Chunk(0, CHUNK, free())
            raise SourceBroken("it broke off")

    pipeline._spare.clear()  # noqa: SLF001 - nothing else has them
    with pytest.raises(SourceBroken):
        pipeline.run(Broken(), (lambda _: None,), lambda _: None)
    assert len(pipeline._spare) == 1  # noqa: SLF001 - nothing else has them


def test_a_buffer_of_another_size_is_not_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Owning:
        def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
            yield Chunk(0, 9, bytearray(9))
            yield Chunk(9, CHUNK, free())

    sizes: list[int] = []
    pipeline.run(Owning(), (lambda chunk: sizes.append(len(chunk.buffer or b"")),), lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "CHUNK", 1 << 17)
        pipeline.run(Owning(), (lambda chunk: sizes.append(len(chunk.buffer or b"")),), lambda _: None)
    pipeline.run(Owning(), (lambda chunk: sizes.append(len(chunk.buffer or b"")),), lambda _: None)
    assert sizes == [9, CHUNK, 9, 1 << 17, 9, CHUNK]
