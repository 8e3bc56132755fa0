"""Hashes by name: those of hashlib, BLAKE3, and both for disks that are mostly zeros."""

import hashlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, Protocol

__all__ = ["Hasher", "SparseHash", "content_algorithm", "new_hash"]

_SPARSE: Final = "_sparse"
_BLOCK: Final = 4096
_ZEROS: Final = bytes(_BLOCK)
_threads_of: Final[dict[str, int]] = {}
"""The process in which the threads of BLAKE3 were started: the package keeps them for all hashes."""


class Hasher(Protocol):
    """A running hash."""

    @property
    def digest_size(self) -> int:
        """Bytes."""
        ...

    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class SparseHash:
    """A running hash whose time is that of the data, not that of the disk's size.

    Bytes are seen in blocks of 4096. The digest is the plain hash of the text `DATA RUNS OPEN TAIL SIZE`:
    DATA is the plain hash of all blocks that are not zeros; RUNS that of `FIRST-END,` for each run of such blocks;
    OPEN the first block of a run that goes on to the last block, else empty; TAIL the hash of the bytes after the last
    block; SIZE the number of all bytes. Blocks are counted from 0, numbers are decimal, hashes hex. So the digest
    depends on the bytes alone, not on which zeros are holes.
    """

    def __init__(self, make: Callable[[], Hasher]) -> None:
        """`make` makes the plain hash."""
        self._make = make
        self._data, self._runs = make(), make()
        self._first: int | None = None
        """The first block of the run that goes on."""
        self._blocks = 0
        """Whole blocks so far."""
        self._tail = b""

    @property
    def digest_size(self) -> int:
        return self._data.digest_size

    def update(self, data: memoryview, /) -> None:
        if self._tail:
            missing = _BLOCK - len(self._tail)
            self._tail += data[:missing]
            data = data[missing:]
            if len(self._tail) < _BLOCK:
                return
            self._take(memoryview(self._tail))
        whole = len(data) - len(data) % _BLOCK
        self._take(data[:whole])
        self._tail = bytes(data[whole:])

    def update_zeros(self, length: int) -> None:
        """Takes so many zeros."""
        if self._tail:
            fill = min(_BLOCK - len(self._tail), length)
            self.update(memoryview(_ZEROS)[:fill])
            length -= fill
        if length >= _BLOCK:
            self._end_run(self._blocks)
            self._blocks += length // _BLOCK
        self.update(memoryview(_ZEROS)[: length % _BLOCK])

    def hexdigest(self) -> str:
        data, runs, tail = self._data.hexdigest(), self._runs.hexdigest(), self._hash_of(self._tail)
        opened = "" if self._first is None else self._first
        return self._hash_of(f"{data} {runs} {opened} {tail} {self._blocks * _BLOCK + len(self._tail)}".encode())

    def _take(self, blocks: memoryview) -> None:
        """Takes whole blocks. Hands on runs of data in one piece: a plain hash uses several threads then."""
        start: int | None = None
        for position in range(0, len(blocks), _BLOCK):
            # A copy: the comparison of a memoryview takes 20 times as long.
            if bytes(blocks[position : position + _BLOCK]) != _ZEROS:
                start = position if start is None else start
            elif start is not None:
                self._add_data(blocks[start:position], start // _BLOCK)
                self._end_run(self._blocks + position // _BLOCK)
                start = None
            else:
                self._end_run(self._blocks + position // _BLOCK)
        if start is not None:
            self._add_data(blocks[start:], start // _BLOCK)
        self._blocks += len(blocks) // _BLOCK

    def _add_data(self, data: memoryview, block: int) -> None:
        """`block`: of the data, among those that are taken now."""
        self._data.update(data)
        if self._first is None:
            self._first = self._blocks + block

    def _end_run(self, end: int) -> None:
        if self._first is not None:
            self._runs.update(memoryview(f"{self._first}-{end},".encode()))
            self._first = None

    def _hash_of(self, data: bytes) -> str:
        plain = self._make()
        plain.update(memoryview(data))
        return plain.hexdigest()


def new_hash(algorithm: str) -> Hasher:
    """A hash of this name; `_sparse` after it makes it a `SparseHash`. Raises ValueError where it cannot be computed.

    >>> new_hash("sha256").digest_size, new_hash("sha256_sparse").digest_size
    (32, 32)
    """
    if algorithm.endswith(_SPARSE):
        plain = algorithm.removesuffix(_SPARSE)
        new_hash(plain)
        return SparseHash(lambda: new_hash(plain))
    if algorithm != "blake3":
        return hashlib.new(algorithm, usedforsecurity=False)
    try:
        from blake3 import blake3  # noqa: PLC0415 - of an optional package
    except ImportError as error:
        raise ValueError("blake3 is not installed: pip install 'lading[convert]'") from error
    return blake3(max_threads=blake3.AUTO if _has_own_threads() else 1)


def _has_own_threads() -> bool:
    """False in a process that was forked after BLAKE3 had started its threads: it would wait for them for ever."""
    return _threads_of.setdefault("process", os.getpid()) == os.getpid()


def content_algorithm() -> str:
    """The fastest strong hash of this host, for bytes that no catalog has a digest of.

    Measured for 4 GiB of data, in seconds of processor time: BLAKE3 0.8, on all cores; SHA-256 2.6, with the
    processor's instructions for it; BLAKE2b 5.6; SHA-512 6.4. Zeros take next to nothing.
    """
    return ("sha256" if find_spec("blake3") is None else "blake3") + _SPARSE
