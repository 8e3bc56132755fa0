"""Any disk, packed in any layers, in any pieces, interrupted anywhere: the same bytes or none, and nothing is left."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Result, Success
from tests.packed import COMPRESS, tar_of

from lading import Digest, Form, Image, Landing, Refusal, Work
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.pipeline import Chunk, SourceBroken
from lading.adapters.stream.sources import FileSource, ResumePoint, Source


def _tar(data: bytes) -> bytes:
    return tar_of(("disk.raw", data))


PACK: Final[Mapping[str, Callable[[bytes], bytes]]] = {**COMPRESS, "tar": _tar}
SECTOR: Final = 512

pieces_of_disks = st.one_of(
    st.binary(min_size=1, max_size=600), st.integers(1, 40).map(lambda count: bytes(count * SECTOR))
)
disks = st.lists(pieces_of_disks, min_size=1, max_size=6).map(b"".join).map(lambda data: b"\xeb\x63\x90" + data)
layers = st.lists(st.sampled_from(list(PACK)), max_size=3)
cuts = st.lists(st.integers(1, 5000), max_size=8)


class Cut:
    """A remote source whose bytes come in pieces; it ends before a byte, by an error."""

    start: Final = 0
    validator: Final = None

    def __init__(self, data: bytes, cuts: Sequence[int], end: int | None, error: type[BaseException]) -> None:
        self._data, self._cuts, self._end, self._error = data, cuts, end, error
        self.size: int | None = None
        self.required_space: int | None = None

    def chunks(self, free: Callable[[], bytearray]) -> Iterator[Chunk]:
        places = sorted({0, len(self._data), *(cut for cut in self._cuts if cut < len(self._data))})
        for start, end in pairwise(places):
            if self._end is not None and end > self._end:
                raise self._error("it is over")
            piece = self._data[start:end]
            yield Chunk(start, len(piece), piece if any(piece) else None)

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    memory = "/dev/shm"  # noqa: S108 - a folder of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        (Path(made) / "vms").mkdir()
        yield Path(made) / "vms"


def packed(disk: bytes, by: Sequence[str]) -> bytes:
    return reduce(lambda data, layer: PACK[layer](data), by, disk)


def image_of(shipped: bytes, disk: bytes, *, promises_content: bool) -> Image:
    digest = Digest("sha256", hashlib.sha256(shipped).hexdigest())
    if not promises_content:
        return Image("id", digest=digest)
    return Image("id", content_digest=Digest("sha256", hashlib.sha256(disk).hexdigest()), content_size=len(disk))


def fetched(
    folder: Path, image: Image, source: Source | None, shipped: bytes, form: Form
) -> Result[Landing, Refusal] | None:
    """A fetch, and what it leaves: no thread, no open file, and no file but the target. None: it was interrupted."""
    threads, opened = threading.active_count(), len(os.listdir("/proc/self/fd"))
    destination = FileDestination(MemoryVerifiedFiles(), Rules())
    packed_file = folder.parent / "packed"
    packed_file.write_bytes(shipped)

    def open_source(_: ResumePoint) -> Result[Source, Refusal]:
        return Success(source or FileSource(os.open(packed_file, os.O_RDONLY)))

    try:
        outcome = destination.fetch(Work(str(folder / "vm"), image, form=form), SourceOpener(open_source))
    except KeyboardInterrupt:
        outcome = None
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == opened
    assert os.listdir(folder) == (["vm"] if isinstance(outcome, Success) else [])
    return outcome


def content_of(target: Path) -> bytes:
    content = target.read_bytes()
    target.unlink()
    return content


@given(disk=disks, by=layers, cut=cuts, is_file=st.booleans(), promises_content=st.booleans(), grows=st.booleans())
def test_the_target_has_the_disks_bytes_whatever_they_come_in(
    folder: Path, disk: bytes, by: list[str], cut: list[int], is_file: bool, promises_content: bool, grows: bool
) -> None:
    shipped = packed(disk, by)
    source = None if is_file else Cut(shipped, cut, None, SourceBroken)
    image = image_of(shipped, disk, promises_content=promises_content)
    form = Form(size=1 << 20) if grows else Form()
    landing = fetched(folder, image, source, shipped, form)
    assert isinstance(landing, Success), landing
    wanted = disk + bytes((1 << 20) - len(disk)) if grows else disk
    assert content_of(folder / "vm") == wanted
    facts = landing.unwrap()
    assert (facts.verified, facts.size, facts.format, facts.virtual_size) == (True, len(wanted), "raw", len(wanted))
    layers_told = ", ".join([*by[::-1], "raw"])
    assert facts.shipped is None if not by and not grows else facts.shipped and facts.shipped.format == layers_told
    if facts.digest is not None and facts.digest.algorithm == "sha256":
        assert facts.digest.value == hashlib.sha256(wanted).hexdigest()


@given(
    disk=disks, by=layers, cut=cuts, end=st.integers(0, 5000), error=st.sampled_from([SourceBroken, KeyboardInterrupt])
)
def test_a_source_that_ends_early_leaves_nothing(
    folder: Path, disk: bytes, by: list[str], cut: list[int], end: int, error: type[BaseException]
) -> None:
    shipped = packed(disk, by)
    image = image_of(shipped, disk, promises_content=False)
    outcome = fetched(folder, image, Cut(shipped, cut, end, error), shipped, Form())
    if isinstance(outcome, Success):
        assert content_of(folder / "vm") == disk


@given(disk=disks, by=layers.filter(bool), cut=cuts, end=st.integers(1, 4000), is_file=st.booleans())
def test_a_packed_image_that_is_cut_short_is_refused(
    folder: Path, disk: bytes, by: list[str], cut: list[int], end: int, is_file: bool
) -> None:
    """Also where the catalog promises nothing: the packing tells."""
    shipped = packed(disk, by)[:-end]
    source = None if is_file else Cut(shipped, cut, None, SourceBroken)
    outcome = fetched(folder, Image("id"), source, shipped, Form())
    if isinstance(outcome, Success):
        # So little is left that it is no packed file any more, or zeros that end an archive are missing.
        assert content_of(folder / "vm") in {shipped, disk}
    else:
        assert isinstance(outcome, Failure)


@given(disk=disks, by=layers, at=st.integers(0, 10_000), flip=st.integers(1, 255), is_file=st.booleans())
def test_a_wrong_byte_is_refused(folder: Path, disk: bytes, by: list[str], at: int, flip: int, is_file: bool) -> None:
    shipped = bytearray(packed(disk, by))
    image = image_of(bytes(shipped), disk, promises_content=False)
    shipped[at % len(shipped)] ^= flip
    source = None if is_file else Cut(bytes(shipped), [], None, SourceBroken)
    assert isinstance(fetched(folder, image, source, bytes(shipped), Form()), Failure)


@given(disk=disks, by=layers, is_file=st.booleans(), other=disks)
def test_a_wrong_digest_of_the_content_is_refused(
    folder: Path, disk: bytes, by: list[str], is_file: bool, other: bytes
) -> None:
    shipped = packed(disk, by)
    image = replace(image_of(shipped, disk + other, promises_content=True), content_size=None)
    source = None if is_file else Cut(shipped, [], None, SourceBroken)
    assert isinstance(fetched(folder, image, source, shipped, Form()), Failure)
