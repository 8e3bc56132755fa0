"""Early write-back: which bytes the kernel is told of, and what its refusals mean."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

import pytest

from lading.adapters.stream import write_back
from lading.adapters.stream.write_back import WriteBack

MEBIBYTE: Final = 1 << 20


class Kernel:
    """Notes the ranges whose write-back begins, and answers as it is told."""

    def __init__(self, refusal: int = 0) -> None:
        self.ranges: list[tuple[int, int]] = []
        self._refusal = refusal

    def __call__(self, descriptor: int, offset: int, count: int, flags: int) -> int:
        self.ranges.append((offset, count))
        ctypes.set_errno(self._refusal)
        return -1 if self._refusal else 0


def begun_by(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> WriteBack:
    monkeypatch.setattr(write_back, "_sync_file_range", lambda: kernel)
    return WriteBack(5)


def test_write_back_begins_in_steps_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    written = begun_by(monkeypatch, kernel := Kernel())
    for end in (1, 7, 8, 15, 17, 90, 91):
        written.wrote(end * MEBIBYTE)
    assert kernel.ranges == [(0, 8 * MEBIBYTE), (8 * MEBIBYTE, 9 * MEBIBYTE), (17 * MEBIBYTE, 73 * MEBIBYTE)]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOSPC])
def test_after_a_refusal_only_the_flush_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    written = begun_by(monkeypatch, kernel := Kernel(number))
    written.wrote(8 * MEBIBYTE)
    written.wrote(16 * MEBIBYTE)
    assert len(kernel.ranges) == 1


def test_a_disk_that_fails_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = begun_by(monkeypatch, Kernel(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        written.wrote(8 * MEBIBYTE)


def test_the_kernel_takes_the_call_for_a_file_and_refuses_it_for_a_pipe(tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as disk:
        disk.truncate(8 * MEBIBYTE)
        WriteBack(disk.fileno()).wrote(8 * MEBIBYTE)
    reader, writer = os.pipe()
    WriteBack(writer).wrote(8 * MEBIBYTE)
    os.close(reader)
    os.close(writer)


def test_without_such_a_call_only_the_flush_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_back, "_sync_file_range", lambda: None)
    WriteBack(-1).wrote(8 * MEBIBYTE)
