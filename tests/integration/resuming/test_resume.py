"""A fetch that was interrupted is resumed, or starts over where that is not safe."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.faulty_server import CUT, Reply
from tests.integration.resuming.host import (
    BREAKING_OFF,
    DATA,
    GONE,
    IMAGE,
    KEPT,
    MEBIBYTE,
    ON_FROM_THERE,
    PROMISING_NOTHING,
    WHOLE,
    Host,
)

from lading import Digest, Image, Mismatched, NoHandlerAvailable, NotAssociated, Unavailable
from lading.domain.recovery import Outcome
from lading.ports.journal import Verb


class Interrupt:
    """An observer that presses Ctrl-C when as much has come as is to be kept."""

    def progress(self, done: int, total: int | None) -> None:
        if done >= KEPT:
            raise KeyboardInterrupt


# Going on.


def test_a_fetch_that_the_server_broke_off_is_resumed(either: Host) -> None:
    either.cut_off()
    assert either.part.stat().st_mode & 0o7777 == 0o600
    assert not either.target.exists()
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_an_interrupted_fetch_is_resumed(either: Host) -> None:
    with pytest.raises(KeyboardInterrupt):
        either.fetch(observer=Interrupt())
    assert either.asked() == [None]
    assert [each.verb for each in either.journal.list()] == [Verb.FETCH]
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_a_fetch_may_be_interrupted_again_and_again(either: Host) -> None:
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE + 5, then=CUT), GONE)
    either.fetch().failure()
    either.asked()
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE + 5, then=CUT), GONE)
    either.fetch().failure()
    assert either.asked()[0] == f"bytes={MEBIBYTE}-"
    either.server.answer("/noble", WHOLE)
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_a_fetch_that_fails_leaves_the_partial_data(either: Host) -> None:
    either.cut_off()
    either.server.answer("/noble", GONE)
    either.fetch().failure()
    either.server.answer("/noble", WHOLE)
    either.asked()
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_a_handler_resumes_what_another_one_kept(host: Host) -> None:
    host.cut_off()
    host.handler = "download"
    host.assert_landed(resumed=KEPT)


def test_a_forced_fetch_is_resumed_forced(either: Host) -> None:
    either.target.write_bytes(b"precious")
    either.server.answer("/noble", BREAKING_OFF, GONE)
    either.fetch(force=True).failure()
    assert either.target.read_bytes() == b"precious"
    either.server.answer("/noble", WHOLE)
    either.assert_landed(resumed=KEPT, outcome=either.fetch(force=True))


def test_recovery_without_keep_removes_partial_data(either: Host) -> None:
    either.cut_off()
    [found] = either.dispatcher.recover(keep=True)
    assert (found.outcome, found.kept) == (Outcome.KEPT, KEPT)
    assert either.part.exists()
    [found] = either.dispatcher.recover(keep=False)
    assert found.outcome is Outcome.UNDONE
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


def test_removing_an_unrecorded_target_keeps_its_partial_data(either: Host) -> None:
    either.cut_off()
    assert isinstance(either.dispatcher.remove(str(either.target)).failure(), NotAssociated)
    assert os.listdir(either.folder) == [".vm.lading-part"]


def test_less_than_a_buffer_is_not_kept(either: Host) -> None:
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE - 1, then=CUT), GONE)
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert [each.refusal.kept for each in failure.attempts if isinstance(each.refusal, Unavailable)][-1:] == [0]
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


def test_the_last_bytes_of_an_image_are_always_requested(host: Host) -> None:
    """So that the server tells whether it still has the same."""
    data = DATA[:KEPT]
    host.image = replace(IMAGE, size=KEPT, digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    host.server.answer("/noble", Reply(data))
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt())
    host.asked()
    assert host.fetch().unwrap().landing.resumed == MEBIBYTE
    assert host.asked() == [f"bytes={MEBIBYTE}-"]
    assert host.target.read_bytes() == data


# Starting over.


def test_a_server_that_has_another_image_now_is_read_from_the_start(host: Host) -> None:
    """Another one than the catalog has a digest of, at first: it is the digest that tells, not the ETag."""
    host.server.answer("/noble", Reply(os.urandom(len(DATA)), after=KEPT + 5, then=CUT), GONE)
    host.fetch().failure()
    host.server.answer("/noble", Reply(DATA, etag='"2"'))
    host.asked()
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE, None]


def test_with_a_digest_another_etag_still_resumes(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, etag='"2"', modified=None))
    host.assert_landed(resumed=KEPT)
    assert host.asked() == [ON_FROM_THERE]


def test_a_server_that_ignores_ranges_is_read_from_the_start(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, ranges=False))
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE]


def test_a_server_that_refuses_ranges_is_read_from_the_start(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(b"no", status=416), WHOLE)
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE, None]


def test_wrong_partial_data_starts_over_once(either: Host) -> None:
    either.cut_off()
    with either.part.open("r+b") as part:
        part.write(bytes([DATA[0] ^ 1]))
    either.assert_landed(resumed=0)
    assert either.asked() == [ON_FROM_THERE, None]


def test_wrong_bytes_of_the_server_are_refused_and_leave_nothing(either: Host) -> None:
    either.cut_off()
    either.server.answer("/noble", Reply(bytes(len(DATA))))
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.attempts[-1].refusal, Mismatched)
    assert either.asked() == [ON_FROM_THERE, None]
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: replace(image, id="another"),
        lambda image: replace(image, digest=Digest("sha512", hashlib.sha512(DATA).hexdigest())),
    ],
    ids=["id", "digest"],
)
def test_another_image_is_fetched_from_the_start(either: Host, change: Callable[[Image], Image]) -> None:
    either.cut_off()
    either.image = change(IMAGE)
    either.assert_landed(resumed=0)
    assert either.asked() == [None]


def test_an_image_smaller_than_the_partial_data_starts_over(host: Host) -> None:
    host.image = replace(PROMISING_NOTHING, size=None)
    host.cut_off()
    host.image = replace(PROMISING_NOTHING, size=MEBIBYTE + 5)
    host.server.answer("/noble", Reply(DATA[: MEBIBYTE + 5], etag='"2"'))
    staged = host.fetch().unwrap()
    assert (staged.landing.resumed, host.target.read_bytes()) == (0, DATA[: MEBIBYTE + 5])
    host.assert_nothing_is_left()
