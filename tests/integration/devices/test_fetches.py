"""Images on block devices: what is written, what is read back, and what is recorded."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure
from tests.integration.devices.host import DATA, MEBIBYTE, SIZE, Host, image_of, noise
from tests.loop_devices import LoopDevice
from tests.packages import needs

from lading import (
    HandlerRefused,
    Mismatched,
    NoHandlerAvailable,
    StoreUnavailable,
    TargetFailed,
    TargetOccupied,
    Unavailable,
    Unsupported,
)
from lading.adapters.destinations.device.form import is_device
from lading.adapters.destinations.file.destination import Rules
from lading.adapters.formats.hashing import content_algorithm
from lading.domain.recovery import Outcome
from lading.ports.association import State
from lading.ports.form import Form
from lading.ports.observer import NullObserver


def test_the_device_holds_the_image_and_the_record_says_so(host: Host) -> None:
    image = host.add()
    landing = host.fetch().unwrap().landing
    assert host.device.content(len(DATA)) == DATA
    recorded = host.associations.get(host.target).unwrap()
    assert recorded is not None
    assert (recorded.size, recorded.digest, recorded.verified) == (len(DATA), image.digest, True)
    assert (recorded.format, recorded.virtual_size) == ("raw", SIZE)
    assert recorded.identity == landing.identity == f"loop:{host.device.file}, from byte 0"
    assert [*host.journal.list()] == []


def test_holes_and_the_last_sector_are_zeros_over_old_data(host: Host) -> None:
    host.add()
    host.device.put(noise(SIZE))
    host.fetch(force=True).unwrap()
    content = host.device.content()
    assert content[: len(DATA)] == DATA
    assert not any(content[len(DATA) : -(-len(DATA) // 512) * 512])


def test_a_link_beneath_dev_is_followed(host: Host) -> None:
    host.add()
    link = Path(f"/dev/lading-test-{os.getpid()}")
    link.symlink_to(host.target)
    try:
        host.fetch(target=str(link)).unwrap()
        assert host.device.content(len(DATA)) == DATA
        assert host.dispatcher.verify(str(link)).unwrap().target == str(link)
    finally:
        link.unlink()


@pytest.mark.parametrize("target", ["/dev/lading-no-such-device", "/dev/lading/no/such/device", "/dev/null"])
def test_no_file_is_made_beneath_dev(host: Host, target: str) -> None:
    host.add()
    failure = host.fetch(target=target, force=True).failure()
    assert "lading makes no files beneath /dev" in str(failure)
    assert not os.path.lexists("/dev/lading")
    assert host.is_untouched


def test_a_folder_in_memory_beneath_dev_is_no_device(tmp_path: Path) -> None:
    assert not is_device("/dev/shm/disk.img")  # noqa: S108 - it is not made
    assert not is_device(str(tmp_path / "disk.img"))
    assert not is_device("/dev\0/x")
    assert is_device("/dev/vg0/vm3")


def test_an_image_that_is_there_is_present(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    assert host.fetch().unwrap().landing.present


def test_a_device_that_a_guest_wrote_to_is_not_overwritten(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    host.device.put(b"guest", 3 * MEBIBYTE)
    assert "was changed since it was fetched" in str(host.refusal())
    assert host.device.content()[3 * MEBIBYTE :].startswith(b"guest")
    host.fetch(force=True).unwrap()
    assert host.device.content(len(DATA)) == DATA


def test_another_image_is_not_overwritten(host: Host) -> None:
    host.add()
    host.add(noise(MEBIBYTE), "jammy")
    host.fetch().unwrap()
    assert "holds another image: noble" in str(host.refusal("jammy"))


def test_what_is_on_a_device_is_named_and_stays(host: Host) -> None:
    needs("mkfs.ext4", "wipefs")
    host.add()
    subprocess.run(["mkfs.ext4", "-q", "-L", "precious", host.target], check=True)
    before = host.device.content()
    refusal = host.refusal()
    assert isinstance(refusal, TargetOccupied)
    assert "ext4 labelled precious" in str(refusal)
    assert host.device.content() == before
    assert host.is_untouched


def test_without_wipefs_the_message_says_which_package_has_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lading.adapters.destinations.device.content._PATH", str(tmp_path))
    host.device.put(b"precious")
    host.add()
    assert "util-linux" in str(host.refusal())


def test_an_old_partition_table_is_gone_at_both_ends(host: Host) -> None:
    needs("sgdisk")
    host.add()
    subprocess.run(["sgdisk", "-n", "1:0:0", host.target], check=True, capture_output=True)
    assert "gpt" in str(host.refusal())
    host.fetch(force=True).unwrap()
    content = host.device.content()
    assert content[: len(DATA)] == DATA
    assert not any(content[-MEBIBYTE:])


def test_an_image_may_reach_to_the_end_of_the_device(host: Host) -> None:
    data = noise(SIZE)
    host.add(data)
    host.fetch().unwrap()
    assert host.device.content() == data


def test_an_image_shorter_than_the_first_mebibyte_fits_on_a_small_device(
    host: Host, make_loop: Callable[..., LoopDevice]
) -> None:
    host.device = make_loop(65536)
    host.add(data := noise(1000))
    host.fetch().unwrap()
    assert host.device.content() == data + bytes(65536 - 1000)


@pytest.mark.parametrize("promised", [True, False])
def test_a_device_that_is_too_small_stays_as_it_is(host: Host, *, promised: bool) -> None:
    data = noise(SIZE + 1)
    host.add(data, image=replace(image_of(data), size=len(data) if promised else None))
    refusal = host.refusal()
    assert isinstance(refusal, TargetFailed)
    assert f"is too small for the image: expected {SIZE + 1} bytes, found {SIZE} bytes" in str(refusal)
    assert host.is_untouched


def test_an_image_without_a_digest_is_verified_against_what_was_written(host: Host) -> None:
    host.add(image=replace(image_of(DATA), digest=None))
    landing = host.fetch().unwrap().landing
    assert landing.digest is not None
    assert (landing.digest.algorithm, landing.verified) == (content_algorithm(), False)
    assert host.dispatcher.verify(host.target).unwrap().digest == landing.digest


def test_a_file_that_changes_while_it_is_copied_is_refused(host: Host) -> None:
    host.add(image=replace(image_of(DATA), digest=None))

    class Writer(NullObserver):
        def progress(self, done: int, total: int | None) -> None:
            os.utime(host.folder / "noble", (0, 0))

    failure = host.fetch(observer=Writer()).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, Unavailable)
    assert "the file was changed while it was copied: it was written to" in failure.decisive.reason
    assert not any(host.device.content(MEBIBYTE))
    assert list(host.associations.list()) == []


# Sizes.


def test_the_rest_of_the_wanted_size_is_zeros(host: Host) -> None:
    host.add()
    host.device.put(noise(SIZE))
    host.fetch(force=True, form=Form(size=7 * MEBIBYTE)).unwrap()
    assert host.device.content(7 * MEBIBYTE) == DATA.ljust(7 * MEBIBYTE, b"\0")
    host.device.put(noise(SIZE))
    host.fetch(force=True, form=Form(fill=True)).unwrap()
    assert host.device.content() == DATA.ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    ("form", "end"),
    [(Form(fill=True), SIZE), (Form(fix_gpt=True), SIZE), (Form(size=7 * MEBIBYTE, fix_gpt=True), 7 * MEBIBYTE)],
)
def test_the_backup_of_a_partition_table_goes_to_the_end(host: Host, tmp_path: Path, form: Form, end: int) -> None:
    needs("sgdisk", "fdisk")
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(4 * MEBIBYTE)
    subprocess.run(["sgdisk", "-n", "1:2048:0", str(disk)], check=True, capture_output=True)
    data = disk.read_bytes()
    host.add(data[: 3 * MEBIBYTE] + noise(1000) + data[3 * MEBIBYTE + 1000 :])
    host.device.put(noise(SIZE))
    host.fetch(force=True, form=form).unwrap()
    content = host.device.content()
    assert content[end - 512 :].startswith(b"EFI PART")
    recorded = host.associations.get(host.target).unwrap()
    assert recorded is not None
    assert (recorded.size, recorded.verified) == (end, True)
    assert recorded.shipped is not None
    assert recorded.shipped.size == 4 * MEBIBYTE
    host.dispatcher.verify(host.target).unwrap()
    assert host.fetch(form=form).unwrap().landing.present
    assert "another form" in str(host.refusal())


@pytest.mark.parametrize(
    "form",
    [
        Form(size=MEBIBYTE),
        Form(size=SIZE + 1),
        Form(size=SIZE - 511),
        Form(format="qcow2"),
        Form(preallocation="full"),
        Form(fix_gpt=True),
    ],
)
def test_an_impossible_form_is_refused_before_the_first_byte(host: Host, form: Form) -> None:
    host.add()
    refusal = host.refusal(form=form)
    assert isinstance(refusal, Unsupported | TargetFailed | Mismatched)
    assert host.preview(form=form) == [str(Failure(refusal))]
    assert host.is_untouched


def test_a_device_is_raw_whatever_format_files_get(host: Host) -> None:
    host.rules = Rules(format="qcow2")
    host.add()
    host.fetch().unwrap()
    assert host.fetch(form=Form("raw")).unwrap().landing.present


@pytest.mark.parametrize(("sector", "of_image"), [(512, 4096), (4096, 512)])
def test_a_partition_table_for_other_sectors_is_refused(
    host: Host, make_loop: Callable[..., LoopDevice], sector: int, of_image: int
) -> None:
    host.device = make_loop(SIZE, "--sector-size", str(sector))
    data = bytes(of_image) + b"EFI PART" + noise(2 * MEBIBYTE)
    host.add(data, image=replace(image_of(data)))
    host.rules = Rules(inspect=False)
    refusal = host.refusal()
    assert f"for sectors of {of_image} bytes, and {host.target} has sectors of {sector}" in str(refusal)
    assert host.preview() == [str(Failure(refusal))]
    assert host.is_untouched


def test_a_device_with_large_sectors_holds_the_image(host: Host, make_loop: Callable[..., LoopDevice]) -> None:
    host.device = make_loop(SIZE, "--sector-size", "4096")
    host.add()
    host.fetch().unwrap()
    assert host.device.content(len(DATA)) == DATA
    host.dispatcher.verify(host.target).unwrap()


# Afterwards.


def test_a_verification_finds_what_a_guest_wrote(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    assert host.dispatcher.verify(host.target).unwrap().size == len(DATA)
    host.device.put(b"guest", 3 * MEBIBYTE)
    failure = host.dispatcher.verify(host.target).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.state is State.CHANGED


def test_a_report_does_not_claim_what_only_reading_tells(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    report = host.dispatcher.report(host.target).unwrap()
    assert report.state is State.UNKNOWN
    assert report.details["device"] == f"loop:{host.device.file}, from byte 0"


def test_another_device_of_that_name_is_not_the_fetched_one(host: Host, make_loop: Callable[..., LoopDevice]) -> None:
    host.add()
    host.fetch().unwrap()
    name, first = host.target, host.device.file
    host.device.detach()
    other = make_loop(SIZE)
    other.take_name_of(host.device)
    host.device = other
    assert host.target == name
    assert host.dispatcher.report(name).unwrap().state is State.CHANGED
    assert isinstance(host.refusal(), TargetOccupied)
    assert str(first) in str(host.dispatcher.remove(name, wipe=True).failure())
    host.device.detach()
    assert host.dispatcher.report(name).unwrap().state in {State.CHANGED, State.MISSING}


def test_a_removal_leaves_the_bytes_and_a_wipe_their_signatures_no_more(host: Host) -> None:
    host.add()
    host.fetch().unwrap()
    host.dispatcher.remove(host.target).unwrap()
    assert host.device.content(len(DATA)) == DATA
    assert host.is_untouched
    host.fetch(force=True).unwrap()
    host.dispatcher.remove(host.target, wipe=True).unwrap()
    content = host.device.content()
    assert (any(content[:MEBIBYTE]), any(content[-MEBIBYTE:])) == (False, False)
    assert content[MEBIBYTE : 2 * MEBIBYTE] == DATA[MEBIBYTE : 2 * MEBIBYTE]
    host.fetch().unwrap()


def test_nothing_is_moved_from_or_to_a_device(host: Host, tmp_path: Path) -> None:
    host.add()
    host.fetch().unwrap()
    assert "fetch the image to" in str(host.dispatcher.move(host.target, str(tmp_path / "vm")).failure())
    host.fetch(target=str(tmp_path / "vm")).unwrap()
    assert "fetch the image to" in str(host.dispatcher.move(str(tmp_path / "vm"), host.target).failure())
    assert [each.outcome for each in host.dispatcher.recover()] == []
    assert host.associations.get(host.target).unwrap() is not None


def test_what_cannot_be_recorded_is_made_incomplete(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add()

    def fail(_: object) -> object:
        raise StoreUnavailable("no space")

    with monkeypatch.context() as patched:
        patched.setattr(host.associations, "put", fail)
        assert isinstance(host.fetch().failure(), StoreUnavailable)
    assert not any(host.device.content(MEBIBYTE))
    assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.INCOMPLETE]
