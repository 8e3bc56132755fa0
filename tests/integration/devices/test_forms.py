"""Packed images and those of other formats on devices: a raw disk is made of them before the device is touched."""

import bz2
import lzma
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure
from tests.faulty_server import Reply
from tests.integration.devices.host import DATA, MEBIBYTE, SIZE, Host, image_of, noise
from tests.integration.test_full_disk import fill
from tests.packages import needs

from lading import Digest, Mismatched, TargetFailed, TargetFull, Unavailable, Unsupported
from lading.adapters.destinations.file.destination import Rules
from lading.adapters.formats.conversion import qemu
from lading.ports.form import Form
from lading.ports.image import Image
from lading.ports.observer import NullObserver


class Interrupted(BaseException):
    """An interrupt, as by Ctrl-C."""


class InterruptingObserver(NullObserver):
    """Interrupts the main thread when the first bytes are read."""

    def progress(self, done: int, total: int | None) -> None:
        raise Interrupted


DISK = DATA[:-17]
"""A raw disk of whole sectors."""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files. Nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def qcow2_of(disk: bytes, folder: Path) -> bytes:
    needs("qemu-img")
    raw, made = folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(disk)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


def described(data: bytes, disk_format: str | None = None) -> Image:
    return replace(image_of(data), disk_format=disk_format)


def shipped(form: str, folder: Path) -> bytes:
    match form:
        case "xz":
            return lzma.compress(DISK)
        case "qcow2":
            return qcow2_of(DISK, folder)
    return lzma.compress(qcow2_of(DISK, folder))


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("form", ["xz", "qcow2", "xz, qcow2"])
def test_the_device_holds_the_disk(host: Host, tmp_path: Path, form: str, *, is_remote: bool) -> None:
    data = shipped(form, tmp_path)
    image = described(data)
    if is_remote:
        host.serve(Reply(data), image=image)
    else:
        host.add(data, image=image)
    host.device.put(noise(SIZE))
    landing = host.fetch(force=True).unwrap().landing
    assert host.device.content(len(DISK)) == DISK
    assert (landing.size, landing.format, landing.verified) == (len(DISK), "raw", True)
    assert landing.shipped is not None
    assert landing.shipped.digest == image.digest
    assert landing.shipped.format == (f"{form}, raw" if form == "xz" else form)
    assert (landing.converted_by is not None) == ("qcow2" in form)
    host.dispatcher.verify(host.target).unwrap()
    assert host.fetch().unwrap().landing.present
    assert os.listdir(tmp_path / "temporary") == []


def test_a_preview_tells_the_steps(host: Host, tmp_path: Path) -> None:
    data = shipped("xz, qcow2", tmp_path)
    host.serve(Reply(data), image=described(data))
    (preview,) = host.preview()
    assert "unpacks xz → qcow2" in preview


def test_what_is_wrong_with_a_packed_image_leaves_the_device_as_it_was(host: Host) -> None:
    data = lzma.compress(DISK)
    host.device.put(b"old", 3 * MEBIBYTE)
    host.add(data, image=replace(described(data), digest=Digest("sha256", "ab" * 32)))
    assert isinstance(host.refusal(), Mismatched)
    host.add(data[:-20], image=described(data[:-20]))
    assert isinstance(host.refusal(), Mismatched)
    assert host.device.content()[3 * MEBIBYTE :].startswith(b"old")
    assert host.is_untouched


def test_a_disk_that_is_too_large_leaves_the_device_as_it_was(host: Host, tmp_path: Path) -> None:
    data = qcow2_of(bytes(SIZE + MEBIBYTE), tmp_path)
    host.add(data, image=described(data))
    refusal = host.refusal()
    assert isinstance(refusal, TargetFailed)
    assert host.preview() == [str(Failure(refusal))]
    assert host.is_untouched


def test_a_converted_disk_cannot_be_larger_than_the_device(host: Host, tmp_path: Path) -> None:
    data, form = qcow2_of(DISK, tmp_path), Form(size=SIZE + MEBIBYTE)
    host.add(data, image=described(data))
    assert host.preview(form=form) == [str(Failure(host.refusal(form=form)))]


def test_an_interrupt_ends_the_unpacking_of_a_bomb(host: Host) -> None:
    bomb = bz2.compress(bytes(40 * MEBIBYTE)) * 9000  # 350 GiB of zeros: hours
    host.add(bomb, image=described(bomb))
    with pytest.raises(Interrupted):
        host.fetch(observer=InterruptingObserver())
    assert not any(host.device.content())


def test_a_file_that_changes_while_it_is_converted_is_refused(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = qcow2_of(DISK, tmp_path)
    host.add(data, image=described(data))
    convert = qemu.convert

    def changing(*arguments: Any, **options: Any) -> qemu.Disk:  # noqa: ANN401 - those of `convert`
        os.utime(host.folder / "noble", (0, 0))
        return convert(*arguments, **options)

    monkeypatch.setattr(qemu, "convert", changing)
    assert isinstance(host.refusal(), Unavailable)
    assert not list(host.associations.list())


def test_a_disk_made_of_a_copy_on_this_host_names_the_copy(host: Host, tmp_path: Path) -> None:
    data = qcow2_of(DISK, tmp_path)
    host.serve(Reply(data), image=described(data))
    host.fetch(target=f"{tmp_path}/vm").unwrap()
    assert host.fetch().unwrap().landing.copied_from == f"{tmp_path}/vm"


def test_a_full_temporary_folder_is_named(host: Host, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = lzma.compress(DISK)
    host.add(data, image=described(data))
    monkeypatch.setenv("TMPDIR", str(temporary_folder / "gone"))
    assert host.refusal().reason.startswith(f"{temporary_folder}/gone cannot be written")


@pytest.mark.parametrize("is_served", [True, False], ids=["http", "file"])
def test_a_preview_tells_that_the_temporary_folder_is_too_small(
    host: Host, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, is_served: bool
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    fill(small_disk, but=MEBIBYTE)
    data = qcow2_of(DISK, tmp_path)
    if is_served:
        host.serve(Reply(data), image=described(data, "qcow2"))
    else:
        host.add(data, image=described(data, "qcow2"))
    refusal = host.refusal()
    assert isinstance(refusal, TargetFull)
    assert host.preview() == [str(Failure(refusal))]
    assert host.is_untouched


def test_a_converted_disk_fills_the_device(host: Host, tmp_path: Path) -> None:
    data = qcow2_of(DISK, tmp_path)
    host.add(data, image=described(data, "qcow2"))
    host.device.put(noise(SIZE))
    landing = host.fetch(force=True, form=Form(fill=True)).unwrap().landing
    assert host.device.content() == DISK.ljust(SIZE, b"\0")
    assert landing.size == SIZE


def test_without_inspection_nothing_is_converted(host: Host, tmp_path: Path) -> None:
    host.rules = Rules(inspect=False)
    data = qcow2_of(DISK, tmp_path)
    host.add(data, image=described(data, "qcow2"))
    assert isinstance(host.refusal(), Unsupported)
    assert host.is_untouched


def test_a_preview_of_an_archive_tells_what_its_first_bytes_tell(host: Host) -> None:
    data = lzma.compress(noise(2 * MEBIBYTE))
    host.serve(Reply(data), image=described(data))
    (preview,) = host.preview()
    assert "unpacks xz → a disk, converts it to raw" in preview


def test_a_packed_file_that_is_the_image_itself_is_no_disk(host: Host) -> None:
    data = lzma.compress(DISK)
    host.add(data, image=described(data, "xz"))
    assert isinstance(host.refusal(), Unsupported)
    assert "has no other form" in host.preview()[0]


def test_the_digest_of_the_disk_in_a_packed_image_is_recorded(host: Host) -> None:
    data = lzma.compress(DISK)
    content = image_of(DISK).digest
    host.add(data, image=replace(described(data), digest=None, content_digest=content))
    landing = host.fetch().unwrap().landing
    assert (landing.verified, landing.digest) == (True, content)
