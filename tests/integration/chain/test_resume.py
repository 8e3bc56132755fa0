"""Interrupted downloads of packed and converted images: what was received is not requested again."""

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from returns.result import Failure, Result
from tests.faulty_server import CUT, FaultyServer, Reply
from tests.images import MIB
from tests.integration.conversion.disks import image_of
from tests.integration.resuming.host import GONE, Host
from tests.packages import needs
from tests.packed import COMPRESS

from lading import (
    Digest,
    FetchRequest,
    FetchResult,
    Form,
    Image,
    NoHandlerAvailable,
    TargetFailed,
    Unavailable,
    Unconfigured,
)
from lading.adapters.formats.conversion import gpt, qemu
from lading.adapters.sqlite.database import Database
from lading.adapters.stream.safe_open import fingerprint
from lading.domain.failures import FetchFailure
from lading.domain.recovery import Outcome
from lading.ports.observer import Observer

DISK: Final = random.Random(1).randbytes(3 * MIB) + bytes(MIB)
KEPT: Final = 2 * MIB
RAW: Final = Form("raw")


class Interrupt:
    """An observer that presses Ctrl-C during the download, or `later` in the step that follows."""

    def __init__(self, *, later: bool) -> None:
        self._later, self._total, self._steps = later, None, 0

    def progress(self, done: int, total: int | None) -> None:
        if self._later and done == total:
            self._steps += 1
        if (self._steps > 1) if self._later else done >= KEPT:
            raise KeyboardInterrupt


@pytest.fixture(params=["unnamed", "named"])
def host(
    request: pytest.FixtureRequest, quick_folder: Path, faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    """A host, also one whose file system lacks O_TMPFILE."""
    needs("qemu-img")
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    (quick_folder / "vms").mkdir()
    with closing(Database(quick_folder / "lading.db")) as database:
        yield Host(quick_folder / "vms", faulty_server, database, faulty_server.answer("/noble", GONE))


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    needs("qemu-img")
    return image_of(DISK, "qcow2", tmp_path_factory.mktemp("qcow2")).read_bytes()


@pytest.fixture(scope="module", params=["xz", "zst", "qcow2", "gz, qcow2"])
def packed(request: pytest.FixtureRequest, qcow2: bytes) -> bytes:
    data = qcow2 if "qcow2" in request.param else DISK
    packing = request.param.removesuffix("qcow2").removesuffix(", ")
    return COMPRESS[packing](data) if packing else data


@pytest.fixture
def shipped(host: Host, packed: bytes) -> bytes:
    """The image as it is shipped, and described in the catalog."""
    return describe(host, packed)


def describe(host: Host, shipped: bytes) -> bytes:
    host.image = Image("id", size=len(shipped), digest=Digest("sha256", hashlib.sha256(shipped).hexdigest()))
    host.server.answer("/noble", Reply(shipped))
    return shipped


def fetch(host: Host, form: Form = RAW, observer: Observer | None = None) -> Result[FetchResult, FetchFailure]:
    request = FetchRequest("id", str(host.target), form=form)
    return host.dispatcher.fetch(request if observer is None else replace(request, observer=observer))


def assert_whole(host: Host, *, resumed: int, size: int = len(DISK)) -> None:
    landing = fetch(host, Form("raw", size=size)).unwrap().landing
    assert host.target.read_bytes() == DISK + bytes(size - len(DISK))
    assert (landing.resumed, landing.format, landing.verified) == (resumed, "raw", True)
    assert os.listdir(host.folder) == ["vm"]
    host.assert_nothing_is_left()


def test_a_download_that_broke_off_is_resumed_and_decoded_anew(host: Host, shipped: bytes) -> None:
    host.server.answer("/noble", Reply(shipped, after=KEPT + 5, then=CUT), GONE)
    failure = fetch(host).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.attempts[-1].refusal, Unavailable)
    assert failure.attempts[-1].refusal.kept == KEPT
    assert os.listdir(host.folder) == [".vm.lading-part"]
    host.server.answer("/noble", Reply(shipped))
    host.asked()
    assert_whole(host, resumed=KEPT)
    assert host.asked() == [f"bytes={KEPT}-"]


def test_an_interrupted_download_is_resumed_and_decoded_anew(host: Host, shipped: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(host, observer=Interrupt(later=False))
    assert os.listdir(host.folder) == [".vm.lading-part"]
    host.asked()
    assert_whole(host, resumed=KEPT, size=8 * MIB)
    assert host.asked() == [f"bytes={KEPT}-"]


def test_an_interrupted_conversion_keeps_all_that_was_received(host: Host, shipped: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(host, Form("qcow2", preallocation="metadata"), observer=Interrupt(later=True))
    assert os.listdir(host.folder) == [".vm.lading-part"]
    host.asked()
    kept = (len(shipped) - 1) // MIB * MIB
    assert_whole(host, resumed=kept)
    assert host.asked() == [f"bytes={kept}-"]


@pytest.mark.parametrize("keep", [True, False])
def test_recovery_removes_what_was_made_and_keeps_what_was_received(host: Host, shipped: bytes, keep: bool) -> None:
    """As after a kill: the made files are there, with their notes."""
    host.server.answer("/noble", Reply(shipped, after=KEPT + 5, then=CUT), GONE)
    fetch(host).failure()
    (intent,) = host.journal.list()
    made = {}
    for kind in ("disk", "made"):
        path = host.folder / f".vm.lading-{kind}"
        path.write_bytes(b"half of it")
        made[path.name] = list(fingerprint(str(path)))
    host.journal.note(str(host.target), {**intent.notes, "made": made}).unwrap()
    (found,) = host.dispatcher.recover(keep=keep)
    assert found.outcome is (Outcome.KEPT if keep else Outcome.UNDONE)
    assert os.listdir(host.folder) == ([".vm.lading-part"] if keep else [])
    host.server.answer("/noble", Reply(shipped))
    assert_whole(host, resumed=KEPT if keep else 0)


@pytest.mark.parametrize("kind", ["disk", "made"])
def test_a_file_of_others_under_a_temporary_name_stays(host: Host, qcow2: bytes, kind: str) -> None:
    describe(host, COMPRESS["gz"](qcow2))
    other = host.folder / f".vm.lading-{kind}"
    other.write_bytes(b"precious")
    is_in_the_way = isinstance(fetch(host), Failure)
    assert is_in_the_way is not hasattr(os, "O_TMPFILE")
    assert other.read_bytes() == b"precious"
    other.unlink()
    assert fetch(host).unwrap().landing.present is not is_in_the_way
    assert os.listdir(host.folder) == ["vm"]


# A grown image.


def test_a_part_that_was_grown_is_never_resumed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(host, DISK)

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpt, "move_backup", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(host, Form("raw", size=8 * MIB, fix_gpt=True))
    assert os.listdir(host.folder) == []
    host.asked()
    assert_whole(host, resumed=0)
    assert host.asked() == [None]


# Refusals that no other bytes could change.


def test_a_form_that_fails_after_a_resumed_download_is_not_downloaded_again(host: Host) -> None:
    describe(host, DISK)
    with pytest.raises(KeyboardInterrupt):
        fetch(host, observer=Interrupt(later=False))
    host.asked()
    failure = fetch(host, Form("raw", fix_gpt=True)).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetFailed)
    assert failure.decisive.reason.endswith("its disk has no GPT, whose backup --fix-gpt could move")
    assert host.asked() == [f"bytes={KEPT}-"]
    assert os.listdir(host.folder) == []


@pytest.mark.parametrize("packing", ["", "gz"])
@pytest.mark.parametrize(("module", "tool"), [(qemu, "QEMU_IMG"), (gpt, "FDISK")], ids=["qemu-img", "fdisk"])
def test_a_missing_tool_is_refused_with_the_first_bytes(
    host: Host, qcow2: bytes, packing: str, module: ModuleType, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = qcow2 + random.Random(2).randbytes(5 * MIB)
    shipped = describe(host, COMPRESS[packing](more) if packing else more)
    monkeypatch.setattr(module, tool, getattr(module, tool)._replace(name="no-such-tool"))
    qemu.converted_by.cache_clear()
    host.server.answer("/noble", Reply(shipped, pace=(1 << 18, 0.05)))
    failure = fetch(host, Form("raw", size=8 * MIB, fix_gpt=True)).failure()
    qemu.converted_by.cache_clear()
    assert isinstance(failure, NoHandlerAvailable)
    refusal = failure.attempts[-1].refusal
    assert isinstance(refusal, Unconfigured)
    assert refusal.reason.startswith("no-such-tool is not installed: install ")
    assert host.server.requests[-1].sent < len(shipped)
    assert os.listdir(host.folder) == []


@pytest.mark.parametrize("form", [Form("raw", size=MIB), Form("raw", preallocation="metadata"), Form(size=8 * MIB + 1)])
def test_a_form_that_cannot_be_had_is_refused_with_the_first_bytes(host: Host, qcow2: bytes, form: Form) -> None:
    shipped = describe(host, qcow2)
    host.server.answer("/noble", Reply(shipped, pace=(1 << 18, 0.05)))
    assert isinstance(fetch(host, form).failure(), NoHandlerAvailable)
    assert host.server.requests[-1].sent < len(shipped)
    assert os.listdir(host.folder) == []
