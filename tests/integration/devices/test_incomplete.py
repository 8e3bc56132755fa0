"""A fetch to a device that ends in the middle: incomplete, said everywhere, and resumed where that is safe."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faulty_server import CUT, Reply
from tests.integration.devices.host import DATA, MEBIBYTE, SIZE, Host, image_of, noise
from tests.loop_devices import LoopDevice

from lading import Digest, Mismatched, NotAssociated, TargetFailed, Unavailable
from lading.adapters.destinations.device.block_device import BlockDevice
from lading.domain.recovery import Outcome
from lading.ports.association import State

WHOLE = Reply(DATA)
GONE = Reply(b"", status=404)
KEPT = 4 * MEBIBYTE
BREAKING_OFF = Reply(DATA, after=KEPT + 5, then=CUT)
WRONG = replace(image_of(DATA), digest=Digest("sha256", "ab" * 32))


class Interrupt:
    """An observer that presses Ctrl-C when as much has come."""

    def __init__(self, at: int, times: int = 1) -> None:
        """`times`: in the pass of that number. The last one reads back."""
        self._at, self._times, self._last = at, times, 0

    def progress(self, done: int, total: int | None) -> None:
        self._times -= done < self._last or self._last == 0
        self._last = done
        if self._times <= 0 and done >= self._at:
            raise KeyboardInterrupt


def assert_incomplete(host: Host, *, kept: int = 0) -> None:
    """The device boots nothing, and every command says so."""
    found = [(each.outcome, each.kept) for each in host.dispatcher.recover()]
    assert found == [(Outcome.INCOMPLETE, kept)]
    assert host.dispatcher.report(host.target).unwrap().state is State.INCOMPLETE
    assert not any(host.device.content(MEBIBYTE))
    assert not any(host.device.content()[-MEBIBYTE:])
    assert [*host.associations.list()] == []


# Refused in the middle.


def test_a_wrong_digest_leaves_the_device_incomplete_and_says_so(host: Host) -> None:
    host.add(image=WRONG)
    refusal = host.refusal()
    assert isinstance(refusal, Mismatched)
    assert refusal.reason.endswith(f"{host.target} is incomplete now, and its first MiB is zeros")
    assert_incomplete(host)


def test_a_wrong_digest_of_a_short_image_touches_nothing(host: Host) -> None:
    data = noise(1000)
    host.add(data, image=replace(WRONG, size=len(data)))
    host.device.put(b"old", 2 * MEBIBYTE)
    assert isinstance(host.refusal(), Mismatched)
    assert host.device.content()[2 * MEBIBYTE :].startswith(b"old")
    assert host.is_untouched


def test_an_image_that_turns_out_too_large_leaves_the_device_incomplete(
    host: Host, make_loop: Callable[..., LoopDevice]
) -> None:
    host.device = make_loop(4 * MEBIBYTE)
    host.serve(replace(WHOLE, framing="chunked"), image=replace(image_of(DATA), size=None))
    assert isinstance(host.refusal(), TargetFailed)
    assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.INCOMPLETE]


def test_the_next_location_is_tried_on_the_incomplete_device(host: Host) -> None:
    image = host.serve(Reply(noise(len(DATA))))
    host.catalog.add(replace(image, locations=[*host.locations(), *host.add_locations()]))
    host.order = ("http", "file")
    fetched = host.fetch().unwrap()
    assert [type(each.refusal) for each in fetched.attempts] == [Mismatched, type(None)]
    assert host.device.content(len(DATA)) == DATA
    assert [*host.journal.list()] == []


def test_a_record_of_what_was_there_before_is_gone(host: Host) -> None:
    host.add()
    host.add(noise(3 * MEBIBYTE), "jammy", image=replace(WRONG, id="jammy", size=3 * MEBIBYTE))
    host.fetch().unwrap()
    assert isinstance(host.refusal("jammy", force=True), Mismatched)
    assert_incomplete(host)
    assert isinstance(host.dispatcher.verify(host.target).failure(), NotAssociated)


def test_what_is_read_back_wrong_leaves_the_device_incomplete(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add()
    written = BlockDevice.write

    def flipped(device: BlockDevice, data: bytes, offset: int) -> None:
        written(device, bytes([data[0] ^ 1]) + bytes(data[1:]) if offset == MEBIBYTE else data, offset)

    monkeypatch.setattr(BlockDevice, "write", flipped)
    refusal = host.refusal()
    assert isinstance(refusal, TargetFailed)
    assert "does not hold what was written to it" in str(refusal)
    assert_incomplete(host)


@pytest.mark.parametrize("offset", [MEBIBYTE, 0])
def test_an_error_of_the_disk_leaves_the_device_incomplete(
    host: Host, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    host.add()
    written = BlockDevice.write

    def failing(device: BlockDevice, data: bytes, at: int) -> None:
        written(device, data, at)
        if at == offset:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(BlockDevice, "write", failing)
    refusal = host.refusal()
    assert isinstance(refusal, TargetFailed)
    assert f"{host.target} cannot be written: Input/output error" in str(refusal)
    assert_incomplete(host)


def test_a_device_on_a_full_disk_is_incomplete(host: Host, small_disk: Path) -> None:
    """The file of the loop device is larger than its disk."""
    data = noise(12 * MEBIBYTE)
    host.add(data)
    host.device.detach()
    host.device = LoopDevice(small_disk / "disk", 16 * MEBIBYTE)
    try:
        refusal = host.refusal()
        assert isinstance(refusal, TargetFailed)
        assert "is incomplete now" in str(refusal)
        assert not any(host.device.content(MEBIBYTE))
        assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.INCOMPLETE]
    finally:
        host.device.detach()


# Interrupted.


def test_an_interrupted_copy_is_incomplete_until_it_is_repeated(host: Host) -> None:
    host.add()
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(3 * MEBIBYTE))
    assert_incomplete(host)
    host.fetch().unwrap()
    assert host.device.content(len(DATA)) == DATA
    assert [*host.journal.list()] == []


def test_an_interrupt_while_it_is_read_back_leaves_no_head(host: Host) -> None:
    host.add()
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(3 * MEBIBYTE, times=2))
    assert host.device.content(MEBIBYTE) == DATA[:MEBIBYTE]
    assert_incomplete(host)


def test_a_fetch_that_was_read_back_is_finished(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add()
    with monkeypatch.context() as patched:
        patched.setattr(host.associations, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            host.fetch()
    assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.FINISHED]
    recorded = host.associations.get(host.target).unwrap()
    assert recorded is not None
    assert (recorded.size, recorded.digest, recorded.verified) == (len(DATA), image_of(DATA).digest, True)
    assert recorded.virtual_size == SIZE
    assert host.fetch().unwrap().landing.present


def interrupted(_: object) -> None:
    raise KeyboardInterrupt


def test_what_somebody_else_has_written_since_is_left_alone(host: Host) -> None:
    host.add()
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(3 * MEBIBYTE))
    host.device.put(b"somebody else's")
    assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.UNDONE]
    assert host.device.content(15) == b"somebody else's"
    assert "to replace it: --force" in str(host.refusal())


def test_a_head_that_is_partly_written_is_removed(host: Host) -> None:
    host.add()
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(3 * MEBIBYTE, times=2))
    host.device.put(bytes(100 * 512))
    host.device.put(bytes(512), 300 * 512)
    assert_incomplete(host)


def test_a_device_that_is_away_waits(host: Host) -> None:
    host.add()
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(3 * MEBIBYTE))
    name = host.target
    host.device.detach()
    assert [each.outcome for each in host.dispatcher.recover()] == [Outcome.UNRESOLVED]
    host.device.attach()
    assert host.target == name
    assert_incomplete(host)


@pytest.mark.parametrize("wipe", [False, True])
def test_a_removal_ends_an_incomplete_fetch(host: Host, *, wipe: bool) -> None:
    host.add(image=WRONG)
    host.refusal()
    removed = host.dispatcher.remove(host.target, wipe=wipe).unwrap()
    assert (removed.target, removed.handler) == (host.target, "file")
    assert host.is_untouched
    assert isinstance(host.dispatcher.report(host.target).failure(), NotAssociated)


def test_an_incomplete_fetch_is_forgotten_or_given_up(host: Host) -> None:
    host.add(image=WRONG)
    host.refusal()
    (found,) = host.dispatcher.recover(host.target, give_up=True)
    assert found.outcome is Outcome.ABANDONED
    host.refusal()
    host.dispatcher.forget(host.target).unwrap()
    assert host.is_untouched


# Resumed.


def cut_off(host: Host) -> None:
    """A fetch that the server breaks off for good, after a bit more than KEPT."""
    host.serve(BREAKING_OFF, GONE)
    refusal = host.refusal()
    assert isinstance(refusal, Unavailable)
    assert "is incomplete now" in str(refusal)
    assert_incomplete(host, kept=KEPT)


def requests(host: Host) -> list[str | None]:
    return [each.range for each in host.server.requests]


def test_a_download_that_broke_off_is_resumed(host: Host) -> None:
    cut_off(host)
    host.serve(WHOLE)
    asked = len(host.server.requests)
    landing = host.fetch().unwrap().landing
    assert landing.resumed == KEPT
    assert host.device.content(len(DATA)) == DATA
    assert requests(host)[asked:][-1] == f"bytes={KEPT}-"
    assert [*host.journal.list()] == []


def test_an_interrupted_download_is_resumed(host: Host) -> None:
    host.serve(WHOLE)
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt(KEPT))
    (found,) = host.dispatcher.recover()
    assert (found.outcome, found.can_resume) == (Outcome.INCOMPLETE, True)
    assert host.dispatcher.resume(found).outcome is Outcome.FINISHED
    assert host.device.content(len(DATA)) == DATA


def test_what_was_overwritten_in_the_meantime_starts_over(host: Host) -> None:
    cut_off(host)
    host.device.put(b"somebody else's", 3 * MEBIBYTE)
    host.serve(WHOLE)
    assert host.fetch().unwrap().landing.resumed == 0
    assert host.device.content(len(DATA)) == DATA


def test_partial_data_of_one_image_is_not_resumed_after_another_one(host: Host) -> None:
    cut_off(host)
    host.add(noise(3 * MEBIBYTE), "jammy", image=replace(WRONG, id="jammy", size=3 * MEBIBYTE))
    assert isinstance(host.refusal("jammy"), Mismatched)
    assert_incomplete(host, kept=0)
    host.serve(WHOLE)
    assert host.fetch().unwrap().landing.resumed == 0


def test_discarded_partial_data_is_not_resumed(host: Host) -> None:
    cut_off(host)
    assert [each.kept for each in host.dispatcher.recover(keep=False)] == [0]
    assert_incomplete(host, kept=0)


def test_without_a_digest_only_the_same_origin_is_resumed(host: Host) -> None:
    image = replace(image_of(DATA), digest=None)
    host.serve(BREAKING_OFF, GONE, image=image)
    host.refusal()
    assert_incomplete(host, kept=KEPT)
    host.serve(replace(WHOLE, etag='"2"'), image=image)
    assert host.fetch().unwrap().landing.resumed == 0
    assert host.device.content(len(DATA)) == DATA


def test_a_copy_on_this_host_is_used_and_no_byte_is_requested(host: Host, tmp_path: object) -> None:
    host.serve(WHOLE)
    target = f"{tmp_path}/vm"
    host.fetch(target=target).unwrap()
    asked = len(host.server.requests)
    landing = host.fetch().unwrap().landing
    assert (landing.copied_from, landing.method) == (target, "copy")
    assert len(host.server.requests) == asked
    assert host.device.content(len(DATA)) == DATA.ljust(len(DATA), b"\0")
    assert len(host.device.content()) == SIZE
