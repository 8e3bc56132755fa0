"""What the bytes turn out to be, beside what the catalog promises of them."""

import hashlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from returns.result import Failure, Result, Success

from lading.adapters.formats.inspection import Inspection, agrees, inspected_by, not_a_disk, unsafe
from lading.adapters.formats.other_files import PACKED, OtherFile
from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks
from lading.adapters.stream.sources import FileSource
from lading.domain.refusals import Mismatched, Refusal, Unsupported
from lading.ports.image import Digest, Image

__all__ = ["Audit", "Audited", "digest_flaw"]

_ZEROS: Final = bytes(CHUNK)
_SECTOR: Final = 512
_SHOWN: Final = 12
"""Digits of a digest in a message."""


class Audited(NamedTuple):
    """Bytes that are what they should be, as far as it could be told."""

    size: int
    digest: Digest | None
    verified: bool
    inspected_by: str | None
    """What looked at its format and found it safe, with its version; None when nothing did."""


class Audit:
    """Hashes and inspects one image's bytes as they come by, on one thread."""

    def __init__(self, image: Image | None, promised: Digest | None, inspection: Inspection | None) -> None:
        """`promised` names the algorithm that is computed, and what it shall give."""
        self.expected_digest = promised
        self._image = image
        self._hash = hashlib.new(promised.algorithm, usedforsecurity=False) if promised else None
        self._known: Digest | None = None
        self._inspection = inspection

    @classmethod
    def of(
        cls, image: Image | None, *, verify: bool, inspect: bool, digest: Digest | None = None
    ) -> "Result[Audit, Refusal]":
        """An audit against what the catalog promises of the image; a refusal when it promises what can't be checked.

        `digest` is another promise, to be kept instead of the image's own.
        """
        promised = digest or (image.expected_digest if image and verify else None)
        if promised and (flaw := digest_flaw(promised)) is not None:
            return Failure(Unsupported(f"the catalog's digest {flaw}"))
        return Success(cls(image, promised, Inspection(footer=_declared(image) == "vhd") if inspect else None))

    @classmethod
    def none(cls) -> Self:
        """One that finds nothing."""
        return cls(None, None, None)

    @property
    def is_hashing(self) -> bool:
        return self._hash is not None

    def take(self, chunk: Chunk) -> None:
        """The next bytes: a stage of the pipeline."""
        for piece in _pieces(chunk):
            if self._hash is not None:
                self._hash.update(piece)
            if self._inspection is not None and not self._inspection.is_decided:
                self._inspection.feed(piece)

    def trust(self, digest: Digest) -> None:
        """These very bytes were hashed before, and this came out."""
        self._known = digest

    def prepare(self) -> None:
        """Load what inspects, ahead of the first bytes."""
        if self._inspection is not None:
            self._inspection.prepare()

    def inspect(self, source: Chunks) -> None:
        """Look at as much of the source as the inspection needs, and no more."""
        if self._inspection is None:
            return
        buffer = bytearray(CHUNK)
        for chunk in source.chunks(lambda: buffer):
            for piece in _pieces(chunk):
                self._inspection.feed(piece)
                if self._inspection.needs_only_the_footer and isinstance(source, FileSource):
                    self._inspection.feed_end(source.last_bytes(_SECTOR), source.size)
                if self._inspection.is_decided:
                    return

    @property
    def digest(self) -> Digest | None:
        """What the bytes hash to; None when that wasn't asked for."""
        if self._known is not None or self.expected_digest is None or self._hash is None:
            return self._known
        return Digest(self.expected_digest.algorithm, self._hash.hexdigest())

    @property
    def knows_the_format(self) -> bool:
        """Whether no more bytes are needed to tell the format and its dangers."""
        return self._inspection is not None and self._inspection.is_decided

    def verdict(self, size: int) -> Result[Audited, Refusal]:
        """After the last byte, the `size`th: whether it is the image that the catalog means."""
        # Before size and digest, which differ because of it.
        if (refusal := self._other_file()) is not None:
            return Failure(refusal)
        if self._image and self._image.size not in {None, size}:
            return Failure(Mismatched(f"it has {size} bytes, the catalog promises {self._image.size}"))
        digest = self.digest
        if self.expected_digest and digest != self.expected_digest:
            return Failure(Mismatched(f"its digest is {digest}, the catalog promises {self.expected_digest}"))
        if (refusal := self._format()) is not None:
            return Failure(refusal)
        inspector = inspected_by() if self._inspection is not None else None
        return Success(Audited(size, digest, verified=self.expected_digest is not None, inspected_by=inspector))

    def format_refusal(self) -> Refusal | None:
        """Why the image is refused whatever else comes of it, once `knows_the_format`."""
        return self._other_file() or self._format()

    def _other_file(self) -> Refusal | None:
        other = self._inspection.other_file() if self._inspection is not None else None
        if other is None or _is_declared(self._image, other):
            return None
        return Mismatched(not_a_disk(other))

    def _format(self) -> Refusal | None:
        if self._inspection is None:
            return None
        declared, found = _declared(self._image), self._inspection.formats()
        if not agrees(declared, found):
            names = " and ".join(sorted(found))
            return Mismatched(f"its format is {names}, the catalog promises {declared}")
        # Also where it is said to be something else, or nothing: whoever opens it next may well look for itself.
        dangers = self._inspection.dangers()
        return Mismatched(unsafe(dangers)) if dangers else None


def digest_flaw(digest: Digest) -> str | None:
    """What is wrong with a digest that no bytes can have, or that can't be computed here; in words, None for nothing.

    >>> digest_flaw(Digest("md5", "ab"))
    'is no md5: expected 32 hex digits, got ab'
    """
    try:
        size = hashlib.new(digest.algorithm, usedforsecurity=False).digest_size
    except ValueError:
        size = 0
    if not size:  # the SHAKEs have no size of their own
        return f"is a {digest.algorithm}, which cannot be computed here"
    if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", digest.value):
        got = (
            digest.value
            if len(digest.value) <= _SHOWN
            else f"{digest.value[:_SHOWN]}… ({len(digest.value)} characters)"
        )
        return f"is no {digest.algorithm}: expected {2 * size} hex digits, got {got}"
    return None


def _declared(image: Image | None) -> str | None:
    """The format that the bytes themselves should have; inside another container (ova, compressed) it isn't seen."""
    return image.disk_format if image is not None and image.container_format in {None, "bare"} else None


def _is_declared(image: Image | None, other: OtherFile) -> bool:
    """Whether the catalog says that the image is such a file: by its format, or that it holds one in a container."""
    if image is None:
        return False
    declared = _declared(image)
    if declared is None:
        return image.container_format not in {None, "bare"} and other.name in PACKED
    return agrees(declared, frozenset({other.name}))


def _pieces(chunk: Chunk) -> Iterator[memoryview]:
    """The chunk's bytes, a hole's zeros included, at most a buffer's length at a time."""
    if chunk.buffer is not None:
        yield chunk.view
        return
    for start in range(0, chunk.length, CHUNK):
        yield memoryview(_ZEROS)[: min(CHUNK, chunk.length - start)]
