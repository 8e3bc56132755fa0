"""Programs that embed the Dispatcher, with a handler of their own and stores in memory, get every form too."""

import gzip
import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from returns.result import Result, Success
from tests.integration.chain.host import DISK, GROWN, Images, plain_content
from tests.packages import needs
from tests.packed import zip_of

from lading import (
    Association,
    Digest,
    Dispatcher,
    FetchRequest,
    Form,
    Image,
    Location,
    NoHandlerAvailable,
    NullJournal,
    Refusal,
    TargetFailed,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file import transfer
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.destinations.file.file_writer import FileWriter
from lading.adapters.formats.conversion import qemu
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream.sources import FileSource, ResumePoint, Source, StreamSource

FORMS: Final = [Form(), Form("raw", size=GROWN, fix_gpt=True), Form("qcow2", preallocation="metadata")]


class ShelfHandler(SourceHandler):
    """A third party's: it knows nothing of packing and forms."""

    name = "shelf"
    schemes = frozenset({"shelf"})
    is_local = True

    def __init__(self, files: FileDestination, data: bytes) -> None:
        super().__init__(files)
        self._data = data
        self.opened = 0

    def opener(self, work: Work) -> SourceOpener:
        return SourceOpener(self._open, "shelf", single_flight=True)

    def _open(self, resume: ResumePoint) -> Result[Source, Refusal]:
        self.opened += 1
        return Success(StreamSource(io.BytesIO(self._data), len(self._data)))


Embedded = Callable[[bytes], tuple[Dispatcher, ShelfHandler, MemoryAssociations]]


@pytest.fixture
def vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs("qemu-img", "fdisk")
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms"


@pytest.fixture
def embedded() -> Embedded:
    def make(shipped: bytes) -> tuple[Dispatcher, ShelfHandler, MemoryAssociations]:
        digest = Digest("sha256", hashlib.sha256(shipped).hexdigest())
        catalog = MemoryCatalog([Image("id", digest=digest, locations=[Location("shelf:noble")])])
        associations = MemoryAssociations()
        files = FileDestination(MemoryVerifiedFiles(), associations=associations)
        handler = ShelfHandler(files, shipped)
        return Dispatcher([handler], catalog, associations, journal=NullJournal()), handler, associations

    return make


@pytest.mark.parametrize("has_tmpfile", [True, False], ids=["unnamed", "named"])
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("packing", ["", "gz", "xz, tar"])
def test_a_third_partys_handler_gives_every_form(
    vms: Path,
    embedded: Embedded,
    images: Images,
    packing: str,
    form: Form,
    has_tmpfile: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_tmpfile:
        monkeypatch.delattr(os, "O_TMPFILE")
    dispatcher, handler, associations = embedded(images.packed("qcow2", packing))
    result = dispatcher.fetch(FetchRequest("id", str(vms / "vm"), form=form)).unwrap()
    landing = result.landing
    recorded = associations.get(str(vms / "vm")).unwrap()
    assert isinstance(recorded, Association)
    assert (recorded.format, recorded.virtual_size) == (form.format or "qcow2", form.size or len(DISK))
    assert (recorded.digest, recorded.shipped, recorded.form) == (landing.digest, landing.shipped, form)
    if not form.fix_gpt:
        assert plain_content(vms / "vm", recorded.format or "") == DISK
    dispatcher.verify(str(vms / "vm")).unwrap()
    copied = dispatcher.fetch(FetchRequest("id", str(vms / "2"), form=form)).unwrap()
    assert (copied.landing.copied_from, handler.opened) == (str(vms / "vm"), 1)
    assert sorted(os.listdir(vms)) == ["2", "vm"]


@pytest.mark.parametrize(
    "shipped", [gzip.compress(DISK[: 1 << 20]) + b"garbage", gzip.compress(DISK)[:-20], b"QFI\xfb" + bytes(100_000)]
)
def test_a_refusal_leaves_no_thread_no_file_and_no_descriptor(vms: Path, embedded: Embedded, shipped: bytes) -> None:
    dispatcher, _, _ = embedded(shipped)
    threads, opened = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for form in FORMS:
        assert isinstance(
            dispatcher.fetch(FetchRequest("id", str(vms / "vm"), form=form)).failure(), NoHandlerAvailable
        )
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, opened)
    assert os.listdir(vms) == []


def test_a_failed_conversion_leaves_no_thread_no_file_and_no_descriptor(
    vms: Path, embedded: Embedded, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    script = (
        '#!/bin/sh\n[ "$1" = convert ] && { echo "qemu-img: it fails" >&2; exit 1; }\nexec /usr/bin/qemu-img "$@"\n'
    )
    (tmp_path / "bin" / "qemu-img").write_text(script)
    (tmp_path / "bin" / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    dispatcher, handler, _ = embedded(images.packed("qcow2", "gz"))
    threads, opened = threading.active_count(), len(os.listdir("/proc/self/fd"))
    failure = dispatcher.fetch(FetchRequest("id", str(vms / "vm"), form=Form("raw"))).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetFailed)
    assert failure.decisive.reason == f"{vms / 'vm'} cannot be made of the image: qemu-img failed: it fails"
    assert handler.opened == 1
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, opened)
    assert os.listdir(vms) == []


class FolderHandler(ShelfHandler):
    """Reads a file of this host."""

    def __init__(self, files: FileDestination, path: Path) -> None:
        super().__init__(files, b"")
        self._path = path

    def _open(self, resume: ResumePoint) -> Result[Source, Refusal]:
        return Success(FileSource(os.open(self._path, os.O_RDONLY)))


def of_a_file(path: Path, shipped: bytes) -> Dispatcher:
    image = Image("id", digest=Digest("sha256", hashlib.sha256(shipped).hexdigest()), locations=[Location("shelf:1")])
    handler = FolderHandler(FileDestination(MemoryVerifiedFiles()), path)
    return Dispatcher([handler], MemoryCatalog([image]), MemoryAssociations(), journal=NullJournal())


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_file_that_changes_between_conversion_and_hashing_is_refused(
    vms: Path, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path, right, convert = tmp_path / "image", images.packed("qcow2", ""), qemu.convert
    wrong = right.replace(b"partition", b"Partition")
    path.write_bytes(wrong)
    os.utime(path, ns=(0, 0))

    def slow(*given: Any, **options: Any) -> qemu.Disk:  # noqa: ANN401 - whatever it takes
        made = convert(*given, **options)
        if when == "during":
            path.write_bytes(right)
        return made

    @contextmanager
    def late(work: Callable[[], object]) -> Iterator[None]:
        """Hashes afterwards, and so the right bytes."""
        yield
        path.write_bytes(right)
        work()

    monkeypatch.setattr(qemu, "convert", slow)
    monkeypatch.setattr(transfer, "in_background", late)
    request = FetchRequest("id", str(vms / "vm"), form=Form("raw"))
    failure = of_a_file(path, right).fetch(request).failure()
    assert "the file was changed while it was copied" in str(failure)
    assert os.listdir(vms) == []


def test_a_file_that_changes_between_unpacking_and_hashing_is_refused(
    vms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stream = tmp_path / "image", FileWriter.stream
    zip_of(path, ("disk", b"right" * 10_000), method=zipfile.ZIP_STORED).close()
    right = path.read_bytes()
    zip_of(path, ("disk", b"wrong" * 10_000), method=zipfile.ZIP_STORED).close()
    os.utime(path, ns=(0, 0))

    def slow(writer: FileWriter, **given: Any) -> int:  # noqa: ANN401 - whatever it takes
        size = stream(writer, **given)
        path.write_bytes(right)
        return size

    monkeypatch.setattr(FileWriter, "stream", slow)
    failure = of_a_file(path, right).fetch(FetchRequest("id", str(vms / "vm"))).failure()
    assert "the file was changed while it was copied" in str(failure)
    assert os.listdir(vms) == []
