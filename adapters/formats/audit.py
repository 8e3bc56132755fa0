"""The audit of an image's bytes: digest, size, format and safety, compared with the catalog."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple, Protocol, Self

from returns.result import Failure, Result, Success

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.hashing import SparseHash, new_hash
from lading.adapters.formats.inspection import Inspection, agrees, inspected_by, not_a_disk, unsafe
from lading.adapters.formats.other_files import PACKED, OtherFile
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, Chunk, Chunks
from lading.adapters.stream.sources import FileSource
from lading.domain.refusals import Mismatched, Refusal, TooLarge, Unsafe, Unsupported
from lading.ports.image import Digest, Image, Signer

__all__ = [
    "Audit",
    "Audited",
    "SignatureCheck",
    "digest_flaw",
    "digest_mismatch",
    "disk_too_large",
    "is_kept_packed",
    "size_mismatch",
]

_ZEROS: Final = bytes(CHUNK)
_SECTOR: Final = 512
_UNPACKED: Final = frozenset({None, "bare", "ova", "compressed"})
"""The containers, as Glance names them, whose images are disks, also in a packed file."""
_SHOWN: Final = 12
"""Digits of a digest that a message shows."""


class Audited(NamedTuple):
    """The result of an audit without a refusal."""

    size: int
    digest: Digest | None
    verified: bool
    inspected_by: str | None
    """Name and version of the inspector that found the format safe; None: it was not inspected."""
    format: str | None
    """The disk's format; None: it was not inspected."""
    virtual_size: int | None
    """Bytes of the disk that a guest sees; None: it is not known."""
    signed_by: Signer | None = None
    """The key that signed the bytes, or the document that has their digest; None: no signature was verified."""

    def proven_by(self, other: "Audited") -> Self:
        """These facts, with what the other audit proved of the same image."""
        return self._replace(verified=self.verified or other.verified, signed_by=self.signed_by or other.signed_by)


class SignatureCheck(Protocol):
    """Verifies a signature over bytes that come piece by piece."""

    def take(self, data: memoryview, /) -> None:
        """Takes the next bytes."""
        ...

    def signer(self) -> Signer:
        """The key that signed all the bytes that were taken. Raises Refused where the signature does not count."""
        ...

    def close(self) -> None:
        """Ends the check. May be called again."""
        ...


class Audit:
    """Hashes and inspects one image's bytes as they pass, on one thread."""

    def __init__(
        self,
        image: Image | None,
        expected: Digest | None,
        inspection: Inspection | None,
        *,
        algorithm: str | None = None,
    ) -> None:
        """`expected` names the algorithm to compute and the expected result.

        `algorithm`: computed where nothing is expected; None: nothing is hashed then.
        """
        self.expected_digest = expected
        self._image = image
        self._algorithm = expected.algorithm if expected else algorithm
        self._hash = new_hash(self._algorithm) if self._algorithm else None
        self._known: Digest | None = None
        self.most: int | None = None
        """The largest disk that a guest may see, in bytes; None: any."""
        self.signature: SignatureCheck | None = None
        """Gets all bytes, and must find that the signature counts."""
        self.check_format: Callable[[str, int | None], None] | None = None
        """Gets the format, and bytes of the disk where they are known, as soon as they are; may raise Refused."""
        self._inspection = inspection
        self._checks_format = inspection is not None

    @classmethod
    def of(
        cls,
        image: Image | None,
        *,
        verify: bool,
        inspect: bool,
        digest: Digest | None = None,
        algorithm: str | None = None,
    ) -> "Result[Audit, Refusal]":
        """An audit against the catalog's description of the image; a refusal where its digest cannot be computed.

        `digest` replaces the image's own. `algorithm`: computed where the image has none.
        """
        expected = digest or (image.expected_digest if image and verify else None)
        if expected and (flaw := digest_flaw(expected)) is not None:
            return Failure(Unsupported(f"the catalog's digest {flaw}"))
        inspection = Inspection(footer=_declared(image) == "vhd") if inspect else None
        return Success(cls(image, expected, inspection, algorithm=algorithm))

    @classmethod
    def of_content(
        cls, image: Image | None, *, verify: bool, inspect: bool, algorithm: str | None = None
    ) -> "Result[Audit, Refusal]":
        """An audit of the disk in a packed image, like `of`."""
        content = image and replace(
            image, size=image.content_size, digest=image.content_digest, checksum=None, container_format=None,
            disk_format=None if image.disk_format in PACKED else image.disk_format,
        )  # fmt: skip
        return cls.of(content, verify=verify, inspect=inspect, algorithm=algorithm)

    @classmethod
    def none(cls) -> Self:
        """An audit that checks nothing."""
        return cls(None, None, None)

    @property
    def is_hashing(self) -> bool:
        """All bytes are needed: for their digest, or for their signature."""
        return self._hash is not None or self.signature is not None

    def suppose(self, other: OtherFile) -> None:
        """Takes the bytes for such a file where no format is recognized. Call it before the first bytes."""
        if self._inspection is not None:
            self._inspection.suppose(other)

    def ignore_format(self) -> None:
        """Leaves the format unchecked from here on: the bytes are packed, and the disk in them has its own audit."""
        self._checks_format = False

    def take_strictly(self, chunk: Chunk) -> None:
        """Takes the next bytes. Raises Refused as soon as their format rules the image out."""
        was_known = self.knows_the_format
        self.take(chunk)
        if not self.knows_the_format or was_known:
            return
        if (refusal := self.format_refusal()) is not None:
            raise Refused(refusal)
        found, disk_size = self.disk(0)
        if self.check_format is not None and found is not None:
            self.check_format(found, disk_size or None)  # of a raw disk it is not known yet

    def take(self, chunk: Chunk) -> None:
        """Takes the next bytes. This is a stage of the pipeline."""
        if not self.is_hashing and (self._inspection is None or self._inspection.is_decided):
            return
        if chunk.buffer is None and isinstance(self._hash, SparseHash):
            self._hash.update_zeros(chunk.length)
        elif self._hash is not None:
            for piece in _pieces(chunk):
                self._hash.update(piece)
        if self.signature is not None:
            for piece in _pieces(chunk):
                self.signature.take(piece)
        if self._checks_format and self._inspection is not None:
            for piece in _pieces(chunk):
                if self._inspection.is_decided:
                    return
                self._inspection.feed(piece)

    def trust(self, digest: Digest) -> None:
        """Sets the digest of bytes that were hashed before: they are not hashed again."""
        self._known, self._hash = digest, None

    def prepare(self) -> None:
        """Loads the inspectors before the first bytes come."""
        if self._inspection is not None:
            self._inspection.prepare()

    def inspect(self, source: Chunks) -> None:
        """Inspects the source: reads as much of it as the inspection needs, and no more."""
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
        """The digest of the bytes; None where none is computed."""
        if self._known is not None or self._algorithm is None or self._hash is None:
            return self._known
        return Digest(self._algorithm, self._hash.hexdigest())

    @property
    def knows_the_format(self) -> bool:
        """The format and its dangers are known: no more bytes are needed."""
        return self._checks_format and self._inspection is not None and self._inspection.is_decided

    def verdict(self, size: int) -> Result[Audited, Refusal]:
        """The result after the last byte, the `size`th: a refusal where it is not the catalog's image, or is unsafe."""
        # First, because it is the reason why size and digest differ.
        if (refusal := self._other_file()) is not None:
            return Failure(refusal)
        if self._image and self._image.size is not None and self._image.size != size:
            return Failure(size_mismatch(self._image.size, size))
        digest = self.digest
        if self.expected_digest and digest != self.expected_digest:
            return Failure(digest_mismatch(self.expected_digest, digest))
        is_verified = self.expected_digest is not None
        try:
            signer = self.signature.signer() if self.signature is not None else None
        except Refused as refused:
            return Failure(refused.refusal)
        if signer is None and is_verified and self._image is not None:
            signer = self._image.proof.signed_by
        if (refusal := self._format()) is not None:
            return Failure(refusal)
        inspector = inspected_by() if self._checks_format else None
        return Success(Audited(size, digest, is_verified, inspector, *self.disk(size), signer))

    def close(self) -> None:
        """Ends the check of the signature, which may have a process."""
        if self.signature is not None:
            self.signature.close()

    def disk(self, size: int) -> tuple[str | None, int | None]:
        """The disk's format and its size for a guest, of an image of `size` bytes, once the format is known."""
        if self._inspection is None or not self._checks_format:
            return None, None
        return self._inspection.disk_format(), self._inspection.virtual_size(size)

    def format_refusal(self) -> Refusal | None:
        """The refusal by the format alone, once `knows_the_format`; None: the format is right and safe."""
        return self._other_file() or self._format()

    def _other_file(self) -> Refusal | None:
        other = self._inspection.other_file() if self._inspection is not None and self._checks_format else None
        if other is None or _is_declared(self._image, other):
            return None
        return not_a_disk(other)

    def _format(self) -> Refusal | None:
        if self._inspection is None or not self._checks_format:
            return None
        declared, found = _declared(self._image), self._inspection.formats()
        if not agrees(declared, found):
            names = " and ".join(sorted(found))
            return Mismatched("format mismatch", expected=declared or "", found=names)
        # Also where another format is declared, or none: the next program may detect the format itself.
        if dangers := self._inspection.dangers():
            return Unsafe(unsafe(dangers))
        disk = self._inspection.virtual_size(0)
        if self.most is not None and disk is not None and disk > self.most:
            return disk_too_large(self.most, disk)
        return None


def disk_too_large(most: int, found: int) -> TooLarge:
    """The refusal of a disk that has more than `most` bytes for a guest."""
    return TooLarge(
        "the disk is too large",
        expected=f"at most {exact_size(most)}",
        found=exact_size(found),
        advice="[landing] max_size and max_unpacked are the limits",
    )


def size_mismatch(expected: int, found: int) -> Mismatched:
    """The refusal of an image that has not the catalog's size. Both are bytes."""
    return Mismatched("size mismatch", expected=exact_size(expected), found=exact_size(found))


def digest_mismatch(expected: Digest, found: Digest | None) -> Mismatched:
    """The refusal of bytes that have not the expected digest."""
    return Mismatched("digest mismatch", expected=str(expected), found=str(found))


def digest_flaw(digest: Digest) -> str | None:
    """The flaw of a digest that no bytes can have, or that cannot be computed here, for a message; None: it has none.

    >>> digest_flaw(Digest("md5", "ab"))
    'is no md5: expected 32 hex digits, got ab'
    """
    try:
        size = new_hash(digest.algorithm).digest_size
    except ValueError:
        size = 0
    if not size:  # the SHAKEs have no size of their own
        remedy = ": pip install 'lading[convert]'" if digest.algorithm.startswith("blake3") else ""
        return f"is a {digest.algorithm}, which cannot be computed here{remedy}"
    if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", digest.value):
        got = (
            digest.value
            if len(digest.value) <= _SHOWN
            else f"{digest.value[:_SHOWN]}… ({len(digest.value)} characters)"
        )
        return f"is no {digest.algorithm}: expected {2 * size} hex digits, got {got}"
    return None


def _declared(image: Image | None) -> str | None:
    """The format that the bytes should have; None where it is hidden in another container (ova, compressed)."""
    return image.disk_format if image is not None and image.container_format in {None, "bare"} else None


def is_kept_packed(image: Image | None, packing: str) -> bool:
    """Tells whether the catalog declares that the packed file itself is the image: a RAM disk, a container's layers."""
    if image is None:
        return False
    if image.container_format not in _UNPACKED:
        return True
    return image.disk_format is not None and agrees(image.disk_format, frozenset({packing}))


def _is_declared(image: Image | None, other: OtherFile) -> bool:
    """Tells whether the catalog declares such a file: by the image's format, or by its container."""
    if image is None:
        return False
    declared = _declared(image)
    if declared is None:
        return image.container_format not in {None, "bare"} and other.name in PACKED
    return agrees(declared, frozenset({other.name}))


def _pieces(chunk: Chunk) -> Iterator[memoryview]:
    """The chunk's bytes, for a hole zeros, in pieces of at most a buffer's length."""
    if chunk.buffer is not None:
        yield chunk.view
        return
    for start in range(0, chunk.length, CHUNK):
        yield memoryview(_ZEROS)[: min(CHUNK, chunk.length - start)]
